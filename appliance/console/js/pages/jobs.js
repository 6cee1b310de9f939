import { get, query } from "../api.js";
import { count, date } from "../format.js";
import { ListPage, html, list, nothing, select, state, status } from "../page.js";

const STATUSES = ["", "pending", "processing", "completed", "failed", "cancelled"];

class Jobs extends ListPage {
  static needs = "jobs";
  static properties = state("jobs", "next");

  opened() {
    this.poll(() => this.look());
  }

  // The list is read again only if something changed; else the answer is a 304 without a body.
  async look() {
    const changes = await get(query("/api/v1/changes", { since: this.since }), this);
    if (changes.next !== this.since || !this.jobs) this.running = await this.load();
    this.since = changes.next;
    return this.running;
  }

  async load() {
    const asked = Object.fromEntries(this.query);
    const page = await get(query("/api/v1/inference-jobs", { limit: 50, ...asked, cursor: this.cursor }), this);
    [this.jobs, this.next] = [page.inference_jobs, page.next_cursor];
    return this.jobs.some((job) => job.processed_files < job.total_files);
  }

  view() {
    return html`<h1>Jobs</h1>
      <form class="bar" role="search" @submit=${(event) => event.preventDefault()}>
        ${select("Status", this.query.get("status"), STATUSES.map((name) => [name, name || "all"]), (value) => this.goWith({ status: value }))}
        <label>Search <input type="search" .value=${this.query.get("q") ?? ""} placeholder="model, id or file name"
          @change=${(event) => this.goWith({ q: event.target.value.trim() })}></label>
        ${this.may("write") ? html`<a class="button main" href="#/upload">New job</a>` : nothing}
      </form>
      ${this.failure}
      ${list("Jobs", this.jobs, {
        "Job": (job) => html`<a class="mono" href="#/jobs/${job.id}">${job.id.slice(0, 8)}</a>`,
        "Model…": (job) => job.model_id, "Status": (job) => status(job.status),
        "Files#": (job) => count(job.total_files), "Failed#": (job) => count(job.failed_files),
        "Progress": (job) => html`<progress max=${job.total_files || 1} value=${job.processed_files}
          aria-label="${job.processed_files} of ${job.total_files} files of job ${job.id.slice(0, 8)}"></progress>`,
        "Made": (job) => date(job.created_at),
      }, "No jobs.")}${this.pager("Newer", "Older")}`;
  }
}

customElements.define("console-jobs", Jobs);
