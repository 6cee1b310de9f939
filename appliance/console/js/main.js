// The frame around the pages: who is signed in, where to go, what is announced to screen readers.
import { LitElement, html, nothing } from "../vendor/lit.js";
import { ApiError, forget, remove } from "./api.js";
import { state } from "./page.js";
import { open } from "./router.js";
import "./pages/login.js";

const PLACES = [
  ["jobs", "Jobs"], ["upload", "Upload", "write"], ["datasets", "Datasets"], ["speech", "Speech"],
  ["models", "Models"], ["training", "Training"], ["status", "Status"], ["admin", "Keys", "admin"],
];
const THEMES = ["system", "light", "dark"];

class App extends LitElement {
  static properties = state("session", "page", "place", "reason", "theme", "said");

  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    super.connectedCallback();
    this.useTheme(localStorage.getItem("theme") ?? "system");
    addEventListener("hashchange", () => this.show());
    addEventListener("signed-out", (event) => this.leave(event.detail));
    addEventListener("announce", (event) => (this.said = event.detail));
    this.ask();
  }

  async ask() {
    try {
      // A 401 is an answer here, not the end of a session.
      const response = await fetch("/console/session");
      if (response.status === 401) return this.leave("");
      if (!response.ok) throw new ApiError(response.status, "unknown", `The appliance answered ${response.status}.`);
      this.enter(await response.json());
    } catch {
      this.leave("The appliance does not answer. Is it running, and is the network up?");
    }
  }

  enter(session) {
    this.session = session;
    this.reason = "";
    this.show();
  }

  leave(reason) {
    forget();
    if (this.session) this.reason = reason;
    else this.reason ||= reason;
    this.session = null;
    this.page = null;
    document.title = "Sign in – Console";
  }

  async signOut() {
    await remove("/console/session").catch(() => {});
    this.reason = "You are signed out.";
    this.leave("You are signed out.");
  }

  async show() {
    if (!this.session) return;
    const moved = this.path;
    this.path = location.hash.split("?")[0];
    const { page, place, title } = await open(location.hash, this.session, this.page);
    [this.page, this.place] = [page, place];
    document.title = `${title} – Console`;
    await this.updateComplete;
    if (moved !== undefined && moved !== this.path) {
      await page.updateComplete;
      const heading = this.querySelector("main h1");
      heading?.setAttribute("tabindex", "-1");
      heading?.focus();
    }
  }

  useTheme(theme) {
    this.theme = theme;
    localStorage.setItem("theme", theme);
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    dispatchEvent(new CustomEvent("theme"));
  }

  render() {
    if (this.session === undefined) return html`<main><p class="soft">Loading …</p></main>`;
    const theme = html`<label>Theme <select @change=${(event) => this.useTheme(event.target.value)}>
      ${THEMES.map((name) => html`<option ?selected=${name === this.theme}>${name}</option>`)}</select></label>`;
    const voice = html`<div class="unseen" role="status" aria-live="polite">${this.said}</div>`;
    if (!this.session) {
      return html`<main class="login"><console-login .reason=${this.reason}
        @signed-in=${(event) => this.enter(event.detail)}></console-login>${theme}</main>${voice}`;
    }
    const places = PLACES.filter(([, , scope]) => !scope || this.session.scopes.includes(scope));
    return html`<a class="skip" href="#main" @click=${this.skip}>Skip to the content</a>
      <header class="top"><a class="brand" href="#/jobs">Console</a>
        <nav aria-label="Pages">${places.map(([place, name]) => html`<a href="#/${place}"
          aria-current=${place === this.place ? "page" : nothing}>${name}</a>`)}</nav>
        ${theme}
        <span class="soft" title="The tenant and the key of this session">${this.session.tenant} · ${this.session.key_name}</span>
        <button @click=${this.signOut}>Sign out</button></header>
      <main id="main" tabindex="-1">${this.page ?? nothing}</main>${voice}`;
  }

  skip(event) {
    event.preventDefault();
    document.querySelector("#main").focus();
  }
}

customElements.define("console-app", App);
