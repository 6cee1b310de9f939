import { get, post, remove } from "../api.js";
import { date } from "../format.js";
import { Page, html, list, nothing, state, status } from "../page.js";

const ADMIN = "/api/v1/admin";
const SCOPES = { read: "see everything of its tenant", write: "send, review and delete, too", admin: "manage keys and tenants", metrics: "read the metrics" };

class Admin extends Page {
  static properties = state("keys", "tenants", "made");

  opened() {
    this.load();
  }

  load() {
    return this.attempt(async () => {
      const [keys, tenants] = await Promise.all([get(`${ADMIN}/keys`, this), get(`${ADMIN}/tenants`, this)]);
      [this.keys, this.tenants] = [keys.keys, tenants.tenants];
    });
  }

  async change(work) {
    const done = await this.attempt(async () => [await work()]);
    const problem = this.problem;
    await this.load();
    this.problem ??= problem;
    return done?.[0];
  }

  async create(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const days = Number(form.get("days"));
    const body = { name: form.get("name"), tenant: form.get("tenant"), scopes: form.getAll("scope") };
    this.made = await this.change(() => post(`${ADMIN}/keys`, days ? { ...body, expires_days: days } : body));
    if (this.made) event.target.reset();
  }

  revoke(key) {
    if (confirm(`Revoke the key ${key.name}? Whoever uses it is refused from now on.`)) {
      this.change(() => remove(`${ADMIN}/keys/${key.id}`));
    }
  }

  render() {
    return html`<h1>Keys and tenants</h1>${this.failure}
      ${this.made ? html`<div class="notice good" role="status">The key <b>${this.made.name}</b> is shown only now:
        <p class="mono">${this.made.key}</p></div>` : nothing}
      ${this.keys ? this.all() : html`<p class="soft">Loading …</p>`}
      <form class="card" @submit=${this.create}><h2>New key</h2>
        <div class="bar"><label>Name <input name="name" required maxlength="100"></label>
          <label>Tenant <input name="tenant" required maxlength="100" value="default" list="tenants"></label>
          <label>Days until it expires <input name="days" type="number" min="0" step="any" placeholder="never"></label></div>
        <datalist id="tenants">${this.tenants?.map((tenant) => html`<option>${tenant.name}</option>`)}</datalist>
        <fieldset class="bar"><legend>Scopes</legend>${Object.entries(SCOPES).map(([scope, meaning]) => html`<label>
          <input type="checkbox" name="scope" value=${scope} ?checked=${scope === "read" || scope === "write"}> ${scope}: ${meaning}</label>`)}</fieldset>
        <button class="main" ?disabled=${this.busy}>Create the key</button></form>`;
  }

  all() {
    const other = (tenant) => (tenant.disabled_at ? "Enable" : "Disable");
    return html`<h2>Keys</h2>${list("Keys", this.keys, {
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
      })}`;
  }
}

customElements.define("console-admin", Admin);
