import { get, jobPath, query, remove } from "../api.js";
import { count, date, time } from "../format.js";
import { ListPage, html, label, list, nothing, notice, select, state, status } from "../page.js";

const EXPORTS = [
  ["csv", "CSV"], ["jsonl", "JSON Lines"], ["parquet", "Parquet"], ["audacity", "Audacity"], ["raven", "Raven"],
  ["labelstudio", "Label Studio"], ["rttm", "RTTM"], ["qc", "QC codes"],
];
const VERDICTS = [["", "all"], ["pass"], ["review"], ["fail"]];
const STATUSES = ["", "pending", "queued", "processing", "completed", "failed", "cancelled"];

class Job extends ListPage {
  static needs = "job";
  static properties = state("job", "files", "next");

  opened() {
    this.poll(() => this.load());
  }

  reload() {
    this.shown = null;
    return super.reload();
  }

  async load() {
    const path = jobPath(this.params.job);
    const job = await get(`${path}?files=false`, this);
    if (job !== this.shown) { // the ETag says that nothing changed
      const asked = { limit: 100, status: this.query.get("status"), verdict: this.query.get("verdict"), q: this.query.get("q"), cursor: this.cursor };
      const page = await get(query(`${path}/files`, asked), this);
      [this.files, this.next, this.shown] = [page.files, page.next_cursor, job];
    }
    this.labels ??= await labelsOf(job, this);
    this.job = job;
    return job.processed_files < job.total_files;
  }

  async cancel() {
    await this.attempt(() => remove(jobPath(this.params.job)));
    await this.attempt(() => this.load());
  }

  async purge() {
    if (!confirm("Delete this job with its recordings, results and reviews? This cannot be undone.")) return;
    await this.attempt(() => remove(`${jobPath(this.params.job)}?purge=true`));
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
        <dt>Files</dt><dd><progress max=${job.total_files || 1} value=${job.processed_files} aria-label="Files that have ended"></progress>
          ${count(job.processed_files)} of ${count(job.total_files)}, ${count(job.failed_files)} failed</dd>
        <dt>Made</dt><dd>${date(job.created_at)}</dd></dl>
        ${this.actions(job)}</div>
      <h2>Files</h2>
      <form class="bar" role="search" @submit=${(event) => event.preventDefault()}>
        ${select("Status", this.query.get("status"), STATUSES.map((name) => [name, name || "all"]), (value) => this.goWith({ status: value }))}
        ${select("Verdict", this.query.get("verdict"), VERDICTS, (verdict) => this.goWith({ verdict }))}
        <label>Name <input type="search" .value=${this.query.get("q") ?? ""} @change=${(event) => this.goWith({ q: event.target.value.trim() })}></label>
        <a href="#/rules">Rules</a></form>
      ${this.list()}${this.pager("Previous files", "More files")}`;
  }

  actions(job) {
    const write = this.may("write");
    const exported = (format) => `${jobPath(job.id)}/export?format=${format}`;
    return html`<p class="bar"><span>Export:</span>
        ${EXPORTS.map(([format, name]) => html`<a href=${exported(format)} download>${name}</a>`)}</p>
      <div class="bar">
      <a class="button main" href="#/jobs/${job.id}/review">Review</a>
      <a class="button" href="#/jobs/${job.id}/compare">Compare</a>
      <a class="button" href="${jobPath(job.id)}/report" target="_blank" rel="noopener">Report</a>
      ${write && job.status !== "cancelled" ? html`<a class="button" href="#/upload?job=${job.id}">Add files</a>` : nothing}
      ${write && job.processed_files < job.total_files ? html`<button @click=${this.cancel}>Cancel</button>` : nothing}
      ${write ? html`<button class="danger" @click=${this.purge}>Delete</button>` : nothing}</div>`;
  }

  list() {
    return list("Files of the job", this.files, {
      "File…": (file) => html`<a href="#/jobs/${this.job.id}/review?file=${file.id}">${file.original_filename || file.id}</a>
        ${file.error_message ? html`<br><span class="soft">${file.error_message}</span>` : nothing}`,
      "Status": (file) => status(file.status),
      "Verdict": (file) => (file.verdict ? html`<span title=${file.verdict_reasons?.join("\n")}>${status(file.verdict)}</span>` : ""),
      "Length#": (file) => time(file.duration_ms, 0),
      "Detections#": (file) => `${count(file.detection_count)}${file.detections_truncated ? "+" : ""}`,
      "By type": (file) => html`<div class="chips">${counts(file.detections).map(([name, number]) =>
        html`<span>${label(this.labels, name)} ${number}</span>`)}</div>`,
    }, "No files.");
  }
}

// The names of a job's labels, in the order of its model.
export async function labelsOf(job, page) {
  const name = job.model_id.split("@")[0];
  const { models } = await get("/api/v1/models", page);
  const model = models.find((one) => one.id === `${name}@${job.model_version}`);
  return model ? model.labels.map((one) => one.name) : [];
}

function counts(detections) {
  const numbers = new Map();
  for (const { artifact_type: name } of detections) numbers.set(name, (numbers.get(name) ?? 0) + 1);
  return [...numbers].sort((a, b) => b[1] - a[1]);
}

customElements.define("console-job", Job);
