// Detections that sound like the selected one, to reject at once.
import { jobPath, query, whenMade } from "../api.js";
import { count, percent, time } from "../format.js";
import { Page, html, nothing, state } from "../page.js";

const SHOWN = 12;

class Alike extends Page {
  static properties = { job: {}, ...state("item", "items", "least", "compared") };

  constructor() {
    super();
    this.least = 0.8;
  }

  // Ask for the detections of the same type that sound like an item and are not reviewed.
  open(item) {
    Object.assign(this, { item, items: null });
    const { artifact_type: type, start_ms, end_ms } = item.detection;
    const asked = { file_id: item.file_id, start_ms, end_ms, type, state: "unreviewed", min_similarity: 0.5 };
    this.updateComplete.then(() => this.querySelector("dialog").showModal());
    return this.attempt(async () => {
      const response = await whenMade(query(`${jobPath(this.job)}/similar-detections`, asked), this);
      ({ items: this.items, compared: this.compared } = await response.json());
      await this.updateComplete;
      this.querySelector("button.danger").focus();
    });
  }

  get chosen() {
    return this.items?.filter((one) => one.similarity >= this.least) ?? [];
  }

  reject(event) {
    if (event.submitter?.value !== "reject") return;
    this.dispatchEvent(new CustomEvent("reject", { detail: this.chosen }));
  }

  render() {
    const { chosen } = this;
    return html`<dialog aria-labelledby="alike-title" @submit=${this.reject}><h2 id="alike-title">Detections that sound alike</h2>
      ${this.failure}<form method="dialog">
      <div class="slider"><label for="least">Similarity from</label> <span>${percent(this.least)}</span>
        <input type="range" id="least" min="0.5" max="1" step="0.01" .value=${String(this.least)}
          @input=${(event) => (this.least = Number(event.target.value))}></div>
      <p role="status">${this.items ? `${count(chosen.length)} of ${count(this.compared)} that are not reviewed`
        : this.problem ? nothing : "The recordings are being compared …"}</p>
      ${chosen.slice(0, SHOWN).map((one) => html`<div class="bar"><button type="button"
        @click=${() => this.dispatchEvent(new CustomEvent("hear", { detail: one }))}>Play</button>
        <span class="name">${one.original_filename}, ${time(one.detection.start_ms)}</span><span class="soft">${percent(one.similarity)}</span></div>`)}
      ${chosen.length > SHOWN ? html`<p class="soft">and ${count(chosen.length - SHOWN)} more</p>` : nothing}
      <div class="bar"><button class="danger" value="reject" ?disabled=${!chosen.length}>Reject ${count(chosen.length)}</button>
        <button value="no">Cancel</button></div></form></dialog>`;
  }
}

customElements.define("review-alike", Alike);
