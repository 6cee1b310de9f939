import { get, post, query } from "../api.js";
import { ListPage, Page, announce, count, counted, date, field, html, link, list, nothing, notice, percent, select, state, status } from "../page.js";

const JOBS = "/api/v1/training-jobs";
const PHASES = ["queued", "preparing", "fitting", "evaluating", "exporting"];
const runs = (job) => PHASES.includes(job.status);
const phase = (job) => html`<progress max="1" value=${job.progress} aria-label="Progress of ${job.name}, ${job.status}"></progress>`;
const hours = (number) => `${number.toFixed(number < 10 ? 2 : 0)} h`;
const alarms = (number) => (number >= 10 ? number.toFixed(0) : String(Number(number.toPrecision(2))));

// The figures of a label: what was found in recordings that people listened to.
export const FIGURES = {
  "F1#": (row) => html`${percent(row.f1)}<br><span class="soft">${row.f1_interval.map(percent).join(" to ")}</span>`,
  "Precision#": (row) => percent(row.precision), "Recall#": (row) => percent(row.recall),
  "Hits#": (row) => count(row.hits), "Missed#": (row) => count(row.misses), "False alarms#": (row) => count(row.false_alarms),
  "False alarms an hour#": (row) => (row.false_alarms_per_hour === null ? "unknown" : html`${alarms(row.false_alarms_per_hour)}<br>
    <span class="soft">below ${alarms(row.false_alarms_per_hour_at_most)}, in ${hours(row.reviewed_hours)}</span>`),
};

export class Trainings extends ListPage {
  static properties = state("jobs", "datasets", "models", "plan");

  opened() {
    super.opened();
    if (this.may("write")) this.attempt(() => this.choices());
  }

  async load() {
    this.jobs = (await this.part(JOBS, 50)).items;
    return this.jobs.some(runs);
  }

  async choices() {
    const [{ datasets }, { models }] = await Promise.all([get("/api/v1/datasets?limit=200", this), get("/api/v1/models", this)]);
    [this.datasets, this.models] = [datasets, models.filter((one) => one.task === "detection")];
  }

  // Labels are proposed from the types that the chosen datasets define, until somebody writes others.
  async propose() {
    const form = this.querySelector("form.new");
    const ids = new FormData(form).getAll("dataset");
    const chosen = await this.attempt(() => Promise.all(ids.map((id) => get(`/api/v1/datasets/${id}`, this))));
    const { labels } = form.elements;
    if (!chosen || labels.value !== (this.proposed ?? "")) return;
    labels.value = this.proposed = [...new Set(chosen.flatMap((one) => one.artifact_types.map((type) => type.name)))].join(", ");
  }

  // "Check" asks what would be refused; "Train" starts it, if nothing is.
  async start({ name, base_model, mode, labels, alarms, share, action }, data) {
    const body = {
      name, dataset_ids: data.getAll("dataset"), base_model, mode,
      labels: labels.split(",").map((text) => text.trim()).filter(Boolean),
      max_false_alarms_per_hour: Number(alarms), holdout: { share: Number(share) / 100 },
    };
    this.plan = null;
    this.plan = await post(`${JOBS}?dry_run=true`, body);
    if (this.plan.refusals.length || action === "check") return;
    const job = await post(JOBS, body);
    announce("The training is queued.");
    location.hash = `#/training/${job.id}`;
  }

  view() {
    return html`<h1>Training</h1>
      <p>A training makes a model of your own from annotated recordings: it finds the labels that you annotated.</p>${this.failure}
      ${list("Trainings", this.jobs, {
        "Model…": (job) => html`<a href="#/training/${job.id}">${job.model_id ?? job.name}</a>`,
        "State": (job) => status(job.status),
        "Progress": (job) => (runs(job) ? phase(job) : "–"),
        "Labels…": (job) => job.labels.join(", "),
        "Begins with…": (job) => job.base_model,
        "Made": (job) => date(job.created_at),
      }, "No trainings yet.")}${this.pager}
      ${this.datasets ? this.newTraining() : nothing}`;
  }

  newTraining() {
    return html`<form class="card new" @submit=${this.sent((values, data) => this.start(values, data))}><h2>New training</h2>
      <div class="bar">${field("Name of the model", "name", { most: 100, pattern: "[a-z0-9][a-z0-9._\\-]*", hint: "knocks" })}
        <span class="soft">small letters, digits, dots, underscores and hyphens</span></div>
      ${this.datasets.length ? nothing : notice("warn", "There is no dataset yet: a training needs one with annotated recordings.")}
      <fieldset class="bar" @change=${this.propose}><legend>Datasets to learn from</legend>${this.datasets.map((one) => html`<label>
        <input type="checkbox" name="dataset" value=${one.id}> ${one.name} <span class="soft">(${count(one.audio_count)})</span></label>`)}</fieldset>
      <div class="bar">${field("Labels, with commas", "labels", { most: 2000 })}
        ${select("Begins with", "artifacts", (this.models ?? []).map((one) => one.name), undefined, "base_model")}
        ${select("Labels of that model", "append", [["append", "stay"], ["replace", "are left out"]], undefined, "mode")}</div>
      <div class="bar">${field("At most", "alarms", { type: "number", value: 10, least: 0.1, step: "any", unit: "false alarms an hour" })}
        ${field("Held out to try it on", "share", { type: "number", value: 25, least: 10, unit: "% of the groups" })}</div>
      ${this.plan ? this.planned() : nothing}
      <div class="bar"><button class="main" name="action" value="train" ?disabled=${this.busy}>Train</button>
        <button name="action" value="check" ?disabled=${this.busy}>Check only</button></div></form>`;
  }

