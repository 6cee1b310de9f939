import { filePath, get, jobPath, query } from "../api.js";
import { SPAN, count, counted, html, label, list, nothing, select, state, time } from "../page.js";
import { ListenPage } from "../player.js";
import "../timeline/timeline.js";
import { jobChoices, labelsOf } from "./jobs.js";

const SIDES = [["here", "this job"], ["there", "the other job"]];
const unmatched = (detections) => detections.filter((one) => !one.matched);

// What two jobs reported on the same recordings: two models, two versions, or two settings.
export class Compare extends ListenPage {
  static needs = "jobs";
  static properties = state("jobs", "files", "types", "next", "file");

  opened() {
    this.requery();
  }

  requery() {
    const other = this.query.get("with");
    Object.assign(this, { files: [], types: new Map(), next: null, file: null });
    this.attempt(async () => {
      this.jobs ??= (await jobChoices(this)).filter(([id]) => id !== this.params.job);
      this.names ??= await labelsOf(get(`${jobPath(this.params.job)}?files=false`, this), this);
      if (other) await this.more(other);
    });
  }

  async more(other) {
    const path = query(`${jobPath(this.params.job)}/compare`, { with: other, limit: 100, cursor: this.next });
    const page = await get(path, this);
    if (other !== this.query.get("with")) return; // another job was chosen meanwhile
    for (const { artifact_type: name, ...numbers } of page.types) {
      const sum = this.types.get(name) ?? { both: 0, only_here: 0, only_there: 0 };
      for (const key of Object.keys(sum)) sum[key] += numbers[key];
      this.types.set(name, sum);
    }
    [this.files, this.next] = [[...this.files, ...page.files], page.next_cursor];
  }

  // What one job reported in a file and the other did not.
  differences(file) {
    return SIDES.flatMap(([side, whose]) => unmatched(file[side]).map((one) => ({ ...one, whose })))
      .sort((a, b) => a.start_ms - b.start_ms);
  }

  view() {
    const differ = this.files.filter((file) => file.other_file_id && this.differences(file).length);
    return html`<h1>Compare</h1>${this.failure}
      <div class="bar"><a href="#/jobs/${this.params.job}">Job ${this.params.job.slice(0, 8)}</a>
        ${select("with", this.query.get("with"), this.jobs, (other) => this.goWith({ with: other }))}</div>
      ${list("By type", [...this.types], {
        "Type": ([name]) => label(this.names, name), "Both#": ([, sum]) => count(sum.both),
        "Only this job#": ([, sum]) => count(sum.only_here), "Only the other job#": ([, sum]) => count(sum.only_there),
      })}
      ${this.query.get("with") && !this.busy ? html`<p role="status">${counted(this.files.length, "file")}${this.next ? " so far" : ""}:
        ${count(differ.length)} with differences, ${count(this.files.filter((file) => !file.other_file_id).length)} only in this job.</p>` : nothing}
      ${this.file ? this.one() : nothing}
      ${list("Files that differ", differ, {
        "File…": (file) => html`<button class="plain" aria-pressed=${file === this.file}
          @click=${() => (this.file = file)}>${file.original_filename}</button>`,
        "Only this job#": (file) => unmatched(file.here).length, "Only the other job#": (file) => unmatched(file.there).length,
      }, this.files.length ? "No file differs." : "")}
      ${this.next ? html`<button @click=${() => this.attempt(() => this.more(this.query.get("with")))}>More files</button>` : nothing}`;
  }

  // Both jobs in one picture: a lane for each type and job.
  one() {
    const { file } = this;
    const names = [...new Set([...this.names, ...SIDES.flatMap(([side]) => file[side].map((one) => one.artifact_type))])];
    const lane = (name, side) => `${name}, ${side === "here" ? "this job" : "other job"}`;
    const labels = names.flatMap((name) => SIDES.map(([side]) => lane(name, side)));
    const events = SIDES.flatMap(([side]) => file[side].map((one) => ({ ...one, artifact_type: lane(one.artifact_type, side) })));
    const path = filePath(this.params.job, file.file_id);
    return html`<h2>${file.original_filename}</h2><div class="picture"><console-timeline .base=${path} .clips=${this.clipsOf(path)}
        .durationMs=${file.duration_ms} .labels=${labels} .lanesOfLabel=${SIDES.length} .events=${events}></console-timeline></div>
      ${list("Differences", this.differences(file), {
        "Type": (one) => label(names, one.artifact_type), "Reported by": (one) => one.whose, ...SPAN,
        "Listen": (one) => this.playButton(`${one.artifact_type} at ${time(one.start_ms, 3)}`, () => this.listenTo(path, one)),
      })}`;
  }
}
