// How good the model is, by what was decided so far.
import { get, jobPath, query } from "../api.js";
import { count, percent } from "../format.js";
import { Page, html, label, list, select, state } from "../page.js";

class Summary extends Page {
  static properties = { job: {}, labels: {}, ...state("rows", "target") };

  constructor() {
    super();
    this.target = "0.9";
  }

  opened() {
    this.load();
  }

  async load() {
    const path = query(`${jobPath(this.job)}/review-summary`, { target_precision: this.target });
    this.rows = await this.attempt(async () => (await get(path, this)).labels) ?? this.rows;
  }

  aim(value) {
    this.target = value;
    this.load();
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