  planned() {
    const { refusals, warnings, counts } = this.plan;
    return html`${refusals.length ? notice("bad", html`This training would be refused:
        <ul>${refusals.map((text) => html`<li>${text}</li>`)}</ul>`) : notice("good", "This training would start.")}
      ${warnings.map((text) => notice("warn", text))}
      ${list("What there is of each label", counts.labels ?? [], {
        "Label…": (one) => one.name, "Events#": (one) => count(one.events), "Groups#": (one) => count(one.groups),
        "Audio without it#": (one) => `${Math.round(one.clean_seconds / 60)} min`,
      })}`;
  }
}

export class Training extends Page {
  static needs = "job";
  static properties = state("job", "report", "uses", "promoted");

  opened() {
    this.path = `${JOBS}/${this.params.training}`;
    super.opened();
  }

  async load() {
    this.job = await get(this.path, this);
    if (this.job.status === "completed") {
      this.report ??= (await get(`${this.path}/report`, this)).report;
      const used = this.job.model_id && await get(query("/api/v1/inference-jobs", { model_id: this.job.model_id, limit: 50 }), this);
      this.uses = used?.inference_jobs;
    }
    return runs(this.job);
  }

  cancel() {
    if (confirm(`Stop the training of ${this.job.name}?`)) this.change(() => post(`${this.path}/cancel`));
  }

  promote() {
    if (!confirm(`Give ${this.job.model_id} to all tenants? They can use it from then on.`)) return;
    const model = { tenant: this.session.tenant, model_id: this.job.model_id };
    this.attempt(async () => (this.promoted = await post("/api/v1/admin/models/promote", model)));
  }

  view() {
    const { job } = this;
    return html`<h1>Training of ${job.model_id ?? job.name}</h1><p><a href="#/training">All trainings</a></p>${this.failure}
      ${job.error_message ? notice("bad", job.error_message) : nothing}
      ${this.promoted ? notice("good", `${job.model_id} is a model of all now.`) : nothing}
      <div class="card"><dl class="facts"><dt>State</dt><dd>${status(job.status)}</dd>
        <dt>Labels</dt><dd>${job.labels.join(", ")}</dd>
        <dt>Begins with</dt><dd>${job.base_model}, whose labels ${job.mode === "append" ? "stay" : "are left out"}</dd>
        <dt>Learns from</dt><dd>${job.dataset_ids.map((id) => html`${link("datasets", id)} `)}</dd>
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
      <span class="status ${index < now ? "completed" : index === now ? "running" : ""}">${name}</span>
      ${index === now ? phase(this.job) : nothing}</li>`)}</ol>`;
  }

  results() {
    const { per_label: rows = [], split, controls } = this.report;
    return html`<h2>Report</h2>
      <p>Measured on recordings that it never learned from, with the windows and the merging of every job. The ranges hold with 95 % confidence.</p>
      ${list("Report by label", rows, {
        "Label…": (row) => row.label,
        ...FIGURES,
        "Threshold#": (row) => row.threshold.toFixed(2),
        "Use": (row) => row.use,
      }, "The report has no labels.")}
      ${rows.flatMap((row) => row.warnings.map((text) => notice("warn", `${row.label}: ${text}`)))}
      ${split ? html`<div class="card"><dl class="facts">${[["Learned from", split.fit], ["Held out", split.held_out]].map(([name, side]) => html`
        <dt>${name}</dt><dd>${counted(side.recordings, "recording")} in ${counted(side.groups, "group")}, ${hours(side.hours)}</dd>`)}
        <dt>At wrong times</dt><dd>F1 ${percent(controls.shuffled_f1)}: what chance gives. It should be near 0.</dd>
        ${controls.base_scores_identical === null ? nothing : html`<dt>Labels of ${this.job.base_model}</dt>
          <dd>${controls.base_scores_identical ? "have the same scores as before" : "have other scores than before"}</dd>`}</dl></div>` : nothing}
      ${this.job.model_id ? html`<h2>Jobs of this model</h2><p>Compare a job with one of another model on the same recordings,
          to hear the places in which they differ.</p>
        ${list("Jobs of this model", this.uses, {
          "Job": (one) => link("jobs", one.id), "State": (one) => status(one.status), "Files#": (one) => count(one.total_files),
          "Made": (one) => date(one.created_at),
          "Differences": (one) => html`<a href="#/jobs/${one.id}/compare" aria-label="Compare ${one.id.slice(0, 8)}">Compare</a>`,
        }, "No job has used it yet.")}` : nothing}`;
  }
}
