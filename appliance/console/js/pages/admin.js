import { get, post, remove } from "../api.js";
import { date } from "../format.js";
import { Page, field, html, list, nothing, state, status } from "../page.js";

const ADMIN = "/api/v1/admin";
const SCOPES = { read: "see everything of its tenant", write: "send, review and delete, too", admin: "manage keys and tenants", metrics: "read the metrics" };

class Admin extends Page {
  static needs = "keys";
  static properties = state("keys", "tenants", "made");

  opened() {
    this.change();
  }

  // Make a change, and read everything again.
  change(work) {
    return this.attempt(async () => {
      const done = await work?.();
      const [{ keys }, { tenants }] = await Promise.all([get(`${ADMIN}/keys`, this), get(`${ADMIN}/tenants`, this)]);
      [this.keys, this.tenants] = [keys, tenants];
      return done;
    });
  }

  async create({ name, tenant, days }, data) {
    const expiry = Number(days) ? { expires_days: Number(days) } : {};
    this.made = await post(`${ADMIN}/keys`, { name, tenant, scopes: data.getAll("scope"), ...expiry });
    await this.change();
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

customElements.define("console-admin", Admin);
