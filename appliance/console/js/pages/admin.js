import { get, post, remove } from "../api.js";
import { date } from "../format.js";
import { Page, html, nothing, status, table } from "../page.js";

const ADMIN = "/api/v1/admin";
const SCOPES = { read: "see everything of its tenant", write: "send, review and delete, too", admin: "manage keys and tenants", metrics: "read the metrics" };

class Admin extends Page {
  static properties = { keys: { state: true }, tenants: { state: true }, made: { state: true } };

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
    const keys = "Key, Tenant, Scopes, Created, Last used, Expires, State";
    return html`<h2>Keys</h2>${table("Keys", keys, this.keys.map((key) => html`<tr>
        <td class="name">${key.name}</td><td class="name">${key.tenant}</td><td>${key.scopes.join(", ")}</td>
        <td>${date(key.created_at)}</td><td>${date(key.last_used_at)}</td><td>${date(key.expires_at)}</td>
        <td>${key.revoked_at ? "revoked" : html`<button class="danger" @click=${() => this.revoke(key)}
          aria-label="Revoke ${key.name}">Revoke</button>`}</td></tr>`))}
      <h2>Tenants</h2>${table("Tenants", "Tenant, Created, State, Change", this.tenants.map((tenant) => html`<tr>
        <td class="name">${tenant.name}</td><td>${date(tenant.created_at)}</td>
        <td>${status(tenant.disabled_at ? "disabled" : "ok")}</td>
        <td><button @click=${() => this.change(() => post(`${ADMIN}/tenants/${tenant.id}/${tenant.disabled_at ? "enable" : "disable"}`))}
          aria-label="${tenant.disabled_at ? "Enable" : "Disable"} ${tenant.name}">${tenant.disabled_at ? "Enable" : "Disable"}</button></td></tr>`))}`;
  }
}

customElements.define("console-admin", Admin);
