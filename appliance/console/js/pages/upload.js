import { get, jobPath, post } from "../api.js";
import { bytes, count } from "../format.js";
import { Page, empty, html, list, nothing, notice, select, state, status } from "../page.js";
import { chosen, dropped } from "../upload/collect.js";
import { Uploads } from "../upload/queue.js";

const SHOWN = 200;

class Upload extends Page {
  static needs = "models";
  static properties = state("models", "model", "uploads", "over", "ignored");

  opened() {
    this.leaving = (event) => this.uploads?.rows.some((row) => row.state === "sending" || row.state === "waiting") && event.preventDefault();
    addEventListener("beforeunload", this.leaving);
    this.attempt(async () => {
      const { models } = await get("/api/v1/models", this);
      this.models = models.filter((model) => model.task === "detection");
      this.model ??= this.query.get("model") ?? this.models[0]?.name;
      const job = this.query.get("job");
      if (job) this.use(await get(`${jobPath(job)}?files=false`, this));
    });
  }

  closed() {
    removeEventListener("beforeunload", this.leaving);
    this.uploads?.pause(true);
  }

  use(job) {
    this.job = job;
    this.uploads = new Uploads(job.id);
    this.uploads.addEventListener("change", () => this.requestUpdate());
  }

  async add(total, files) {
    this.ignored = total - files.length;
    if (!files.length) return;
    if (!this.uploads) {
      const job = await this.attempt(() => post("/api/v1/inference-jobs", { model_id: this.model }));
      if (!job) return;
      this.use(job);
      // A reload, or the same files dropped again, goes on with this job.
      history.replaceState(null, "", `#/upload?job=${job.id}`);
    }
    this.uploads.add(files);
  }

  choose({ target: { files } }) {
    this.add(files.length, chosen(files));
  }

  async drop(event) {
    event.preventDefault();
    this.over = false;
    const total = event.dataTransfer.items.length;
    const files = await dropped(event.dataTransfer);
    this.add(Math.max(total, files.length), files);
  }

  view() {
    return html`<h1>Upload</h1>${this.failure}
      ${this.job ? html`<p>Files go to the <a href="#/jobs/${this.job.id}">job <span class="mono">${this.job.id.slice(0, 8)}</span></a>
        of the model ${this.job.model_id}. To go on after an interruption, choose the same files again.</p>`
      : html`<form class="bar">${select("Model", this.model, this.models.map((model) => model.name), (name) => (this.model = name))}</form>`}
      <div class="drop ${this.over ? "over" : ""}" @dragover=${(event) => { event.preventDefault(); this.over = true; }}
        @dragleave=${() => (this.over = false)} @drop=${this.drop}>
        <p>Drop files or folders here, or choose them.</p>
        <div class="bar"><label>Files <input type="file" multiple name="files" @change=${this.choose}></label>
          <label>A folder <input type="file" webkitdirectory name="folder" @change=${this.choose}></label></div></div>
      ${this.ignored ? notice("warn", `${count(this.ignored)} files were left out: their names do not end as those of recordings do.`) : nothing}
      ${this.uploads?.rows.length ? this.progress() : empty("Nothing is chosen yet.")}`;
  }

  progress() {
    const { rows, paused } = this.uploads;
    const total = rows.reduce((sum, row) => sum + row.file.size, 0);
    const sent = rows.reduce((sum, row) => sum + Math.min(row.sent, row.file.size), 0);
    const done = rows.filter((row) => row.state.startsWith("sent")).length;
    const refused = rows.filter((row) => row.state === "refused");
    return html`<div class="bar"><progress max=${total || 1} value=${sent} aria-label="Bytes that were sent"></progress>
        <span role="status">${count(done)} of ${count(rows.length)} files, ${bytes(sent)} of ${bytes(total)}</span>
        <button @click=${() => this.uploads.pause(!paused)}>${paused ? "Go on" : "Pause"}</button>
        ${refused.length ? html`<button @click=${() => this.uploads.retry()}>Try ${refused.length} again</button>` : nothing}</div>
      ${list("Files", [...refused, ...rows.filter((row) => row.state !== "refused")].slice(0, SHOWN), {
        "File…": (row) => html`${row.name} ${row.problem ? html`<br><span class="soft">${row.problem}</span>` : nothing}`,
        "Size#": (row) => bytes(row.file.size), "State": (row) => status(row.state === "refused" ? "failed" : row.state),
        "Sent": (row) => html`<progress max=${row.file.size || 1} value=${row.sent} aria-label="Sent of ${row.name}"></progress>`,
      })}
      ${rows.length > SHOWN ? html`<p class="soft">and ${count(rows.length - SHOWN)} more</p>` : nothing}`;
  }
}

customElements.define("console-upload", Upload);
