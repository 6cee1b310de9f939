import { get, send } from "../api.js";
import { Page, html, label, list, state } from "../page.js";

class Models extends Page {
  static needs = "models";
  static properties = state("models", "cards");

  opened() {
    this.cards = {};
    this.attempt(async () => (this.models = (await get("/api/v1/models", this)).models));
  }

  async read(model, open) {
    if (!open || this.cards[model.id] !== undefined) return;
    const path = `/api/v1/models/${encodeURIComponent(model.id)}/card`;
    const text = await this.attempt(async () => (await send("GET", path, this)).text());
    this.cards = { ...this.cards, [model.id]: text ?? "The card could not be read." };
  }

  view() {
    return html`<h1>Models</h1>${this.failure}${this.models.map((model) => this.one(model))}`;
  }

  one(model) {
    const names = model.labels.map((one) => one.name);
    return html`<section class="card"><h2>${model.id}</h2>
      <p>${model.description}</p>
      <dl class="facts"><dt>Task</dt><dd>${model.task}${model.language ? `, ${model.language}` : ""}</dd>
        <dt>Sample rate</dt><dd>${model.sample_rate_hz} Hz</dd>
        <dt>Runs on</dt><dd>${model.provider ?? "not started yet"}</dd>
        <dt>License</dt><dd>${model.licence}</dd></dl>
      ${list(`Labels of ${model.id}`, model.labels, {
        "Label": (one) => html`${label(names, one.name)} <span class="soft">${one.point ? "a point in time" : ""}</span>`,
        "Threshold#": (one) => one.threshold, "Merge window#": (one) => `${one.merge_window_ms} ms`,
        "Least length#": (one) => `${one.min_duration_ms} ms`,
      })}
      <details @toggle=${(event) => this.read(model, event.target.open)}><summary>Model card</summary>
        <div class="document" tabindex="0" role="region" aria-label="Card of ${model.id}">${this.cards[model.id] ?? "Loading …"}</div>
      </details></section>`;
  }
}

customElements.define("console-models", Models);
