import { get, post, query } from "../api.js";
import { count, date } from "../format.js";
import { Page, empty, html, nothing, table } from "../page.js";

const DATASETS = "/api/v1/datasets";

class Datasets extends Page {
  static properties = { datasets: { state: true }, next: { state: true } };

  opened() {
    this.more();
  }

  more() {
    return this.attempt(async () => {
      const page = await get(query(DATASETS, { limit: 50, cursor: this.next }), this);
      [this.datasets, this.next] = [[...(this.datasets ?? []), ...page.datasets], page.next_cursor];
    });
  }

  async create(event) {
    event.preventDefault();
    const { name, description } = Object.fromEntries(new FormData(event.target));
    const made = await this.attempt(() => post(DATASETS, { name, description }));
    if (made) location.hash = `#/datasets/${made.id}`;
  }

  render() {
    const columns = "Dataset, Description, Recordings#, Annotation sets#, Made";
    return html`<h1>Datasets</h1>${this.failure}
      ${!this.datasets ? html`<p class="soft">Loading …</p>` : this.datasets.length ? table("Datasets", columns, this.datasets.map((one) => html`<tr>
        <td class="name"><a href="#/datasets/${one.id}">${one.name}</a></td><td class="name">${one.description}</td>
        <td class="number">${count(one.audio_count)}</td><td class="number">${count(one.annotation_set_count)}</td><td>${date(one.created_at)}</td></tr>`))
      : empty("No datasets.")}
      ${this.next ? html`<button @click=${this.more}>More</button>` : nothing}
      ${this.may("write") ? html`<form class="card" @submit=${this.create}><h2>New dataset</h2><div class="bar">
        <label>Name <input name="name" required maxlength="200"></label><label>Description <input name="description" maxlength="10000"></label>
        <button class="main" ?disabled=${this.busy}>Create</button></div></form>` : nothing}`;
  }
}

customElements.define("console-datasets", Datasets);
