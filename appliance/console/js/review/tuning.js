// Sliders: what other settings would find, from the kept scores, before anything is kept.
import { filePath, get, jobPath, post, query } from "../api.js";
import { count } from "../format.js";
import { Page, html, nothing, notice, state } from "../page.js";

const SLIDERS = [
  ["threshold", "Threshold", 0.01, 0.99, 0.01, (value) => value.toFixed(2)],
  ["merge_window_ms", "Merge within", 0, 2000, 10, (value) => `${value} ms`],
  ["min_duration_ms", "At least", 0, 1000, 10, (value) => `${value} ms`],
];

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
