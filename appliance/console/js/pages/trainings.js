import { get, post } from "../api.js";
import { count, date } from "../format.js";
import { ListPage, announce, html, list, nothing, notice, select, status } from "../page.js";
import { JOBS, phase, runs } from "../training.js";

class Trainings extends ListPage {
  static properties = {
    jobs: { state: true }, next: { state: true }, datasets: { state: true }, models: { state: true }, plan: { state: true },
  };

  opened() {
    this.poll(() => this.load());
    if (this.may("write")) this.attempt(() => this.choices());
  }

  async load() {
    const page = await get(`${JOBS}?limit=50${this.cursor ? `&cursor=${this.cursor}` : ""}`, this);
    [this.jobs, this.next] = [page.items, page.next_cursor];
    return this.jobs.some(runs);
  }

  async choices() {
    const [{ datasets }, { models }] = await Promise.all([get("/api/v1/datasets?limit=200", this), get("/api/v1/models", this)]);
    [this.datasets, this.models] = [datasets, models.filter((one) => one.task === "detection")];
  }

  // Labels are proposed from the types that the chosen datasets define, until somebody writes others.
  async propose() {
    const form = this.querySelector("form.new");
    const ids = new FormData(form).getAll("dataset");
    const chosen = await this.attempt(() => Promise.all(ids.map((id) => get(`/api/v1/datasets/${id}`, this))));
    const { labels } = form.elements;
    if (!chosen || labels.value !== (this.proposed ?? "")) return;
    labels.value = this.proposed = [...new Set(chosen.flatMap((one) => one.artifact_types.map((type) => type.name)))].join(", ");
  }

  // The button "Check" asks what would be refused; "Train" starts it, if nothing is.
  async start(event) {
    event.preventDefault();
    const form = new FormData(event.target, event.submitter);
    const body = {
      name: form.get("name"), dataset_ids: form.getAll("dataset"), base_model: form.get("base_model"), mode: form.get("mode"),
      labels: form.get("labels").split(",").map((name) => name.trim()).filter(Boolean),
      max_false_alarms_per_hour: Number(form.get("alarms")), holdout: { share: Number(form.get("share")) / 100 },
    };
    this.plan = await this.attempt(() => post(`${JOBS}?dry_run=true`, body));
    if (!this.plan || this.plan.refusals.length || form.get("do") === "check") return;
    const job = await this.attempt(() => post(JOBS, body));
    if (!job) return;
    announce("The training is queued.");
    location.hash = `#/training/${job.id}`;
  }

  render() {
    return html`<h1>Training</h1>
      <p>A training makes a model of your own from annotated recordings: it finds the labels that you annotated.</p>${this.failure}
      ${list("Trainings", this.jobs, {
        "Model…": (job) => html`<a href="#/training/${job.id}">${job.model_id ?? job.name}</a>`,
        "State": (job) => status(job.status),
        "Progress": (job) => (runs(job) ? phase(job) : "–"),
        "Labels…": (job) => job.labels.join(", "),
        "Begins with…": (job) => job.base_model,
        "Made": (job) => date(job.created_at),
      }, "No trainings yet.")}${this.pager("Newer", "Older")}
      ${this.datasets ? this.form() : nothing}`;
  }

  form() {
    return html`<form class="card new" @submit=${this.start}><h2>New training</h2>
      <div class="bar"><label>Name of the model <input name="name" required maxlength="100" pattern="[a-z0-9][a-z0-9._\\-]*"
          title="Small letters, digits, dots, underscores and hyphens" placeholder="knocks"></label>
        ${this.datasets.length ? nothing : notice("warn", "There is no dataset yet: a training needs one with annotated recordings.")}</div>
      <fieldset class="bar" @change=${this.propose}><legend>Datasets to learn from</legend>${this.datasets.map((one) => html`<label>
        <input type="checkbox" name="dataset" value=${one.id}> ${one.name} <span class="soft">(${count(one.audio_count)})</span></label>`)}</fieldset>
      <div class="bar"><label>Labels, with commas <input name="labels" required maxlength="2000" size="40" autocomplete="off"></label>
        ${select("Begins with", "artifacts", (this.models ?? []).map((one) => [one.name]), () => {}, "base_model")}
        ${select("Labels of that model", "append", [["append", "stay"], ["replace", "are left out"]], () => {}, "mode")}</div>
      <div class="bar"><label>At most <input name="alarms" type="number" min="0.1" max="10000" step="any" value="10" required> false alarms an hour</label>
        <label>Held out to try it on <input name="share" type="number" min="10" max="50" value="25" required> % of the groups</label></div>
      ${this.plan ? this.planned() : nothing}
      <div class="bar"><button class="main" name="do" value="train" ?disabled=${this.busy}>Train</button>
        <button name="do" value="check" ?disabled=${this.busy}>Check only</button></div></form>`;
  }

  planned() {
    const { refusals, warnings, counts } = this.plan;
    return html`${refusals.length ? notice("bad", html`This training would be refused:
        <ul>${refusals.map((text) => html`<li>${text}</li>`)}</ul>`) : notice("good", "This training would start.")}
      ${warnings.map((text) => notice("warn", text))}
      ${list("What there is of each label", counts.labels ?? [], {
        "Label…": (one) => one.name, "Events#": (one) => count(one.events), "Groups#": (one) => count(one.groups),
        "Audio without it#": (one) => `${Math.round(one.clean_seconds / 60)} min`,
      })}`;
  }
}

customElements.define("console-trainings", Trainings);
