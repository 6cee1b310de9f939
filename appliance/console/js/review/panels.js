// What stands beside a review: sliders, precision by type, and detections that sound alike.
import { filePath, get, jobPath, post, query, whenMade } from "../api.js";
import { count, percent, time } from "../format.js";
import { Page, html, label, list, nothing, notice, select, state } from "../page.js";

const SLIDERS = [
  ["threshold", "Threshold", 0.01, 0.99, 0.01, (value) => value.toFixed(2)],
  ["merge_window_ms", "Merge within", 0, 2000, 10, (value) => `${value} ms`],
  ["min_duration_ms", "At least", 0, 1000, 10, (value) => `${value} ms`],
];

// Sliders: what other settings would find, from the kept scores, before anything is kept.
class Tuning extends Page {
  static properties = { job: {}, file: {}, ...state("config", "found", "done") };

  willUpdate(changed) {
    if (changed.has("file") && this.file?.id !== changed.get("file")?.id) this.reset();
  }

  get path() {
    return filePath(this.job, this.file.id);
  }

  reset() {
    this.config = this.file?.config ? { ...this.file.config } : null;
    this.changes = {};
    this.found = this.problem = this.done = null;
    this.tell(null);
  }

  tell(detections) {
    this.dispatchEvent(new CustomEvent("preview", { detail: detections }));
  }

  slide(name, value) {
    this.config = { ...this.config, [name]: value };
    this.changes = { ...this.changes, [name]: value };
    this.ask();
  }

  // One question at a time; the newest settings are asked next.
  async ask() {
    if (this.asking) return;
    this.asking = true;
    for (let asked = null; asked !== this.changes; ) {
      asked = this.changes;
      const answer = await this.attempt(() => get(query(`${this.path}/detections`, asked), this));
      if (answer && asked === this.changes) {
        this.found = answer;
        this.tell(answer.detections);
      }
    }
    this.asking = false;
  }

  async keep(wholeJob, withModel = false) {
    const path = wholeJob ? `${jobPath(this.job)}/redetect` : `${this.path}/redetect`;
    const answer = await this.attempt(() => post(path, withModel ? { ...this.changes, with_model: true } : this.changes));
    if (!answer) return;
    const later = wholeJob ? `${count(answer.queued_files)} files are detected again.` : "The file is analyzed again.";
    this.done = wholeJob || withModel ? later : `Kept: ${count(answer.detection_count)} detections.`;
    this.dispatchEvent(new CustomEvent("kept"));
  }

  render() {
    if (!this.config) return nothing;
    const changed = Object.keys(this.changes).length > 0;
    const missing = this.problem?.status === 409;
    return html`<h2>Detection</h2>
      ${SLIDERS.map(([name, text, min, max, step, show]) => html`<div class="slider"><label for=${name}>${text}</label> <span>${show(this.config[name])}</span>
        <input type="range" id=${name} min=${min} max=${max} step=${step} .value=${String(this.config[name])}
          @input=${(event) => this.slide(name, Number(event.target.value))}></div>`)}
      <p class="found" role="status">${this.found ? html`${count(this.found.detection_count)} detections in this file
        <span class="soft">(now ${count(this.file.detection_count)})</span>` : nothing}</p>
      ${this.failure}
      ${this.done ? notice("good", this.done) : nothing}
      ${this.may("write") ? html`<div class="bar">
        ${missing ? html`<button ?disabled=${this.busy} @click=${() => this.keep(false, true)}>Analyze again with the model</button>` : nothing}
        <button ?disabled=${!changed || this.busy} @click=${() => this.keep(false)}>Keep for this file</button>
        <button ?disabled=${!changed || this.busy} @click=${() => this.keep(true)}>Keep for the job</button>
        <button ?disabled=${!changed} @click=${() => this.reset()}>Reset</button></div>` : nothing}`;
  }
}

customElements.define("review-tuning", Tuning);

// How good the model is, by what was decided so far.
class Summary extends Page {
  static properties = { job: {}, labels: {}, ...state("rows", "target") };

  constructor() {
    super();
    this.target = "0.9";
  }

  opened() {
    this.load();
  }

  async load() {
    const path = query(`${jobPath(this.job)}/review-summary`, { target_precision: this.target });
    this.rows = await this.attempt(async () => (await get(path, this)).labels) ?? this.rows;
  }

  aim(value) {
    this.target = value;
    this.load();
  }

  render() {
    const targets = ["0.8", "0.9", "0.95", "0.99"].map((value) => [value, percent(value)]);
    return html`<details><summary>Precision by type</summary>${this.failure}
      ${select("Suggest a threshold for a precision of", this.target, targets, (value) => this.aim(value))}
      ${list("Precision by type", this.rows, {
        "Type": (row) => label(this.labels, row.artifact_type),
        "Reviewed#": (row) => `${count(row.counts.reviewed)} of ${count(row.counts.total)}`, "Right#": (row) => count(row.counts.confirmed),
        "Precision#": (row) => (row.precision === null ? "–" : html`${percent(row.precision)}<br>
          <span class="soft">${percent(row.precision_low)} to ${percent(row.precision_high)}</span>`),
        "Threshold#": (row) => row.suggested_threshold?.toFixed(2) ?? "–",
      })}</details>`;
  }
}

customElements.define("review-summary", Summary);

const SHOWN = 12;

// Detections that sound like the selected one, to reject at once.
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
