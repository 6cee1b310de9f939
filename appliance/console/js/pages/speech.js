import { get, post, query, send } from "../api.js";
import { ListPage, date, html, link, list, nothing, notice, state, status, time } from "../page.js";
import { ListenPage } from "../player.js";
import "../timeline/timeline.js";

const TRANSCRIPTS = "/v2/transcript";
const AROUND_MS = 3000; // of the picture, before and after the word
const HEARD_MS = 8000; // from a word on
const PAGE = 50;

const runs = (transcript) => ["queued", "processing"].includes(transcript.status);
const stateOf = (transcript) => status(transcript.status === "error" ? "failed" : transcript.status);

export class Speech extends ListPage {
  static properties = state("transcripts");

  async load() {
    const { transcripts } = await get(query(TRANSCRIPTS, { limit: PAGE, before_id: this.cursor }), this);
    [this.transcripts, this.next] = [transcripts, transcripts.length === PAGE ? transcripts.at(-1).id : null];
    return transcripts.some(runs);
  }

  async transcribe(file) {
    const stored = await (await send("POST", "/v2/upload", { content: file })).json();
    location.hash = `#/speech/${(await post(TRANSCRIPTS, { audio_url: stored.upload_url })).id}`;
  }

  view() {
    return html`<h1>Speech</h1>${this.failure}
      ${this.may("write") ? this.form("New transcript", html`<label>Recording in English <input type="file" name="file" required></label>`,
        this.busy ? "Sending …" : "Transcribe", ({ file }) => this.transcribe(file)) : nothing}
      ${list("Transcripts", this.transcripts, {
        "Transcript": (one) => link("speech", one.id), "State": stateOf, "Made": (one) => date(one.created), "Error…": (one) => one.error,
      }, "No transcripts.")}${this.pager}`;
  }
}

// The words of a recording beside its picture: choose one to hear it.
export class Transcript extends ListenPage {
  static needs = "transcript";
  static properties = state("transcript", "word");

  opened() {
    this.path = `${TRANSCRIPTS}/${this.params.transcript}`;
    super.opened();
  }

  async load() {
    this.transcript = await get(this.path, this);
    this.marks = this.transcript.words?.map((one) => ({ artifact_type: "words", start_ms: one.start, end_ms: one.end, confidence: 1 }));
    return runs(this.transcript);
  }

  get lengthMs() {
    return Math.max((this.transcript.audio_duration ?? 0) * 1000, this.transcript.words?.at(-1)?.end ?? 0);
  }

  choose(index) {
    const { start } = this.transcript.words[index];
    this.word = index;
    return this.hear(this.path, start, Math.min(start + HEARD_MS, Math.max(this.lengthMs, start + 100)));
  }

  // The word that is heard is marked, and the picture moves along.
  heard(place) {
    const word = this.transcript.words.findLastIndex((one) => one.start <= place);
    if (word >= 0) this.word = word;
  }

  updated(changed) {
    const timeline = this.querySelector("console-timeline");
    const word = this.transcript?.words?.[this.word ?? 0];
    if ((changed.has("word") || changed.has("transcript")) && timeline && word) {
      timeline.updateComplete.then(() => timeline.axis.show(word.start - AROUND_MS, word.end + AROUND_MS));
    }
  }

  view() {
    const { transcript } = this;
    const words = transcript.words ?? [];
    return html`<h1>Transcript <span class="mono">${transcript.id.slice(0, 8)}</span></h1>${this.failure}
      <p>${stateOf(transcript)} <span class="soft">${transcript.speech_model_used}, ${time(this.lengthMs, 0)}</span></p>
      ${transcript.error ? notice("bad", transcript.error) : nothing}
      ${words.length ? html`<div class="picture"><console-timeline .clips=${this.clipsOf(this.path)} .pictures=${`${this.path}/spectrogram.png`}
          .durationMs=${this.lengthMs} .labels=${["words"]} .events=${this.marks}></console-timeline></div>
        <div class="bar"><button @click=${() => this.player.stop()}>Stop</button><span class="soft">Choose a word to hear it.</span></div>
        <p class="transcript">${words.map((one, index) => html`<button class=${index === this.word ? "heard" : ""}
          @click=${() => this.choose(index)} title=${time(one.start, 2)}>${one.text}</button> `)}</p>` : nothing}
      ${transcript.status === "completed" && !words.length ? notice("warn", "No speech was found.") : nothing}`;
  }
}
