// How good the model is, by what was decided so far.
import { get, jobPath, query } from "../api.js";
import { count, percent } from "../format.js";
import { Page, html, label, nothing, select, table } from "../page.js";

class Summary extends Page {
  static properties = { job: {}, labels: {}, rows: { state: true }, target: { state: true } };

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
    const columns = "Type, Reviewed#, Right#, Precision#, Threshold#";
    const targets = ["0.8", "0.9", "0.95", "0.99"].map((value) => [value, percent(value)]);
    return html`<details><summary>Precision by type</summary>${this.failure}
      ${select("Suggest a threshold for a precision of", this.target, targets, (value) => this.aim(value))}
      ${this.rows ? table("Precision by type", columns, this.rows.map((row) => html`<tr>
        <td>${label(this.labels, row.artifact_type)}</td>
        <td class="number">${count(row.counts.reviewed)} of ${count(row.counts.total)}</td>
        <td class="number">${count(row.counts.confirmed)}</td>
        <td class="number">${row.precision === null ? "–" : html`${percent(row.precision)}<br>
          <span class="soft">${percent(row.precision_low)} to ${percent(row.precision_high)}</span>`}</td>
        <td class="number">${row.suggested_threshold?.toFixed(2) ?? "–"}</td></tr>`)) : nothing}</details>`;
  }
}

customElements.define("review-summary", Summary);
