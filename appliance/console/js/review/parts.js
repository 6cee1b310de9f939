// What a reviewer sees beside the picture: the list, buttons that are keys, too, sliders, the precision, what sounds alike.
import { filePath, get, jobPath, post, query, whenMade } from "../api.js";
import { Page, count, counted, html, label, list, look, nothing, notice, percent, select, state, status, time } from "../page.js";
import { spanOf, stateOf } from "./queue.js";

const ROWS = 25; // of the list at a time

// The keys of the review page: [keys, meaning, action].
export function shortcuts(page) {
  const axis = () => page.querySelector("console-timeline")?.axis;
  const relabel = (key) => {
    const name = page.labels[Number(key) - 1];
    if (name) page.decide("confirmed", name);
  };
  return [
    [["c"], "Confirm, store, go on and play", () => page.decide("confirmed")],
    [["x"], "Reject, store, go on and play", () => page.decide("rejected")],
    [["1", "2", "3", "4", "5", "6", "7", "8", "9"], "It is of the type with this number", relabel],
    [["a"], "Reject what sounds alike", () => page.alike()],
    [["u"], "Undo the last decision", () => page.undo()],
    [["j", "ArrowDown"], "Next", () => page.go(page.index + 1)],
    [["k", "ArrowUp"], "Previous", () => page.go(page.index - 1)],
    [[" "], "Play or stop", () => page.toggle()],
    [["r"], "Play again", () => page.play()],
    [["l"], "Loop", () => page.flip("looped")],
    [["s"], "Half speed", () => page.flip("slow")],
    [["g"], "18 dB louder", () => page.flip("loud")],
    [["q"], "Start 10 ms earlier", () => page.nudge("reviewed_start_ms", -10)],
    [["w"], "Start 10 ms later", () => page.nudge("reviewed_start_ms", 10)],
    [["o"], "End 10 ms earlier", () => page.nudge("reviewed_end_ms", -10)],
    [["p"], "End 10 ms later", () => page.nudge("reviewed_end_ms", 10)],
    [["+", "="], "Zoom in", () => axis()?.zoom(0.5)],
    [["-"], "Zoom out", () => axis()?.zoom(2)],
    [["ArrowLeft"], "Move left", () => axis()?.pan(-0.25)],
    [["ArrowRight"], "Move right", () => axis()?.pan(0.25)],
    [["v"], "Show the model's scores", () => page.flip("scores")],
    [["z"], "Zoom to the detection", () => page.zoomIn()],
    [["0"], "Show the whole file", () => axis()?.show(0, page.file.duration_ms)],
    [["?"], "Show the keys", () => page.querySelector("dialog.help").showModal()],
  ];
}

export function detections(page) {
  const { queue, index } = page;
  const first = Math.floor(index / ROWS) * ROWS;
  const shown = queue.items.slice(first, first + ROWS);
  return html`<div class="table"><table class="queue" role="grid" aria-rowcount=${queue.total} aria-label="Detections">
    <thead><tr><th scope="col">Type</th><th scope="col" class="name">File</th><th scope="col" class="number">Start</th>
      <th scope="col" class="number">Length</th><th scope="col" class="number">Confidence</th><th scope="col">Review</th></tr></thead>
    <tbody>${shown.map((item, row) => line(page, item, first + row))}</tbody></table></div>
    <div class="bar"><button ?disabled=${first === 0} @click=${() => page.go(first - ROWS, false)}>Previous</button>
      <span>${first + 1} to ${first + shown.length} of ${queue.total}</span>
      <button ?disabled=${first + ROWS >= queue.total} @click=${() => page.go(first + ROWS, false)}>Next</button>
      ${page.may("write") ? html`<button class="danger" @click=${() => page.decideAll("rejected")}>Reject all of the list</button>
        <button @click=${() => page.decideAll("confirmed")}>Confirm all of the list</button>` : nothing}</div>`;
}

function line(page, item, index) {
  const span = spanOf(item);
  const state = stateOf(item);
  const chosen = index === page.index;
  return html`<tr aria-selected=${chosen} aria-rowindex=${index + 1} tabindex=${chosen ? 0 : -1} @click=${(event) => {
      event.currentTarget.focus();
      page.go(index);
    }}>
    <td>${label(page.labels, span.artifact_type)}</td><td class="name">${item.original_filename}</td>
    <td class="number">${time(span.start_ms, 3)}</td><td class="number">${time(span.end_ms - span.start_ms, 3)}</td>
    <td class="number">${percent(span.confidence)}</td>
    <td>${state === "unreviewed" ? html`<span class="soft">–</span>` : status(state)}</td></tr>`;
}

