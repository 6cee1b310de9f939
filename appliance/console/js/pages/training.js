import { get, post, query } from "../api.js";
import { count, date, percent } from "../format.js";
import { Page, announce, html, list, nothing, notice, status } from "../page.js";
import { JOBS, PHASES, phase, runs } from "../training.js";

const hours = (number) => `${number.toFixed(number < 10 ? 2 : 0)} h`;
const alarms = (number) => (number >= 10 ? number.toFixed(0) : String(Number(number.toPrecision(2))));

// A training as it goes on, what came of it, and the jobs that its model did.
class Training extends Page {
  static needs = "job";
  static properties = { job: { state: true }, report: { state: true }, uses: { state: true }, promoted: { state: true } };

  opened() {
    this.path = `${JOBS}/${encodeURIComponent(this.params.training)}`;
    this.poll(() => this.look());
  }

  async look() {
    this.job = await get(this.path, this);
    if (this.job.status === "completed") {
      this.report ??= (await get(`${this.path}/report`, this)).report;
      if (this.job.model_id) this.uses = await this.jobsOf(this.job.model_id);
    }
    return runs(this.job);
  }

  // A job names its model with or without the version.
  async jobsOf(model) {
    const [name, version] = model.split("@");
    const { inference_jobs: jobs } = await get(query("/api/v1/inference-jobs", { q: name, limit: 50 }), this);
    return jobs.filter((job) => job.model_id.split("@")[0] === name && job.model_version === version);
  }

  async cancel() {
    if (!confirm(`Stop the training of ${this.job.name}?`)) return;
    await this.attempt(() => post(`${this.path}/cancel`));
    await this.attempt(() => this.look());
  }

  async promote() {
    if (!confirm(`Give ${this.job.model_id} to all tenants? They can use it from then on.`)) return;
    const model = { tenant: this.session.tenant, model_id: this.job.model_id };
    this.promoted = await this.attempt(() => post("/api/v1/admin/models/promote", model));
    if (this.promoted) announce("It is a model of all now.");
  }

  view() {
    const { job } = this;
    return html`<h1>Training of ${job.model_id ?? job.name}</h1><p><a href="#/training">All trainings</a></p>${this.failure}
      ${job.error_message ? notice("bad", job.error_message) : nothing}
      ${this.promoted ? notice("good", `${job.model_id} is a model of all now.`) : nothing}
      <div class="card"><dl class="facts"><dt>State</dt><dd>${status(job.status)}</dd>
        <dt>Labels</dt><dd>${job.labels.join(", ")}</dd>
        <dt>Begins with</dt><dd>${job.base_model}, whose labels ${job.mode === "append" ? "stay" : "are left out"}</dd>
        <dt>Learns from</dt><dd>${job.dataset_ids.map((id) => html`<a class="mono" href="#/datasets/${id}">${id.slice(0, 8)}</a> `)}</dd>
        <dt>False alarms</dt><dd>at most ${job.max_false_alarms_per_hour} an hour wanted</dd><dt>Made</dt><dd>${date(job.created_at)}</dd></dl>
        ${runs(job) ? this.phases() : nothing}
        <div class="bar">
          ${runs(job) && this.may("write") ? html`<button @click=${this.cancel} ?disabled=${this.busy}>Cancel</button>` : nothing}
          ${job.model_id && this.may("write") ? html`<a class="button main" href="#/upload?model=${job.name}">Use it on recordings</a>` : nothing}
          ${job.model_id && this.may("admin") ? html`<button @click=${this.promote} ?disabled=${this.busy}>Give it to all tenants</button>` : nothing}
        </div></div>
      ${job.warnings.map((text) => notice("warn", text))}
      ${this.report ? this.results() : nothing}`;
  }

  phases() {
    const now = PHASES.indexOf(this.job.status);
    return html`<ol class="bar phases">${PHASES.map((name, index) => html`<li aria-current=${index === now ? "step" : nothing}>
      ${status(index < now ? "completed" : index === now ? "running" : "later")} ${name} ${index === now ? phase(this.job) : nothing}</li>`)}</ol>`;
  }

  results() {
    const { per_label: rows = [], split, controls } = this.report;
    const interval = ([low, high]) => html`<br><span class="soft">${percent(low)} to ${percent(high)}</span>`;
    return html`<h2>Report</h2>
      <p>Measured on recordings that it never learned from, with the windows and the merging of every job. The ranges hold with 95 % confidence.</p>
      ${list("Report by label", rows, {
        "Label…": (row) => row.label,
        "F1#": (row) => html`${percent(row.f1)}${interval(row.f1_interval)}`,
        "Precision#": (row) => percent(row.precision), "Recall#": (row) => percent(row.recall),
        "Hits#": (row) => count(row.hits), "Missed#": (row) => count(row.misses), "False alarms#": (row) => count(row.false_alarms),
        "False alarms an hour#": (row) => (row.false_alarms_per_hour === null ? "unknown" : html`${alarms(row.false_alarms_per_hour)}<br>
          <span class="soft">below ${alarms(row.false_alarms_per_hour_at_most)}, in ${hours(row.reviewed_hours)}</span>`),
        "Threshold#": (row) => row.threshold.toFixed(2),
        "Use": (row) => row.use,
      }, "The report has no labels.")}
      ${rows.flatMap((row) => row.warnings.map((text) => notice("warn", `${row.label}: ${text}`)))}
      ${split ? html`<div class="card"><dl class="facts">${[["Learned from", split.fit], ["Held out", split.held_out]].map(([name, side]) => html`
        <dt>${name}</dt><dd>${count(side.recordings)} recordings in ${count(side.groups)} groups, ${hours(side.hours)}</dd>`)}
        <dt>At wrong times</dt><dd>F1 ${percent(controls.shuffled_f1)}: what chance gives. It should be near 0.</dd>
        ${controls.base_scores_identical === null ? nothing : html`<dt>Labels of ${this.job.base_model}</dt>
          <dd>${controls.base_scores_identical ? "have the same scores as before" : "have other scores than before"}</dd>`}</dl></div>` : nothing}
      ${this.job.model_id ? html`<h2>Jobs of this model</h2><p>Compare a job with one of another model on the same recordings,
          to hear the places in which they differ.</p>
        ${list("Jobs of this model", this.uses, {
          "Job": (one) => html`<a class="mono" href="#/jobs/${one.id}">${one.id.slice(0, 8)}</a>`,
          "State": (one) => status(one.status), "Files#": (one) => count(one.total_files), "Made": (one) => date(one.created_at),
          "Differences": (one) => html`<a href="#/jobs/${one.id}/compare" aria-label="Compare ${one.id.slice(0, 8)}">Compare</a>`,
        }, "No job has used it yet.")}` : nothing}`;
  }
}

customElements.define("console-training", Training);
