import { get, post, query } from "../api.js";
import { count, date } from "../format.js";
import { Page, html, list, nothing, state } from "../page.js";

const DATASETS = "/api/v1/datasets";

class Datasets extends Page {
  static properties = state("datasets", "next");

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
    return html`<h1>Datasets</h1>${this.failure}
      ${list("Datasets", this.datasets, {
        "Dataset…": (one) => html`<a href="#/datasets/${one.id}">${one.name}</a>`, "Description…": (one) => one.description,
        "Recordings#": (one) => count(one.audio_count), "Annotation sets#": (one) => count(one.annotation_set_count),
        "Made": (one) => date(one.created_at),
      }, "No datasets.")}
      ${this.next ? html`<button @click=${this.more}>More</button>` : nothing}
      ${this.may("write") ? html`<form class="card" @submit=${this.create}><h2>New dataset</h2><div class="bar">
        <label>Name <input name="name" required maxlength="200"></label><label>Description <input name="description" maxlength="10000"></label>
        <button class="main" ?disabled=${this.busy}>Create</button></div></form>` : nothing}`;
  }
}

customElements.define("console-datasets", Datasets);
