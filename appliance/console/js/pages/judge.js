// Where people judge stretches of a dataset: what a model is sure or unsure of, and what only one of two jobs reported.
import { get, jobPath, post, query } from "../api.js";
import { count, percent, time } from "../format.js";
import { field, html, label, link, list, nothing, notice, state } from "../page.js";
import { ListenPage } from "../player.js";
import "../timeline/timeline.js";
import { jobChoices, labelsOf } from "./jobs.js";
import { FIGURES } from "./training.js";

const AROUND_MS = 1000;

class Judge extends ListenPage {
  static needs = "jobs";
  static properties = state("dataset", "jobs", "labels", "recordings", "stretches", "chosen", "marked");

  opened() {
    this.path = `/api/v1/datasets/${this.params.dataset}`;
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
    if (!stretch) return;
    await this.updateComplete;
    const timeline = this.querySelector("console-timeline");
    await timeline.updateComplete;
    timeline.show(stretch.start_ms - AROUND_MS, stretch.end_ms + AROUND_MS);
    await this.hear(this.pathOf(stretch), stretch.start_ms - AROUND_MS / 2, stretch.end_ms + AROUND_MS / 2);
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
        "Start#": (one) => time(one.start_ms), "Length#": (one) => time(one.end_ms - one.start_ms), "Confidence#": (one) => percent(one.confidence),
        ...columns,
      }, none) : this.busy ? html`<p class="soft">Loading …</p>` : nothing}`;
  }

  mark() {}

  title(text) {
    return html`<h1>${text}</h1><p>Dataset <a href="#/datasets/${this.dataset.id}">${this.dataset.name}</a></p>${this.failure}`;
  }
}

// Suggestions: stretches to listen to for a label.
class Next extends Judge {
  async load() {
    const asked = this.query;
    const { job, label: name } = Object.fromEntries(asked);
    this.labels = job ? await labelsOf(await get(`${jobPath(job)}?files=false`, this), this) : [];
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

  async add({ start, end }) {
    const [start_ms, end_ms] = [start, end].map((seconds) => Math.round(seconds * 1000));
    await post(`${this.pathOf(this.chosen)}/annotations`, { artifact_type: this.chosen.label, start_ms, end_ms });
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
    const times = { type: "number", least: 0, step: 0.001, unit: "s" };
    const form = this.may("write") ? html`${this.form(`Is ${this.chosen?.label} here?`, html`
        ${field("From", "start", times)} ${field("to", "end", times)}`, "Add", (values) => this.add(values))}
      <p class="bar"><button @click=${this.listened} ?disabled=${this.busy}>Nothing more is here: next</button>
        <span class="soft">Click in the picture where it begins, and where it ends.</span></p>` : nothing;
    return html`${this.title("What to annotate next")}
      <p>Stretches of six seconds that nobody annotated or reviewed for a label: half of them where the model of a job is the
        surest, half where it is the least sure. The job's files must be recordings of this dataset, under the same names.</p>
      ${this.filters([["job", "Job", this.jobs], ["label", "Label", [["", "choose a label"], ...(this.labels ?? [])]]])}
      ${this.listed({ "Why": (one) => (one.reason === "surest" ? "surest" : "least sure") }, "There is nothing more to listen to.", form)}`;
  }
}

customElements.define("console-next", Next);

const TRUTHS = { present: "it is there", absent: "it is not there", unknown: "nobody listened" };

// One job, or two side by side, compared with what people annotated.
class Evaluation extends Judge {
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
    return html`<p>${count(result.recordings)} recordings</p>
      ${result.learned_from ? notice("warn", `${count(result.learned_from)} recordings are left out: a model learned from them.`) : nothing}
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

customElements.define("console-evaluation", Evaluation);