export function decisions(page) {
  const { item } = page;
  if (!item || !page.may("write")) return nothing;
  const span = spanOf(item);
  const act = (...what) => button(page.shortcuts, ...what);
  return html`<section class="card" aria-label="Decide">
    <p>${label(page.labels, item.detection.artifact_type)} ${percent(item.detection.confidence)}</p>
    <div class="bar">${act("c", "Confirm", { kind: "main" })} ${act("x", "Reject", { kind: "danger" })} ${act("a", "Alike …")} ${act("u", "Undo")}</div>
    <div class="bar relabel" role="group" aria-label="It is another type">${page.labels.map((name) => html`<button
      @click=${() => page.decide("confirmed", name)}>${label(page.labels, name)}${hint(look(page.labels, name).key)}</button>`)}</div>
    <dl class="facts"><dt>Start</dt><dd>${time(span.start_ms, 3)} ${act("q", "−")} ${act("w", "+")}</dd>
      <dt>End</dt><dd>${time(span.end_ms, 3)} ${act("o", "−")} ${act("p", "+")}</dd></dl>
    ${act("?", "All keys", { kind: "plain" })}</section>`;
}

const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

const shortcutsOn = () => localStorage.getItem("shortcuts") !== "off";

export function press(event, shortcuts) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  if (!shortcutsOn() && !event.key.startsWith("Arrow") && event.key !== "?") return;
  if (event.key === " " && event.target.closest("button, a, summary")) return;
  const key = event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
  const row = shortcuts.find(([keys]) => keys.includes(key));
  if (!row) return;
  event.preventDefault();
  row[2](key);
}

const hint = (key) => (shortcutsOn() && key ? html` <kbd>${key}</kbd>` : nothing);

// The button that does the same as a key. If its text is a sign, screen readers read what the key means.
export function button(shortcuts, key, text, { kind = "", pressed = nothing, hinted = true } = {}) {
  const [, meaning, action] = shortcuts.find(([keys]) => keys.includes(key));
  return html`<button class=${kind} title=${meaning} aria-label=${text.length === 1 ? meaning : nothing} aria-pressed=${pressed}
    @click=${() => action(key)}>${text}${hinted ? hint(key) : nothing}</button>`;
}

export const help = (shortcuts) => html`<dialog class="help" aria-labelledby="help-title"><h2 id="help-title">Keys</h2>
  <p class="soft">They act while the list or the timeline has the focus.</p>
  <div class="bar"><label><input type="checkbox" ?checked=${shortcutsOn()}
    @change=${(event) => localStorage.setItem("shortcuts", event.target.checked ? "on" : "off")}>
    Single-key shortcuts</label><form method="dialog"><button>Close</button></form></div>
  <table><thead><tr><th scope="col">Key</th><th scope="col">What it does</th></tr></thead>
    <tbody>${shortcuts.map(([keys, meaning]) => html`<tr><td>${keys.map((key) => html`<kbd>${NAMES[key] ?? key}</kbd> `)}</td>
      <td>${meaning}</td></tr>`)}</tbody></table></dialog>`;

const SLIDERS = [
  ["threshold", "Threshold", [0.01, 0.99, 0.01], (value) => value.toFixed(2)],
  ["merge_window_ms", "Merge within", [0, 2000, 10], (value) => `${value} ms`],
  ["min_duration_ms", "At least", [0, 1000, 10], (value) => `${value} ms`],
];

const slider = (id, text, shown, [least, most, step], value, change) => html`<div class="slider"><label for=${id}>${text}</label>
  <span>${shown}</span> <input type="range" id=${id} min=${least} max=${most} step=${step} .value=${String(value)}
    @input=${(event) => change(Number(event.target.value))}></div>`;

// Sliders: what other settings would find, from the kept scores, before anything is kept.
class Tuning extends Page {
  static properties = { job: {}, file: {}, ...state("changes", "found", "done") };

  willUpdate(changed) {
    if (changed.has("file") && this.file?.id !== changed.get("file")?.id) this.reset();
  }

  get path() {
    return filePath(this.job, this.file.id);
  }

  reset() {
    this.changes = {};
    this.found = this.problem = this.done = null;
    this.tell(null);
  }

  tell(detections) {
    this.dispatchEvent(new CustomEvent("preview", { detail: detections }));
  }

