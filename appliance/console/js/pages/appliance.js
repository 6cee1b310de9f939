// Pages about the appliance itself: its models, the rules of verdicts, its status, its keys and tenants.
import { get, post, put, query, remove, send } from "../api.js";
import { Page, bytes, count, date, field, html, label, link, list, nothing, notice, select, state, status } from "../page.js";

export class Models extends Page {
  static needs = "models";
  static properties = state("models", "cards");

  async load() {
    this.cards = {};
    this.models = (await get("/api/v1/models", this)).models;
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

const RULES = "/api/v1/verdict-rules";
const MEASURES = { longest_ms: "the longest in ms is over", total_ms: "all together in ms are over", count: "their number is over" };

// The rules of a tenant: they say which files pass, and which must be looked at or recorded again.
export class Rules extends Page {
  static properties = state("rules", "saved");

  async load() {
    this.rules = (await get(RULES, this)).rules;
  }

  async save(rules) {
    this.rules = (await put(RULES, { rules })).rules;
    return (this.saved = true);
  }

  add({ type, measure, over, within, verdict }) {
    const within_ms = within ? Math.round(within * 1000) : null;
    return this.save([...this.rules, { artifact_type: type, measure, over: Number(over), verdict, within_ms }]);
  }

  drop(index) {
    return this.attempt(() => this.save(this.rules.toSpliced(index, 1)));
  }

  view() {
    const write = this.may("write");
    return html`<h1>Rules</h1><p>A file gets the gravest verdict of the rules that apply to it; a file to which none applies passes.</p>
      ${this.failure}${this.saved ? notice("good", "Saved. The verdicts of all files follow within seconds.") : nothing}
      ${list("Rules", this.rules, {
        "Type…": (rule) => (rule.artifact_type === "*" ? "any" : rule.artifact_type), "If": (rule) => `${MEASURES[rule.measure]} ${rule.over}`,
        "Within": (rule) => (rule.within_ms ? `any ${rule.within_ms / 1000} s` : "the whole file"), "Verdict": (rule) => status(rule.verdict),
        "Change": (_, index) => (write ? html`<button @click=${() => this.drop(index)} aria-label="Remove rule ${index + 1}">Remove</button>` : nothing),
      }, "No rules yet.")}
      ${write && this.rules ? this.form("New rule", html`${field("Type", "type", { most: 100, hint: "dropout, or * for any" })}
        ${select("If", "", Object.entries(MEASURES), undefined, "measure")}
        ${field("the limit", "over", { type: "number", least: 0, step: "any" })}
        ${field("within (s)", "within", { type: "number", least: 0.001, step: "any", hint: "whole file", optional: true })}
        ${select("the file gets", "", ["fail", "review"], undefined, "verdict")}`, "Add", (values) => this.add(values)) : nothing}`;
  }
}

const UNITS = { bytes, seconds: (value) => `${count(Math.round(value / 60))} min`, files: count, uploads: count };

export class Status extends Page {
  static needs = "checks";
  static properties = state("checks", "reasons", "quotas", "failed", "webhooks");

  async load() {
    // 503 has the same body: it says what is not ready.
    const { checks = {} } = await (await send("GET", "/readyz", { signal: this.signal, answers: [503] })).json();
    const { status: state, reasons } = await get("/api/v1/status", this);
    Object.assign(this, { state: state.toLowerCase(), reasons: reasons.map((one) => one.check), checks });
    if (!this.may("read")) return false;
    const [usage, jobs, deliveries] = await Promise.all([
      get("/api/v1/usage", this),
      get(query("/api/v1/inference-jobs", { status: "failed", limit: 10 }), this),
      get(query("/api/v1/webhooks/deliveries", { status: "failed", limit: 10 }), this),
    ]);
    [this.quotas, this.failed, this.webhooks] = [usage.quotas, jobs.inference_jobs, deliveries.deliveries];
    return !/empty/.test(checks.queue?.detail ?? "empty");
  }

  view() {
    const stateOf = (name, { ok }) => (!ok ? "broken" : this.reasons.includes(name) ? "warning" : "ok");
    return html`<h1>Status</h1>${this.failure}
      <p>The appliance is ${status(this.state)}</p>
      <div class="cards">${Object.entries(this.checks).map(([name, check]) => html`<section class="card">
        <h2>${name}</h2>${status(stateOf(name, check))}<p>${check.detail}</p></section>`)}</div>
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

const ADMIN = "/api/v1/admin";
const SCOPES = { read: "see everything of its tenant", write: "send, review and delete, too", admin: "manage keys and tenants", metrics: "read the metrics" };

export class Admin extends Page {
  static needs = "keys";
  static properties = state("keys", "tenants", "made");

  async load() {
    const [{ keys }, { tenants }] = await Promise.all([get(`${ADMIN}/keys`, this), get(`${ADMIN}/tenants`, this)]);
    [this.keys, this.tenants] = [keys, tenants];
  }

  async create({ name, tenant, days }, data) {
    const expiry = Number(days) ? { expires_days: Number(days) } : {};
    this.made = await post(`${ADMIN}/keys`, { name, tenant, scopes: data.getAll("scope"), ...expiry });
    await this.load();
    return true;
  }

  revoke(key) {
    if (confirm(`Revoke the key ${key.name}? Whoever uses it is refused from now on.`)) this.change(() => remove(`${ADMIN}/keys/${key.id}`));
  }

  view() {
    const other = (tenant) => (tenant.disabled_at ? "Enable" : "Disable");
    return html`<h1>Keys and tenants</h1>${this.failure}
      ${this.made ? html`<div class="notice good" role="status">The key <b>${this.made.name}</b> is shown only now:
        <p class="mono">${this.made.key}</p></div>` : nothing}
      <h2>Keys</h2>${list("Keys", this.keys, {
        "Key…": (key) => key.name, "Tenant…": (key) => key.tenant, "Scopes": (key) => key.scopes.join(", "),
        "Created": (key) => date(key.created_at), "Last used": (key) => date(key.last_used_at), "Expires": (key) => date(key.expires_at),
        "State": (key) => (key.revoked_at ? "revoked" : html`<button class="danger" @click=${() => this.revoke(key)}
          aria-label="Revoke ${key.name}">Revoke</button>`),
      })}
      <h2>Tenants</h2>${list("Tenants", this.tenants, {
        "Tenant…": (tenant) => tenant.name, "Created": (tenant) => date(tenant.created_at),
        "State": (tenant) => status(tenant.disabled_at ? "disabled" : "ok"),
        "Change": (tenant) => html`<button aria-label="${other(tenant)} ${tenant.name}"
          @click=${() => this.change(() => post(`${ADMIN}/tenants/${tenant.id}/${other(tenant).toLowerCase()}`))}>${other(tenant)}</button>`,
      })}
      ${this.form("New key", html`${field("Name", "name", { most: 100 })} ${field("Tenant", "tenant", { most: 100, value: "default", choices: "tenants" })}
        <datalist id="tenants">${this.tenants.map((tenant) => html`<option>${tenant.name}</option>`)}</datalist>
        ${field("Days until it expires", "days", { type: "number", least: 0, step: "any", hint: "never", optional: true })}
        <fieldset class="bar"><legend>Scopes</legend>${Object.entries(SCOPES).map(([scope, meaning]) => html`<label>
          <input type="checkbox" name="scope" value=${scope} ?checked=${scope === "read" || scope === "write"}> ${scope}: ${meaning}</label>`)}</fieldset>`,
        "Create the key", (values, data) => this.create(values, data))}`;
  }
}
