import { get, query } from "../api.js";
import { time } from "../format.js";
import { html, nothing, notice, state, status } from "../page.js";
import { Clips, ListenPage } from "../player.js";
import "../timeline/timeline.js";

const AROUND_MS = 3000; // of the picture, before and after the word
const HEARD_MS = 8000; // from a word on

class Transcript extends ListenPage {
  static needs = "transcript";
  static properties = state("transcript", "word");

  opened() {
    this.path = `/v2/transcript/${encodeURIComponent(this.params.transcript)}`;
    const stretch = (name) => (start, end) => query(`${this.path}/${name}`, { start_ms: start, end_ms: end });
    this.clips = new Clips(stretch("clip"));
    this.pictureOf = stretch("spectrogram.png");
    this.player.addEventListener("play", () => this.follow());
    this.poll(async () => {
      this.transcript = await get(this.path, this);
      return ["queued", "processing"].includes(this.transcript.status);
    });
  }

  get lengthMs() {
    return Math.max((this.transcript.audio_duration ?? 0) * 1000, this.transcript.words?.at(-1)?.end ?? 0);
  }

  async hear(index) {
    const { start } = this.transcript.words[index];
    this.word = index;
    const end = Math.min(start + HEARD_MS, Math.max(this.lengthMs, start + 100));
    await this.attempt(() => this.player.play(this.clips, start, end));
  }

  // The word that is heard is marked, and the picture moves along.
  follow() {
    const step = () => {
      const place = this.player.placeMs;
      if (place === null || !this.isConnected) return;
      const word = this.transcript.words.findLastIndex((one) => one.start <= place);
      if (word >= 0 && word !== this.word) this.word = word;
      this.querySelector("console-timeline").headMs = place;
      requestAnimationFrame(step);
    };
    step();
  }

  updated(changed) {
    const timeline = this.querySelector("console-timeline");
    const word = this.transcript?.words?.[this.word ?? 0];
    if ((changed.has("word") || changed.has("transcript")) && timeline && word) {
      timeline.updateComplete.then(() => timeline.show(word.start - AROUND_MS, word.end + AROUND_MS));
    }
  }

  view() {
    const { transcript } = this;
    const words = transcript.words ?? [];
    return html`<h1>Transcript <span class="mono">${transcript.id.slice(0, 8)}</span></h1>${this.failure}
      <p>${status(transcript.status === "error" ? "failed" : transcript.status)} <span class="soft">${transcript.speech_model_used},
        ${time(this.lengthMs, 0)}</span></p>
      ${transcript.error ? notice("bad", transcript.error) : nothing}
      ${words.length ? html`<div class="picture"><console-timeline .clips=${this.clips} .pictureOf=${this.pictureOf}
          .durationMs=${this.lengthMs} .labels=${["words"]}
          .events=${this.events}></console-timeline></div>
        <div class="bar"><button @click=${() => this.player.stop()}>Stop</button><span class="soft">Choose a word to hear it.</span></div>
        <p class="transcript">${words.map((one, index) => html`<button class=${index === this.word ? "heard" : ""}
          @click=${() => this.hear(index)} title=${time(one.start, 2)}>${one.text}</button> `)}</p>` : nothing}
      ${transcript.status === "completed" && !words.length ? notice("warn", "No speech was found.") : nothing}`;
  }

  get events() {
    this.marks ??= this.transcript.words?.map((one) => ({ artifact_type: "words", start_ms: one.start, end_ms: one.end, confidence: 1 }));
    return this.marks ?? [];
  }
}

customElements.define("console-transcript", Transcript);