  slide(name, value) {
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
    const later = wholeJob ? `Detection runs again in ${counted(answer.queued_files, "file")}.` : "The file is analyzed again.";
    this.done = wholeJob || withModel ? later : `Kept: ${counted(answer.detection_count, "detection")}.`;
    this.dispatchEvent(new CustomEvent("kept"));
  }

  render() {
    if (!this.file?.config) return nothing;
    const config = { ...this.file.config, ...this.changes };
    const changed = Object.keys(this.changes).length > 0;
    const missing = this.problem?.status === 409;
    return html`<h2>Detection</h2>
      ${SLIDERS.map(([name, text, range, show]) => slider(name, text, show(config[name]), range, config[name],
        (value) => this.slide(name, value)))}
      <p class="found" role="status">${this.found ? html`${counted(this.found.detection_count, "detection")} in this file
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

class Summary extends Page {
  static properties = { job: {}, labels: {}, ...state("rows", "target") };

  constructor() {
    super();
    this.target = "0.9";
  }

  async load() {
    const path = query(`${jobPath(this.job)}/review-summary`, { target_precision: this.target });
    this.rows = (await get(path, this)).labels;
  }

  aim(value) {
    this.target = value;
    this.reload();
  }

  render() {
    const targets = ["0.8", "0.9", "0.95", "0.99"].map((value) => [value, percent(value)]);
    return html`<details><summary>Precision by type</summary>${this.failure}
      ${select("Suggest a threshold for a precision of", this.target, targets, (value) => this.aim(value))}
      ${list("Precision by type", this.rows, {
        "Type": (row) => label(this.labels, row.artifact_type),
        "Reviewed#": (row) => `${count(row.counts.reviewed)} of ${count(row.counts.total)}`, "Right#": (row) => count(row.counts.confirmed),
        "Precision#": (row) => (row.precision === null ? "–" : html`${percent(row.precision)}<br>
          <span class="soft">${percent(row.precision_low)} to ${percent(row.precision_high)}</span>`),
        "Threshold#": (row) => row.suggested_threshold?.toFixed(2) ?? "–",
      })}</details>`;
  }
}

customElements.define("review-summary", Summary);

const SHOWN = 12;

// Detections that sound like the selected one, to reject at once.
class Alike extends Page {
  static properties = { job: {}, ...state("item", "items", "least", "compared") };

  constructor() {
    super();
    this.least = 0.8;
  }

  // Ask for the detections of the same type that sound like an item and are not reviewed.
  open(item) {
    Object.assign(this, { item, items: null });
    const { artifact_type: type, start_ms, end_ms } = item.detection;
    const asked = { file_id: item.file_id, start_ms, end_ms, type, state: "unreviewed", min_similarity: 0.5 };
    this.updateComplete.then(() => this.querySelector("dialog").showModal());
    return this.attempt(async () => {
      const response = await whenMade(query(`${jobPath(this.job)}/similar-detections`, asked), this);
      ({ items: this.items, compared: this.compared } = await response.json());
      await this.updateComplete;
      this.querySelector("button.danger").focus();
    });
  }

  get chosen() {
    return this.items?.filter((one) => one.similarity >= this.least) ?? [];
  }

  reject(event) {
    if (event.submitter?.value !== "reject") return;
    this.dispatchEvent(new CustomEvent("reject", { detail: this.chosen }));
  }

  render() {
    const { chosen } = this;
    return html`<dialog aria-labelledby="alike-title" @submit=${this.reject}><h2 id="alike-title">Detections that sound alike</h2>
      ${this.failure}<form method="dialog">
      ${slider("least", "Similarity from", percent(this.least), [0.5, 1, 0.01], this.least, (value) => (this.least = value))}
      <p role="status">${this.items ? `${count(chosen.length)} of ${count(this.compared)} that are not reviewed`
        : this.problem ? nothing : "The recordings are being compared …"}</p>
      ${chosen.slice(0, SHOWN).map((one) => html`<div class="bar"><button type="button"
        @click=${() => this.dispatchEvent(new CustomEvent("hear", { detail: one }))}>Play</button>
        <span class="name">${one.original_filename}, ${time(one.detection.start_ms)}</span><span class="soft">${percent(one.similarity)}</span></div>`)}
      ${chosen.length > SHOWN ? html`<p class="soft">and ${count(chosen.length - SHOWN)} more</p>` : nothing}
      <div class="bar"><button class="danger" value="reject" ?disabled=${!chosen.length}>Reject ${count(chosen.length)}</button>
        <button value="no">Cancel</button></div></form></dialog>`;
  }
}

customElements.define("review-alike", Alike);
