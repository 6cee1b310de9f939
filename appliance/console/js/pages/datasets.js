import { get, post, query, remove } from "../api.js";
import { count, date, percent, time } from "../format.js";
import { ListPage, field, html, label, list, nothing, state, status } from "../page.js";
import { ListenPage } from "../player.js";

const DATASETS = "/api/v1/datasets";

class Datasets extends ListPage {
  static properties = state("datasets", "next");

  opened() {
    this.reload();
  }

  async load() {
    const page = await get(query(DATASETS, { limit: 50, cursor: this.cursor }), this);
    [this.datasets, this.next] = [page.datasets, page.next_cursor];
  }

  async create({ name, description }) {
    location.hash = `#/datasets/${(await post(DATASETS, { name, description })).id}`;
  }

  view() {
    return html`<h1>Datasets</h1>${this.failure}
      ${list("Datasets", this.datasets, {
        "Dataset…": (one) => html`<a href="#/datasets/${one.id}">${one.name}</a>`, "Description…": (one) => one.description,
        "Recordings#": (one) => count(one.audio_count), "Annotation sets#": (one) => count(one.annotation_set_count),
        "Made": (one) => date(one.created_at),
      }, "No datasets.")}${this.pager("Newer", "Older")}
      ${this.may("write") ? this.form("New dataset", html`${field("Name", "name", { most: 200 })}
        ${field("Description", "description", { most: 10_000, optional: true })}`, "Create", (values) => this.create(values)) : nothing}`;
  }
}

customElements.define("console-datasets", Datasets);

// The recordings of a dataset, and of the one that is chosen the annotations and what sounds like it.
class Dataset extends ListenPage {
  static needs = "dataset";
  static properties = state("dataset", "audio", "next", "chosen", "annotations", "similar");

  opened() {
    this.path = `${DATASETS}/${this.params.dataset}`;
    this.reload();
  }

  async load() {
    this.dataset ??= await get(this.path, this);
    const page = await get(query(`${this.path}/audio`, { limit: 100, cursor: this.cursor }), this);
    [this.audio, this.next] = [page.audio, page.next_cursor];
  }

  pathOf(audio) {
    return `${DATASETS}/${audio.dataset_id}/audio/${audio.audio_id}`;
  }

  choose(audio) {
    this.similar = null;
    return this.attempt(async () => {
      this.annotations = (await get(`${this.pathOf(audio)}/annotations`, this)).annotations;
      this.chosen = audio;
    });
  }

  listen(audio, start = 0, end = 10_000) {
    return this.hear(this.pathOf(audio), start, end);
  }

  alike() {
    return this.attempt(async () => (this.similar = (await get(`${this.pathOf(this.chosen)}/similar`, this)).similar));
  }

  async annotate({ type, start, end }) {
    const [start_ms, end_ms] = [start, end].map((seconds) => Math.round(seconds * 1000));
    await post(`${this.pathOf(this.chosen)}/annotations`, { artifact_type: type, start_ms, end_ms });
    await this.choose(this.chosen);
    return true;
  }

  forget(annotation) {
    return this.attempt(async () => {
      await remove(`${this.pathOf(this.chosen)}/annotations/${annotation.id}`);
      await this.choose(this.chosen);
    });
  }

  view() {
    const place = `#/datasets/${this.dataset.id}`;
    return html`<h1>${this.dataset.name}</h1><p>${this.dataset.description}</p>${this.failure}
      <p class="bar"><a href="${place}/next">What to annotate next</a> <a href="${place}/evaluation">Evaluate jobs</a></p>
      <div class="columns"><div>${list("Recordings", this.audio, {
          "Recording…": (one) => html`<button class="plain" aria-pressed=${this.chosen?.id === one.id}
            @click=${() => this.choose(one)}>${one.original_filename || one.id}</button>`,
          "State": (one) => status(one.processing_status), "Length#": (one) => time(one.duration_ms), "Made": (one) => date(one.created_at),
          "Listen": (one) => this.playButton(one.original_filename, () => this.listen(one), one.duration_ms === null),
        }, "No recordings.")}${this.pager("Newer", "Older")}</div>
        <div class="side">${this.chosen ? this.one() : html`<p class="soft">Choose a recording to hear and annotate it.</p>`}</div></div>`;
  }

  one() {
    const { chosen, annotations } = this;
    const types = this.dataset.artifact_types.map((type) => type.name);
    return html`<section class="card"><h2>${chosen.original_filename}</h2>
      <div class="bar"><button class="main" @click=${() => this.run(this.pathOf(chosen), 0, chosen.duration_ms)}>Play all</button>
        <button @click=${() => this.player.stop()}>Stop</button><button @click=${this.alike}>Similar recordings</button></div>
      <h3>Annotations</h3>
      ${annotations.length ? annotations.map((one) => html`<div class="bar">${label(types, one.artifact_type)}
        <span>${time(one.start_ms, 2)} to ${time(one.end_ms, 2)}</span>
        ${this.playButton(one.artifact_type, () => this.listen(chosen, one.start_ms - 300, one.end_ms + 300))}
        ${this.may("write") ? html`<button @click=${() => this.forget(one)}
          aria-label="Delete ${one.artifact_type} at ${time(one.start_ms, 2)}">Delete</button>` : nothing}
        </div>`) : html`<p class="soft">None yet.</p>`}
      ${this.may("write") ? this.form("New annotation", html`${field("Type", "type", { most: 100, choices: "types" })}
        <datalist id="types">${types.map((name) => html`<option>${name}</option>`)}</datalist>
        ${field("From", "start", { type: "number", least: 0, step: 0.001, unit: "s" })}
        ${field("to", "end", { type: "number", least: 0, step: 0.001, unit: "s" })}`, "Add", (values) => this.annotate(values)) : nothing}
      ${this.similar ? html`<h3>${count(this.similar.length)} similar recordings</h3>${this.similar.map((one) => html`<div class="bar">
        ${this.playButton(one.original_filename, () => this.listen(one))} <span class="name">${one.original_filename}</span>
        <span class="soft">${percent(Math.max(0, one.similarity))}</span></div>`)}` : nothing}</section>`;
  }
}

customElements.define("console-dataset", Dataset);
