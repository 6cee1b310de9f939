import { filePath, get, jobPath } from "../api.js";
import { count, percent, time } from "../format.js";
import { Page, empty, html, label, notice, table } from "../page.js";
import { labelsOf } from "./job.js";

class Review extends Page {
  static properties = { job: { state: true }, file: { state: true } };

  opened() {
    this.poll(() => this.load());
  }

  async load() {
    this.job = await get(`${jobPath(this.params.job)}?files=false`, this);
    this.labels ??= await labelsOf(this.job, this);
    const file = this.query.get("file") ?? (await get(`${jobPath(this.params.job)}/files?limit=1`, this)).files[0]?.id;
    this.file = file ? await get(filePath(this.params.job, file), this) : null;
    return false;
  }

  render() {
    if (this.file === undefined) return html`<h1>Review</h1>${this.failure || html`<p class="soft">Loading …</p>`}`;
    if (!this.file) return html`<h1>Review</h1>${empty("The job has no files yet.")}`;
    const columns = [["Type"], ["Start", "number"], ["End", "number"], ["Confidence", "number"]];
    return html`<h1>${this.file.original_filename || this.file.id}</h1>
      <p>
        <a href="#/jobs/${this.job.id}">Job ${this.job.id.slice(0, 8)}</a>, ${count(this.file.detection_count)} detections in ${time(this.file.duration_ms)}</p>
      ${this.failure}
      ${this.file.error_message ? notice("bad", this.file.error_message) : ""}
      ${this.file.detections.length ? table("Detections", columns, this.file.detections.map((one) => html`<tr>
        <td>${label(this.labels, one.artifact_type)}</td><td class="number">${time(one.start_ms, 3)}</td>
        <td class="number">${time(one.end_ms, 3)}</td><td class="number">${percent(one.confidence)}</td></tr>`)) : empty("No detections.")}`;
  }
}

customElements.define("console-review", Review);
