import { filePath, get, jobPath, query } from "../api.js";
import { announce, count, counted, empty, html, nothing, notice, percent, select, state, time } from "../page.js";
import { ListenPage } from "../player.js";
import { button, decisions, detections, help, press, shortcuts } from "../review/parts.js";
import { Decisions, Outbox, Queue, spanOf } from "../review/queue.js";
import "../timeline/timeline.js";
import { labelsOf } from "./jobs.js";

const ORDERS = [["", "file and time"], ["lowest", "least certain first"], ["highest", "most certain first"]];
const STATES = [["", "all"], "unreviewed", "reviewed", "confirmed", "relabelled", "rejected"];
const CONTEXTS = [["0", "none"], ["500", "0.5 s"], ["2000", "2 s"]];
const SWITCHES = [["l", "Loop", "looped"], ["s", "½ speed", "slow"], ["g", "+18 dB", "loud"], ["v", "Scores", "scores"]];
const AHEAD = 2; // clips that are fetched before they are asked for
const nameOf = ({ file_id: file, detection }) => `${file}/${detection.artifact_type}/${detection.start_ms}/${detection.end_ms}`;

export class Review extends ListenPage {
  static needs = "queue";
  static properties = state(
    "job", "file", "index", "headMs", "preview", "contextMs", "playing", "slow", "loud", "looped", "scores"
  );

  opened() {
    Object.assign(this, { index: 0, headMs: null, contextMs: 500, path: jobPath(this.params.job) });
    this.player.addEventListener("play", () => (this.playing = true));
    this.player.addEventListener("stop", () => (this.playing = false));
    this.outbox = new Outbox(this.session.tenant, () => this.delivered());
    this.decisions = new Decisions(this.params.job, this.outbox);
    this.shortcuts = shortcuts(this);
    this.requery();
  }

  // Read the queue from its beginning, with the filters of the address.
  async requery() {
    const { file, ...filters } = Object.fromEntries(this.query);
    const queue = new Queue(this.params.job, { ...filters, file_id: file }, (items) => this.decisions.overlay(items), this.signal);
    await this.attempt(async () => {
      const job = get(`${this.path}?files=false`, this);
      [this.job, this.labels] = await Promise.all([job, labelsOf(job, this), queue.more(), this.showFile(file)]);
      this.queue = queue;
      await this.go(0, false);
      if (!queue.items.length && !file) await this.showFile((await get(`${this.path}/files?limit=1`, this)).files[0]?.id);
    });
  }

  get item() {
    return this.queue?.items[this.index] ?? null;
  }

  // Select an item of the queue: show it, play it, and fetch the clips of the next ones.
  go(index, play = true) {
    return this.attempt(() => this.select(index, play));
  }

  async select(index, play) {
    const item = this.queue.items[index] ?? await this.queue.at(index);
    if (!item) return announce(index < 0 ? "This is the first one." : "This was the last one.");
    const focused = this.querySelector("tbody")?.contains(document.activeElement); // its row may be gone on the next page
    this.index = index;
    this.queue.at(index).catch(() => {}); // reads on
    this.headMs = null;
    this.requestUpdate();
    const shown = this.attempt(() => this.showFile(item.file_id));
    if (play) {
      this.play();
      this.listenAhead(index);
    }
    const { start_ms: start, end_ms: end } = spanOf(item);
    announce(`${index + 1} of ${this.queue.total}, ${item.detection.artifact_type} ${percent(item.detection.confidence)}, ${time(start)}`);
    await this.updateComplete;
    if (focused) this.querySelector("tr[aria-selected=true]")?.focus();
    await shown;
    await this.updateComplete;
    const timeline = this.querySelector("console-timeline");
    await timeline?.updateComplete;
    timeline?.axis.reveal(start, end);
  }

  async listenAhead(index) {
    for (const next of this.queue.items.slice(index + 1, index + 1 + AHEAD)) {
      if (this.index === index) await this.clipsOf(this.pathOf(next)).get(...this.stretch(next)).catch(() => {});
    }
  }

  async showFile(id) {
    this.wanted = id;
    if (!id || this.file?.id === id) return;
    const file = await get(filePath(this.params.job, id), this);
    if (this.wanted === id) [this.file, this.preview] = [file, null];
  }

