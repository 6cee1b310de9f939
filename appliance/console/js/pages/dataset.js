import { get, here, post, query, remove } from "../api.js";
import { count, date, percent, time } from "../format.js";
import { html, label, list, nothing, state, status } from "../page.js";
import { Clips, ListenPage } from "../player.js";
import { parseHeader, samplesOf } from "../wav.js";

const HEADER_BYTES = 4096;

// Clips of a normalized recording: its WAV file is read by ranges, so times are exact.
class StoredClips extends Clips {
  async fetch(path) {
    const [base, search] = path.split("?");
    const url = here((await get(`${base}/download-url?normalized=true`)).download_url);
    const part = async (from, to) => (await fetch(url, { headers: { Range: `bytes=${from}-${to}` } })).arrayBuffer();
    this.format ??= parseHeader(await part(0, HEADER_BYTES - 1));
    const { start, size, rate, bits, count: channels } = this.format;
    const [from, to] = search.split("-").map((ms) => Math.min(Math.round((ms / 1000) * rate) * channels * (bits / 8), size));
    const bytes = await part(start + from, start + to - 1);
    return samplesOf(new DataView(bytes), 0, bytes.byteLength, this.format);
  }
}

class Dataset extends ListenPage {
  static needs = "dataset";
  static properties = state("dataset", "audio", "next", "chosen", "annotations", "similar", "place");

  opened() {
    this.clips = new Map();
    this.path = `/api/v1/datasets/${encodeURIComponent(this.params.dataset)}`;
    this.attempt(async () => {
      this.dataset = await get(this.path, this);
      await this.more();
    });
  }

  async more() {
    const page = await get(query(`${this.path}/audio`, { limit: 100, cursor: this.next }), this);
    [this.audio, this.next] = [[...(this.audio ?? []), ...page.audio], page.next_cursor];
  }

  pathOf(audio) {
    return `/api/v1/datasets/${audio.dataset_id}/audio/${audio.audio_id}`;
  }

  clipsOf(audio) {
    const path = this.pathOf(audio);
    if (!this.clips.has(path)) this.clips.set(path, new StoredClips((start, end) => `${path}?${start}-${end}`));
    return this.clips.get(path);
  }

  choose(audio) {
    this.similar = null;
    this.attempt(async () => {
      this.annotations = (await get(`${this.pathOf(audio)}/annotations`, this)).annotations;
      this.chosen = audio;
    });
  }

  listen(audio, start = 0, end = 10_000) {
    this.attempt(() => this.player.play(this.clipsOf(audio), start, end));
  }

  playAll() {
    this.attempt(() => this.player.run(this.clipsOf(this.chosen), 0, this.chosen.duration_ms));
  }

  async alike() {
    this.similar = await this.attempt(async () => (await get(`${this.pathOf(this.chosen)}/similar`, this)).similar);
  }

  async annotate(event) {
    event.preventDefault();
    const form = event.target;
    const { type, start, end } = Object.fromEntries(new FormData(form));
    const body = { artifact_type: type, start_ms: Math.round(start * 1000), end_ms: Math.round(end * 1000) };
    if (!(await this.attempt(() => post(`${this.pathOf(this.chosen)}/annotations`, body)))) return;
    form.reset();
    this.choose(this.chosen);
  }

  async forget(annotation) {
    await this.attempt(() => remove(`${this.pathOf(this.chosen)}/annotations/${annotation.id}`));
    this.choose(this.chosen);
  }

  view() {
    return html`<h1>${this.dataset.name}</h1><p>${this.dataset.description}</p>${this.failure}
      <div class="columns"><div>${list("Recordings", this.audio, {
          "Recording…": (one) => html`<button class="plain" aria-pressed=${this.chosen?.id === one.id}
            @click=${() => this.choose(one)}>${one.original_filename || one.id}</button>`,
          "State": (one) => status(one.processing_status), "Length#": (one) => time(one.duration_ms), "Made": (one) => date(one.created_at),
          "Listen": (one) => this.playButton(one.original_filename, () => this.listen(one), one.duration_ms === null),
        }, "No recordings.")}
        ${this.next ? html`<button @click=${() => this.attempt(() => this.more())}>More</button>` : nothing}</div>
        <div class="side">${this.chosen ? this.one() : html`<p class="soft">Choose a recording to hear and annotate it.</p>`}</div></div>`;
  }

  playButton(what, listen, off = false) {
    return html`<button @click=${listen} ?disabled=${off} aria-label="Play ${what}">Play</button>`;
  }

  one() {
    const types = this.dataset.artifact_types.map((type) => type.name);
    return html`<section class="card"><h2>${this.chosen.original_filename}</h2>
      <div class="bar"><button class="main" @click=${() => this.playAll()}>Play all</button>
        <button @click=${() => this.player.stop()}>Stop</button><button @click=${this.alike}>Similar recordings</button></div>
      <h3>Annotations</h3>
      ${this.annotations?.length ? this.annotations.map((one) => html`<div class="bar">${label(types, one.artifact_type)}
        <span>${time(one.start_ms, 2)} to ${time(one.end_ms, 2)}</span>
        ${this.playButton(one.artifact_type, () => this.listen(this.chosen, Math.max(0, one.start_ms - 300), one.end_ms + 300))}
        ${this.may("write") ? html`<button @click=${() => this.forget(one)}
          aria-label="Delete ${one.artifact_type} at ${time(one.start_ms, 2)}">Delete</button>` : nothing}
        </div>`) : html`<p class="soft">None yet.</p>`}
      ${this.may("write") ? html`<form @submit=${this.annotate}><div class="bar">
        <label>Type <input name="type" required maxlength="100" size="12" list="types"></label>
        <datalist id="types">${types.map((name) => html`<option>${name}</option>`)}</datalist>
        <label>From <input name="start" type="number" min="0" step="0.001" required size="8"> s</label>
        <label>to <input name="end" type="number" min="0" step="0.001" required size="8"> s</label><button>Add</button></div></form>` : nothing}
      ${this.similar ? html`<h3>${count(this.similar.length)} similar recordings</h3>${this.similar.map((one) => html`<div class="bar">
        ${this.playButton(one.original_filename, () => this.listen(one))} <span class="name">${one.original_filename}</span>
        <span class="soft">${percent(Math.max(0, one.similarity))}</span></div>`)}` : nothing}</section>`;
  }
}

customElements.define("console-dataset", Dataset);
