// What a reviewer sees of a queue: the list, and the buttons that decide. Each of them is a key, too.
import { look, percent, time } from "../format.js";
import { button, hint } from "../keys.js";
import { html, label, nothing, status } from "../page.js";
import { spanOf, stateOf } from "./queue.js";

const ROWS = 25; // of the list at a time

// The keys of the review page: [keys, meaning, action].
export function shortcuts(page) {
  const timeline = () => page.querySelector("console-timeline");
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
    [["+", "="], "Zoom in", () => timeline()?.zoom(0.5)],
    [["-"], "Zoom out", () => timeline()?.zoom(2)],
    [["ArrowLeft"], "Move left", () => timeline()?.pan(-0.25)],
    [["ArrowRight"], "Move right", () => timeline()?.pan(0.25)],
    [["v"], "Show the model's scores", () => page.flip("scores")],
    [["z"], "Zoom to the detection", () => page.zoomIn()],
    [["0"], "Show the whole file", () => timeline()?.show(0, page.file.duration_ms)],
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