  pathOf(item) {
    return filePath(this.params.job, item.file_id);
  }

  // What is played for an item: its span with some context, and at least 100 ms.
  stretch(item) {
    const { start_ms: start, end_ms: end } = spanOf(item);
    const from = Math.max(0, start - this.contextMs);
    return [from, Math.min(item.duration_ms, Math.max(end + this.contextMs, from + 100), from + 30_000)];
  }

  play(item = this.item) {
    return item && this.hear(this.pathOf(item), ...this.stretch(item));
  }

  toggle() {
    if (this.player.playing) this.player.stop();
    else if (this.headMs === null && this.item) this.play();
    else this.runFrom(this.headMs ?? 0);
  }

  // Switch something on or off: how it sounds, or what is shown.
  flip(name) {
    this[name] = !this[name];
    Object.assign(this.player, { loop: this.looped, rate: this.slow ? 0.5 : 1, gain: this.loud ? 8 : 1 });
    if (this.player.playing && name !== "scores") this.play();
  }

  // One key: decide, store, go on to the next and play it.
  decide(verdict, type = null) {
    const item = this.item;
    if (!item || !this.may("write")) return;
    const reviewed = type && type !== item.detection.artifact_type ? type : null;
    this.decisions.decide([item], { verdict, reviewed_type: reviewed });
    this.go(this.index + 1);
  }

  decideAll(verdict) {
    this.attempt(async () => {
      while (await this.queue.more());
      const items = this.queue.items.filter((item) => !item.review);
      if (!items.length || !confirm(`${verdict === "rejected" ? "Reject" : "Confirm"} ${counted(items.length, "detection")} without a review?`)) return;
      this.decisions.decide(items, { verdict });
      announce(`${items.length} ${verdict}`);
      this.requestUpdate();
    });
  }

  alike() {
    if (this.item && this.may("write")) this.querySelector("review-alike").open(this.item);
  }

  // Items of the queue are changed with the others, so that the list shows it.
  rejectAlike({ detail }) {
    const known = new Map(this.queue.items.map((item) => [nameOf(item), item]));
    this.decisions.decide(detail.map((item) => known.get(nameOf(item)) ?? item), { verdict: "rejected" });
    announce(`${detail.length} rejected`);
    this.go(this.index + 1);
  }

  undo() {
    const item = this.decisions.undo();
    if (!item) return announce("There is nothing to undo.");
    const index = this.queue.items.indexOf(item);
    this.go(Math.max(0, index), false);
    announce("Undone.");
  }

  nudge(edge, ms) {
    const item = this.item;
    if (!item || !this.may("write")) return;
    const span = spanOf(item);
    const edges = { reviewed_start_ms: span.start_ms, reviewed_end_ms: span.end_ms };
    edges[edge] = Math.max(0, Math.min(edges[edge] + ms, item.duration_ms));
    if (edges.reviewed_end_ms - edges.reviewed_start_ms < 1) return;
    this.decisions.decide([item], { verdict: "confirmed", ...edges });
    this.requestUpdate();
    this.play();
  }

  delivered() {
    const { refused, waiting } = this.outbox;
    if (refused) [this.problem, this.outbox.refused] = [refused, null];
    this.requestUpdate();
    clearTimeout(this.counting); // decisions that follow each other quickly are counted once
    if (!waiting.length) this.counting = setTimeout(() => this.recount(), 300);
  }

  async recount() {
    const page = await get(query(`${this.path}/review-queue`, { limit: 1 }), this).catch(() => null);
    if (page && this.queue) this.queue.progress = page.progress;
    this.requestUpdate();
  }

  async kept() {
    this.file = await this.attempt(() => get(filePath(this.params.job, this.file.id), this)) ?? this.file;
    this.preview = null;
    await this.requery();
  }

  pick({ detail }) {
    const index = this.queue.items.findIndex((item) => item.file_id === this.file.id && item.detection.start_ms === detail.detected);
    if (index >= 0) this.go(index);
  }

  runFrom(ms) {
    this.headMs = ms;
    return this.run(filePath(this.params.job, this.file.id), ms, this.file.duration_ms);
  }

