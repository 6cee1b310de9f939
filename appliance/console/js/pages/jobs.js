import { get, jobPath, query, remove } from "../api.js";
import { ListPage, count, counted, date, html, label, link, list, nothing, notice, state, status, time } from "../page.js";

const STATUSES = [["", "all"], "pending", "processing", "completed", "failed", "cancelled"];
const FILE_STATUSES = STATUSES.toSpliced(2, 0, "queued");
const VERDICTS = [["", "all"], "pass", "review", "fail"];
const EXPORTS = {
  csv: "CSV", jsonl: "JSON Lines", parquet: "Parquet", audacity: "Audacity", raven: "Raven", labelstudio: "Label Studio",
  rttm: "RTTM", qc: "QC codes",
};

const runs = (job) => job.processed_files < job.total_files;
const progress = (job) => html`<progress max=${job.total_files || 1} value=${job.processed_files}
  aria-label="${count(job.processed_files)} of ${counted(job.total_files, "file")} of job ${job.id.slice(0, 8)}"></progress>`;

export class Jobs extends ListPage {
  static needs = "jobs";
  static properties = state("jobs");

  opened() {
    this.poll(() => this.look());
  }

  // The list is read again only if something changed; else the answer is a 304 without a body.
  async look() {
    const changes = await get(query("/api/v1/changes", { since: this.since }), this);
    if (changes.next !== this.since || !this.jobs) await this.load();
    this.since = changes.next;
    return this.jobs.some(runs);
  }

  async load() {
    this.jobs = (await this.part("/api/v1/inference-jobs", 50, Object.fromEntries(this.query))).inference_jobs;
  }

  view() {
    return html`<h1>Jobs</h1>
      ${this.filters([["status", "Status", STATUSES], ["q", "Search by model, id or file name", "search"]],
        this.may("write") ? html`<a class="button main" href="#/upload">New job</a>` : nothing)}
      ${this.failure}
      ${list("Jobs", this.jobs, {
        "Job": (job) => link("jobs", job.id), "Model…": (job) => job.model_id, "Status": (job) => status(job.status),
        "Files#": (job) => count(job.total_files), "Failed#": (job) => count(job.failed_files), "Progress": progress,
        "Made": (job) => date(job.created_at),
      }, "No jobs.")}${this.pager}`;
  }
}

export class Job extends ListPage {
  static needs = "job";
  static properties = state("job", "files");

  opened() {
    this.path = jobPath(this.params.job);
    super.opened();
    import("./review.js").catch(() => {}); // which most people open next
  }

  reload() {
    this.shown = null;
    return super.reload();
  }

  async load() {
    const job = await get(`${this.path}?files=false`, this);
    if (job !== this.shown) { // the ETag says that nothing changed
      this.files = (await this.part(`${this.path}/files`, 100, Object.fromEntries(this.query))).files;
      this.shown = job;
    }
    this.labels ??= await labelsOf(job, this);
    this.job = job;
    return runs(job);
  }

  cancel() {
    return this.change(() => remove(this.path));
  }

  async purge() {
    if (!confirm("Delete this job with its recordings, results and reviews? This cannot be undone.")) return;
    await this.attempt(() => remove(`${this.path}?purge=true`));
    if (!this.problem) location.hash = "#/jobs";
  }

  view() {
    const { job } = this;
    return html`<h1>Job <span class="mono">${job.id}</span></h1>
      ${this.failure}
      ${job.error_message ? notice("bad", job.error_message) : nothing}
      <div class="card"><dl class="facts">
        <dt>Status</dt><dd>${status(job.status)}</dd>
        <dt>Model</dt><dd>${job.model_id}, version ${job.model_version}</dd>
        <dt>Detection</dt><dd>threshold ${job.config.threshold}, merge ${job.config.merge_window_ms} ms, at least ${job.config.min_duration_ms} ms</dd>
        <dt>Files</dt><dd>${progress(job)} ${count(job.processed_files)} of ${count(job.total_files)}, ${count(job.failed_files)} failed</dd>
        <dt>Made</dt><dd>${date(job.created_at)}</dd></dl>
        ${this.actions()}</div>
      <h2>Files</h2>
      ${this.filters([["status", "Status", FILE_STATUSES], ["verdict", "Verdict", VERDICTS], ["q", "Name", "search"]],
        html`<a href="#/rules">Rules</a>`)}
      ${list("Files of the job", this.files, {
        "File…": (file) => html`<a href="#/jobs/${job.id}/review?file=${file.id}">${file.original_filename || file.id}</a>
          ${file.error_message ? html`<br><span class="soft">${file.error_message}</span>` : nothing}`,
        "Status": (file) => status(file.status),
        "Verdict": (file) => (file.verdict ? html`<span title=${file.verdict_reasons?.join("\n")}>${status(file.verdict)}</span>` : ""),
        "Length#": (file) => time(file.duration_ms, 0),
        "Detections#": (file) => `${count(file.detection_count)}${file.detections_truncated ? "+" : ""}`,
        "By type": (file) => html`<div class="chips">${countsOf(file.detections).map(([name, number]) =>
          html`<span>${label(this.labels, name)} ${number}</span>`)}</div>`,
      }, "No files.")}${this.pager}`;
  }

  actions() {
    const { job } = this;
    const write = this.may("write");
    return html`<p class="bar"><span>Export:</span>
        ${Object.entries(EXPORTS).map(([format, name]) => html`<a href="${this.path}/export?format=${format}" download>${name}</a>`)}</p>
      <div class="bar"><a class="button main" href="#/jobs/${job.id}/review">Review</a>
        <a class="button" href="#/jobs/${job.id}/compare">Compare</a>
        <a class="button" href="${this.path}/report" target="_blank" rel="noopener">Report</a>
        ${write && job.status !== "cancelled" ? html`<a class="button" href="#/upload?job=${job.id}">Add files</a>` : nothing}
        ${write && runs(job) ? html`<button @click=${this.cancel}>Cancel</button>` : nothing}
        ${write ? html`<button class="danger" @click=${this.purge}>Delete</button>` : nothing}</div>`;
  }
}

function countsOf(detections) {
  const byType = [...Map.groupBy(detections, (one) => one.artifact_type)];
  return byType.map(([name, all]) => [name, all.length]).sort((a, b) => b[1] - a[1]);
}

export async function jobChoices(page) {
  const { inference_jobs: jobs } = await get("/api/v1/inference-jobs?limit=200", page);
  const names = jobs.map((job) => [job.id, `${job.model_id} · ${date(job.created_at)} · ${counted(job.total_files, "file")} · ${job.id.slice(0, 8)}`]);
  return [["", "choose a job"], ...names];
}

// The names of the labels of a job, or of a promise of one, in the order of its model.
export async function labelsOf(job, page) {
  const [{ model_id, model_version }, { models }] = await Promise.all([job, get("/api/v1/models", page)]);
  const model = models.find((one) => one.id === `${model_id.split("@")[0]}@${model_version}`);
  return model ? model.labels.map((one) => one.name) : [];
}
