import { get, query, send } from "../api.js";
import { bytes, count, date } from "../format.js";
import { Page, html, link, list, nothing, state, status } from "../page.js";

const UNITS = { bytes, seconds: (value) => `${count(Math.round(value / 60))} min`, files: count, uploads: count };

class Status extends Page {
  static needs = "checks";
  static properties = state("checks", "quotas", "failed", "webhooks");

  opened() {
    this.poll(() => this.load());
  }

  async load() {
    // 503 has the same body: it says what is not ready.
    const { checks = {} } = await (await send("GET", "/readyz", { signal: this.signal, answers: [503] })).json();
    [this.state, this.checks] = [(await get("/api/v1/status", this)).status.toLowerCase(), checks];
    if (!this.may("read")) return false;
    const [usage, jobs, deliveries] = await Promise.all([
      get("/api/v1/usage", this),
      get(query("/api/v1/inference-jobs", { status: "failed", limit: 10 }), this),
      get(query("/api/v1/webhooks/deliveries", { status: "failed", limit: 10 }), this),
    ]);
    [this.quotas, this.failed, this.webhooks] = [usage.quotas, jobs.inference_jobs, deliveries.deliveries ?? deliveries.items];
    return !/empty/.test(checks.queue?.detail ?? "empty");
  }

  view() {
    return html`<h1>Status</h1>${this.failure}
      <p>The appliance is ${status(this.state)}</p>
      <div class="cards">${Object.entries(this.checks).map(([name, check]) => html`<section class="card">
        <h2>${name}</h2>${status(check.ok ? "ok" : "broken")}<p>${check.detail}</p></section>`)}</div>
      ${this.quotas ? this.usage() : nothing}
      ${this.failed ? this.errors() : nothing}`;
  }

  usage() {
    const show = (quota, value) => (value === null ? "no limit" : UNITS[quota.name.split("_").at(-1)]?.(value) ?? count(value));
    return html`<h2>What this tenant uses</h2>
      ${list("Quotas", this.quotas, {
        "Limit": (quota) => quota.name.replace("tenant_", "").replaceAll("_", " "),
        "Used#": (quota) => show(quota, quota.used), "Allowed#": (quota) => show(quota, quota.allowed),
      })}`;
  }

  errors() {
    return html`<h2>Errors</h2>
      ${list("Failed jobs", this.failed, {
        "Job": (job) => link("jobs", job.id), "Model…": (job) => job.model_id,
        "What failed…": (job) => job.error_message, "Changed": (job) => date(job.updated_at),
      }, "No job has failed.")}
      ${this.webhooks.length ? html`<h2>Webhooks that were not delivered</h2>${list("Webhooks", this.webhooks, {
        "Event": (one) => one.event_type, "To…": (one) => one.url, "Last error…": (one) => one.last_error ?? one.last_status,
      })}` : nothing}`;
  }
}

customElements.define("console-status", Status);
