// Datasets, their recordings, and stretches of them that people judge.
import { get, jobPath, post, query, remove } from "../api.js";
import { ListPage, SPAN, count, counted, date, field, html, label, link, list, nothing, notice, percent, state, status, time } from "../page.js";
import { ListenPage } from "../player.js";
import "../timeline/timeline.js";
import { jobChoices, labelsOf } from "./jobs.js";
import { FIGURES } from "./training.js";

const DATASETS = "/api/v1/datasets";
const SECONDS = { type: "number", least: 0, step: 0.001, unit: "s" };

const times = html`${field("From", "start", SECONDS)} ${field("to", "end", SECONDS)}`;
const spanOf = ({ start, end }) => ({ start_ms: Math.round(start * 1000), end_ms: Math.round(end * 1000) });

export class Datasets extends ListPage {
  static properties = state("datasets");

  async load() {
    this.datasets = (await this.part(DATASETS, 50)).datasets;
    return false;
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
      }, "No datasets.")}${this.pager}
      ${this.may("write") ? this.form("New dataset", html`${field("Name", "name", { most: 200 })}
        ${field("Description", "description", { most: 10_000, optional: true })}`, "Create", (values) => this.create(values)) : nothing}`;
  }
}

export class Dataset extends ListenPage {
  static needs = "dataset";
  static properties = state("dataset", "audio", "chosen", "annotations", "similar");

  opened() {
    this.path = `${DATASETS}/${this.params.dataset}`;
    super.opened();
  }

  async load() {
    this.dataset ??= await get(this.path, this);
    this.audio = (await this.part(`${this.path}/audio`, 100)).audio;
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

  async annotate(change) {
    await change(`${this.pathOf(this.chosen)}/annotations`);
    await this.choose(this.chosen);
    return true;
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
        }, "No recordings.")}${this.pager}</div>
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
        ${this.may("write") ? html`<button @click=${() => this.attempt(() => this.annotate((path) => remove(`${path}/${one.id}`)))}
          aria-label="Delete ${one.artifact_type} at ${time(one.start_ms, 2)}">Delete</button>` : nothing}
        </div>`) : html`<p class="soft">None yet.</p>`}
      ${this.may("write") ? this.form("New annotation", html`${field("Type", "type", { most: 100, choices: "types" })}
        <datalist id="types">${types.map((name) => html`<option>${name}</option>`)}</datalist> ${times}`, "Add",
        ({ type, ...span }) => this.annotate((path) => post(path, { artifact_type: type, ...spanOf(span) }))) : nothing}
      ${this.similar ? html`<h3>${counted(this.similar.length, "similar recording")}</h3>${this.similar.map((one) => html`<div class="bar">
        ${this.playButton(one.original_filename, () => this.listen(one))} <span class="name">${one.original_filename}</span>
        <span class="soft">${percent(Math.max(0, one.similarity))}</span></div>`)}` : nothing}</section>`;
  }
}

// What the two pages share that list stretches to hear and see.
class Judge extends ListenPage {
  static needs = "jobs";
  static properties = state("dataset", "jobs", "labels", "recordings", "stretches", "chosen", "marked");

  opened() {
    this.path = `${DATASETS}/${this.params.dataset}`;
    this.requery();
  }

  requery() {
    Object.assign(this, { stretches: null, chosen: null });
    this.attempt(async () => {
      this.dataset ??= await get(this.path, this);
      this.jobs ??= await jobChoices(this);
      await this.load();
    });
  }

  // Take stretches that were asked for with a query, and read the recordings that they are of.
  async take(stretches, asked) {
    const ids = [...new Set(stretches.map((one) => one.audio_id))];
    const recordings = await Promise.all(ids.map((id) => get(`${this.path}/audio/${id}`, this)));
    if (asked !== this.query) return; // something else was chosen meanwhile
    this.recordings = new Map(recordings.map((one) => [one.audio_id, one]));
    this.stretches = stretches;
  }

  pathOf(stretch) {
    return `${this.path}/audio/${stretch.audio_id}`;
  }

  nameOf(stretch) {
    return this.recordings.get(stretch.audio_id).original_filename || stretch.audio_id;
  }

  async choose(stretch) {
    Object.assign(this, { chosen: stretch, marked: null });
    if (stretch) await this.listenTo(this.pathOf(stretch), stretch);
  }

  // A table of the stretches. Who chooses one sees and hears it, and says more about it in the form.
  listed(columns, none, form = nothing) {
    const { chosen } = this;
    return html`${chosen ? html`<section class="card"><h2>${this.nameOf(chosen)}, ${time(chosen.start_ms)} to ${time(chosen.end_ms)}</h2>
        <div class="picture"><console-timeline .clips=${this.clipsOf(this.pathOf(chosen))} .pictures=${`${this.pathOf(chosen)}/spectrogram.png`}
          .durationMs=${this.recordings.get(chosen.audio_id).duration_ms} .labels=${["stretch"]}
          .events=${[{ ...chosen, artifact_type: "stretch" }]} .selected=${this.marked} @seek=${this.mark}></console-timeline></div>
        <div class="bar"><button @click=${() => this.choose(chosen)}>Play</button><button @click=${() => this.player.stop()}>Stop</button></div>
        ${form}</section>` : nothing}
      ${this.stretches ? list("Stretches", this.stretches, {
        "Recording…": (one) => html`<button class="plain" aria-pressed=${one === chosen} @click=${() => this.choose(one)}>${this.nameOf(one)}</button>`,
        ...SPAN, ...columns,
      }, none) : this.busy ? html`<p class="soft">Loading …</p>` : nothing}`;
  }

  mark() {}

  title(text) {
    return html`<h1>${text}</h1><p>Dataset <a href="#/datasets/${this.dataset.id}">${this.dataset.name}</a></p>${this.failure}`;
  }
}

export class Next extends Judge {
  async load() {
    const asked = this.query;
    const { job, label: name } = Object.fromEntries(asked);
    this.labels = job ? await labelsOf(get(`${jobPath(job)}?files=false`, this), this) : [];
    if (!job || !name) return;
    const { suggestions } = await get(query(`${this.path}/suggestions`, { job_id: job, label: name }), this);
    await this.take(suggestions.map((one) => ({ ...one, label: name })), asked);
  }

  // The first click in the picture is where the event begins, the second where it ends.
  mark({ detail: ms }) {
    const { start, end } = this.querySelector("section form").elements;
    const seconds = (ms / 1000).toFixed(3);
    if (start.value && !end.value && Number(seconds) > Number(start.value)) end.value = seconds;
    else [start.value, end.value] = [seconds, ""];
    this.marked = { start_ms: start.value * 1000, end_ms: (end.value || start.value) * 1000 };
  }

  async add(span) {
    await post(`${this.pathOf(this.chosen)}/annotations`, { artifact_type: this.chosen.label, ...spanOf(span) });
    this.marked = null;
    return true;
  }

  // What is not annotated in the stretch is not there; on to the next one.
  listened() {
    const { chosen, stretches } = this;
    this.attempt(async () => {
      const { label: name, start_ms, end_ms } = chosen;
      await post(`${this.pathOf(chosen)}/reviews`, { labels: [name], start_ms, end_ms });
      const index = stretches.indexOf(chosen);
      this.stretches = stretches.toSpliced(index, 1);
      await this.choose(this.stretches[index] ?? this.stretches[0] ?? null);
    });
  }

  view() {
    const form = this.may("write") ? html`${this.form(`Is ${this.chosen?.label} here?`, times, "Add", (values) => this.add(values))}
      <p class="bar"><button @click=${this.listened} ?disabled=${this.busy}>Nothing more is here: next</button>
        <span class="soft">Click in the picture where it begins, and where it ends.</span></p>` : nothing;
    return html`${this.title("What to annotate next")}
      <p>Stretches of six seconds that nobody annotated or reviewed for a label: half of them where the model of a job is the
        surest, half where it is the least sure. The job's files must be recordings of this dataset, under the same names.</p>
      ${this.filters([["job", "Job", this.jobs], ["label", "Label", [["", "choose a label"], ...(this.labels ?? [])]]])}
      ${this.listed({ "Why": (one) => (one.reason === "surest" ? "surest" : "least sure") }, "There is nothing more to listen to.", form)}`;
  }
}

const TRUTHS = { present: "it is there", absent: "it is not there", unknown: "nobody listened" };

export class Evaluation extends Judge {
  async load() {
    const asked = this.query;
    const { job, with: other } = Object.fromEntries(asked);
    if (!job) return;
    const result = await get(query(`${this.path}/evaluation`, { job_id: job, with: other }), this);
    if (asked === this.query) this.result = result;
    await this.take(result.differences, asked);
  }

  view() {
    const { job, with: other } = Object.fromEntries(this.query);
    return html`${this.title("Evaluation")}
      <p>What jobs found in recordings of this dataset, beside what people annotated there. The ranges hold with 95 % confidence.</p>
      ${this.filters([["job", "Job", this.jobs], ["with", "beside", this.jobs]])}
      ${job && this.stretches ? this.figures() : nothing}
      ${other ? html`<h2>What only one of both reported</h2>${this.listed({
        "Label": (one) => one.label, "Reported by": (one) => (one.reported_by === job ? "the first job" : "the second job"),
        "People say": (one) => TRUTHS[one.truth],
      }, "There is no difference.")}` : nothing}`;
  }

  figures() {
    const { result } = this;
    const names = result.labels.map((row) => row.label);
    const rows = result.labels.flatMap((row) => row.jobs.map((figures) => ({ label: row.label, ...figures })));
    const part = ({ value, interval }) => html`${percent(value)}<br><span class="soft">${interval.map(percent).join(" to ")}</span>`;
    return html`<p>${counted(result.recordings, "recording")}</p>
      ${result.learned_from ? notice("warn", `A model learned from ${counted(result.learned_from, "recording")}, left out here.`) : nothing}
      ${list("Figures", rows, {
        "Label": (row) => label(names, row.label),
        "Job": (row) => html`${link("jobs", row.job_id)}<br><span class="soft">${row.model}</span>`, ...FIGURES,
      }, "Nobody annotated recordings of this dataset yet.")}
      ${list("How much better the second job is", result.labels.filter((row) => row.change), {
        "The second job is better by": (row) => label(names, row.label), "F1#": (row) => part(row.change.f1),
        "Precision#": (row) => part(row.change.precision), "Recall#": (row) => part(row.change.recall),
      })}`;
  }
}
