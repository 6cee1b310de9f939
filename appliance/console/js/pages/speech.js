import { get, post, query, send } from "../api.js";
import { date } from "../format.js";
import { Page, html, list, nothing, state, status } from "../page.js";

class Speech extends Page {
  static properties = state("transcripts");

  opened() {
    this.poll(() => this.load());
  }

  async load() {
    const asked = { limit: 50, before_id: this.query.get("before") };
    this.transcripts = (await get(query("/v2/transcript", asked), this)).transcripts;
    return this.transcripts.some((one) => one.status === "queued" || one.status === "processing");
  }

  requery() {
    this.attempt(() => this.load());
  }

  async transcribe(event) {
    event.preventDefault();
    const [file] = event.target.elements.file.files;
    const made = await this.attempt(async () => {
      const stored = await send("POST", "/v2/upload", { content: file });
      return post("/v2/transcript", { audio_url: (await stored.json()).upload_url });
    });
    if (made) location.hash = `#/speech/${made.id}`;
  }

  render() {
    const last = this.transcripts?.at(-1)?.id;
    return html`<h1>Speech</h1>${this.failure}
      ${this.may("write") ? html`<form class="card" @submit=${this.transcribe}><h2>New transcript</h2><div class="bar">
        <label>Recording in English <input type="file" name="file" required></label>
        <button class="main" ?disabled=${this.busy}>${this.busy ? "Sending …" : "Transcribe"}</button></div></form>` : nothing}
      ${list("Transcripts", this.transcripts, {
        "Transcript": (one) => html`<a class="mono" href="#/speech/${one.id}">${one.id.slice(0, 8)}</a>`,
        "State": (one) => status(one.status === "error" ? "failed" : one.status), "Made": (one) => date(one.created), "Error…": (one) => one.error,
      }, "No transcripts.")}
      <div class="bar">${this.query.get("before") ? html`<button @click=${() => this.goWith({ before: "" })}>Newest</button>` : nothing}
        ${this.transcripts?.length === 50 ? html`<button @click=${() => this.goWith({ before: last })}>Older</button>` : nothing}</div>`;
  }
}

customElements.define("console-speech", Speech);
