// The list of a review, its filters, and the buttons that decide: the same as the keys do.
import { look, percent, time } from "../format.js";
import { html, label, nothing, select, status } from "../page.js";
import { shortcutsOn } from "../keys.js";
import { spanOf, stateOf } from "./queue.js";

const ROWS = 25; // of the list at a time
const ORDERS = [["", "file and time"], ["lowest", "least certain first"], ["highest", "most certain first"]];
const STATES = [["", "all"], ["unreviewed"], ["reviewed"], ["confirmed"], ["relabelled"], ["rejected"]];

export function filters(page) {
  const value = (name) => page.query.get(name) ?? "";
  const part = (name, text) => html`<label>${text} <input type="number" min="0" max="1" step="0.05" size="5" .value=${value(name)}
    @change=${(event) => page.goWith({ [name]: event.target.value })}></label>`;
  return html`<form class="bar" role="search" aria-label="Which detections" @submit=${(event) => event.preventDefault()}>
    ${select("Order", value("order"), ORDERS, (order) => page.goWith({ order }))}
    ${select("Review", value("state"), STATES, (state) => page.goWith({ state }))}
    ${select("Type", value("type"), [["", "all"], ...page.labels.map((name) => [name])], (type) => page.goWith({ type }))}
    ${part("min_confidence", "Confidence from")} ${part("max_confidence", "to")}</form>`;
}

export function list(page) {
  const { queue, index } = page;
  const first = Math.floor(index / ROWS) * ROWS;
  const shown = queue.items.slice(first, first + ROWS);
  const write = page.may("write");
  return html`<div class="table"><table class="queue" role="grid" aria-rowcount=${queue.total} aria-label="Detections">
    <thead><tr><th scope="col">Type</th><th scope="col" class="name">File</th><th scope="col" class="number">Start</th>
      <th scope="col" class="number">Length</th><th scope="col" class="number">Confidence</th><th scope="col">Review</th></tr></thead>
    <tbody>${shown.map((item, row) => line(page, item, first + row))}</tbody></table></div>
    <div class="bar"><button ?disabled=${first === 0} @click=${() => page.go(first - ROWS, false)}>Previous</button>
      <span>${first + 1} to ${first + shown.length} of ${queue.total}</span>
      <button ?disabled=${first + ROWS >= queue.total} @click=${() => page.go(first + ROWS, false)}>Next</button>
      ${write ? html`<button class="danger" @click=${() => page.decideShown("rejected")}>Reject all of the list</button>
        <button @click=${() => page.decideShown("confirmed")}>Confirm all of the list</button>` : nothing}</div>`;
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
  const key = (text) => (shortcutsOn() && text ? html` <kbd>${text}</kbd>` : nothing);
  const edge = (name, ms, letter) => html`<button @click=${() => page.nudge(name, ms)}
    aria-label="${name === "reviewed_start_ms" ? "Start" : "End"} 10 ms ${ms < 0 ? "earlier" : "later"}">${ms < 0 ? "−" : "+"}${key(letter)}</button>`;
  return html`<section class="card" aria-label="Decide">
    <p>${label(page.labels, item.detection.artifact_type)} ${percent(item.detection.confidence)}</p>
    <div class="bar"><button class="main" @click=${() => page.decide("confirmed")}>Confirm${key("c")}</button>
      <button class="danger" @click=${() => page.decide("rejected")}>Reject${key("x")}</button>
      <button @click=${() => page.alike()}>Alike …${key("a")}</button>
      <button @click=${() => page.undo()}>Undo${key("u")}</button></div>
    <div class="bar relabel" role="group" aria-label="It is another type">${page.labels.map((name) => html`<button
      @click=${() => page.decide("confirmed", name)}>${label(page.labels, name)}${key(look(page.labels, name).key)}</button>`)}</div>
    <dl class="facts"><dt>Start</dt><dd>${time(span.start_ms, 3)} ${edge("reviewed_start_ms", -10, "q")} ${edge("reviewed_start_ms", 10, "w")}</dd>
      <dt>End</dt><dd>${time(span.end_ms, 3)} ${edge("reviewed_end_ms", -10, "o")} ${edge("reviewed_end_ms", 10, "p")}</dd></dl>
    <button class="plain" @click=${() => page.querySelector("dialog.help").showModal()}>All keys${key("?")}</button></section>`;
}