  get events() {
    const marks = new Map(this.queue.items.filter((item) => item.file_id === this.file.id && item.review)
      .map((item) => [`${item.detection.artifact_type}/${item.detection.start_ms}`, item.review.verdict]));
    return this.file.detections.map((one) => ({ ...one, detected: one.start_ms, verdict: marks.get(`${one.artifact_type}/${one.start_ms}`) }));
  }

  view() {
    const { progress } = this.queue;
    const { late, waiting } = this.outbox;
    return html`<div class="review" @keydown=${(event) => press(event, this.shortcuts)}>
      <h1>${this.file ? this.file.original_filename || this.file.id : "Review"}</h1>
      <div class="bar"><a href="#/jobs/${this.job.id}">Job ${this.job.id.slice(0, 8)}</a>
        <label>Reviewed <progress max=${progress.total || 1} value=${progress.reviewed}></progress></label>
        <span class="progress">${count(progress.reviewed)} of ${count(progress.total)}: ${count(progress.confirmed)} confirmed,
          ${count(progress.relabelled)} relabelled, ${count(progress.rejected)} rejected</span>
        ${waiting.length ? html`<span class="status queued">
          ${waiting.length} to be stored${late ? ` – ${late}` : ""}</span>` : nothing}
        ${this.query.get("file") ? html`<button @click=${() => this.goWith({ file: "" })}>All files of the job</button>` : nothing}</div>
      ${this.failure}
      ${this.file?.error_message ? notice("bad", this.file.error_message) : nothing}
      <div class="columns"><div>${this.file?.status === "completed" ? this.picture() : nothing}
          ${this.filters([["order", "Order", ORDERS], ["state", "Review", STATES],
            ["type", "Type", [["", "all"], ...this.labels]], ["min_confidence", "Confidence from", "number"], ["max_confidence", "to", "number"]])}
          ${this.queue.items.length ? detections(this) : empty("No detections.")}</div>
        <div class="side">${decisions(this)}
          ${this.file?.status === "completed" ? html`<review-tuning .job=${this.job.id} .file=${this.file} .session=${this.session}
            @preview=${(event) => (this.preview = event.detail)} @kept=${this.kept}></review-tuning>` : nothing}
          <review-summary .job=${this.job.id} .labels=${this.labels}></review-summary></div></div>
      <review-alike .job=${this.job.id} @reject=${this.rejectAlike} @hear=${(event) => this.play(event.detail)}></review-alike>
      ${help(this.shortcuts)}</div>`;
  }

  picture() {
    const path = filePath(this.params.job, this.file.id);
    const tool = (key, text, options) => button(this.shortcuts, key, text, { hinted: false, ...options });
    return html`<div class="picture" tabindex="0" role="group" aria-label="Timeline"><console-timeline
        .base=${path} .clips=${this.clipsOf(path)} .durationMs=${this.file.duration_ms}
        .labels=${this.labels} .events=${this.events} .preview=${this.preview} .headMs=${this.headMs} .showScores=${!!this.scores}
        .selected=${this.item?.file_id === this.file.id ? spanOf(this.item) : null}
        @seek=${(event) => this.runFrom(event.detail)} @pick=${this.pick}></console-timeline></div>
      <div class="bar tools">${tool(" ", this.playing ? "Stop" : "Play", { kind: "main" })}
        ${SWITCHES.map(([key, text, name]) => tool(key, text, { pressed: !!this[name] }))}
        ${select("Context", String(this.contextMs), CONTEXTS, (value) => (this.contextMs = Number(value)))}
        ${tool("+", "+")} ${tool("-", "−")} ${tool("0", "Whole file")} ${tool("z", "Detection")}
        <label>Contrast <input type="range" min="0" max="0.8" step="0.05" value="0.25"
          @input=${(event) => this.querySelector("console-timeline").contrast(Number(event.target.value))}></label></div>`;
  }

  zoomIn() {
    if (!this.item) return;
    const { start_ms: start, end_ms: end } = spanOf(this.item);
    const margin = Math.max(end - start, 20);
    this.querySelector("console-timeline")?.axis.show(start - margin, end + margin);
  }
}
