// The frame around the pages: who is signed in, where to go, what is announced to screen readers.
import { forget, post, remove, send } from "./api.js";
import { Page, html, nothing, notice, select, state } from "./page.js";

// An address, the page and the title that it means, and the file of the page, which is loaded when it is first opened.
const ROUTES = [
  [/^jobs$/, "Jobs", "Jobs", "jobs"],
  [/^jobs\/(?<job>[^/]+)$/, "Job", "Job", "jobs"],
  [/^jobs\/(?<job>[^/]+)\/review$/, "Review", "Review", "review"],
  [/^jobs\/(?<job>[^/]+)\/compare$/, "Compare", "Compare", "compare"],
  [/^upload$/, "Upload", "Upload", "upload"],
  [/^datasets$/, "Datasets", "Datasets", "datasets"],
  [/^datasets\/(?<dataset>[^/]+)$/, "Dataset", "Dataset", "datasets"],
  [/^datasets\/(?<dataset>[^/]+)\/next$/, "Next", "What to annotate next", "datasets"],
  [/^datasets\/(?<dataset>[^/]+)\/evaluation$/, "Evaluation", "Evaluation", "datasets"],
  [/^speech$/, "Speech", "Speech", "speech"],
  [/^speech\/(?<transcript>[^/]+)$/, "Transcript", "Transcript", "speech"],
  [/^rules$/, "Rules", "Rules", "appliance"],
  [/^models$/, "Models", "Models", "appliance"],
  [/^training$/, "Trainings", "Training", "training"],
  [/^training\/(?<training>[^/]+)$/, "Training", "Training", "training"],
  [/^status$/, "Status", "Status", "appliance"],
  [/^admin$/, "Admin", "Keys and tenants", "appliance"],
];
const PLACES = [
  ["jobs", "Jobs"], ["upload", "Upload", "write"], ["datasets", "Datasets"], ["speech", "Speech"],
  ["models", "Models"], ["training", "Training"], ["status", "Status"], ["admin", "Keys", "admin"],
];

class Login extends Page {
  static properties = { reason: {} };

  async signIn({ key }) {
    try {
      this.dispatchEvent(new CustomEvent("signed-in", { detail: await post("/console/session", { key: key.trim() }) }));
      return true;
    } catch (error) {
      this.querySelector("input").select();
      throw error;
    }
  }

  view() {
    return html`<h1>Console</h1>
      <p class="soft">Sign in with an API key of this appliance. The key is sent once and not stored in the browser.</p>
      ${this.reason ? notice("warn", this.reason) : nothing}
      <form class="card" method="post" @submit=${this.sent((values) => this.signIn(values))}>
        <label class="field"><span>API key</span>
          <input type="password" name="key" autocomplete="current-password" required maxlength="200" spellcheck="false"></label>
        ${this.failure}
        <button class="main" ?disabled=${this.busy}>Sign in</button>
      </form>`;
  }

  firstUpdated() {
    this.querySelector("input").focus();
  }
}

customElements.define("console-login", Login);

class App extends Page {
  static properties = state("session", "page", "reason", "theme", "said");

  opened() {
    this.useTheme(localStorage.getItem("theme") ?? "system");
    addEventListener("hashchange", () => this.show());
    addEventListener("signed-out", (event) => this.leave(event.detail));
    addEventListener("announce", (event) => (this.said = event.detail));
    this.ask();
  }

  async ask() {
    try {
      // A 401 is an answer here, not the end of a session.
      const response = await send("GET", "/console/session", { answers: [401] });
      if (response.ok) this.enter(await response.json());
      else this.leave("");
    } catch (error) {
      this.leave(error.message);
    }
  }

  enter(session) {
    this.session = session;
    this.reason = "";
    this.show();
  }

  leave(reason) {
    forget();
    this.reason = (!this.session && this.reason) || reason;
    this.session = this.page = null;
    document.title = "Sign in – Console";
  }

  async signOut() {
    await remove("/console/session").catch(() => {});
    this.leave("You are signed out.");
  }

  get place() {
    return this.page?.at.split("/")[0];
  }

  // Show the page of the address. The one that is open is kept if only its query changed.
  async show() {
    if (!this.session) return;
    const { hash } = location;
    const [address, search = ""] = hash.replace(/^#\/?/, "").split("?");
    const path = address || "jobs";
    const route = ROUTES.find(([pattern]) => pattern.test(path));
    if (!route) return void (location.hash = "#/jobs");
    const [pattern, name, heading, file] = route;
    const { [name]: Shown } = await import(`./pages/${file}.js`);
    if (hash !== location.hash || !this.session) return; // somebody went on, or signed out, while the page was loaded
    const before = this.page;
    const kept = before?.at === path;
    const tag = `console-${name.toLowerCase()}`;
    if (!customElements.get(tag)) customElements.define(tag, Shown);
    const page = kept ? before : new Shown();
    Object.assign(page, { at: path, params: pattern.exec(path).groups ?? {}, heading, query: new URLSearchParams(search), session: this.session });
    this.page = page;
    document.title = `${heading} – Console`;
    if (kept) page.requery?.();
    else if (before) this.focusHeading();
  }

  // Who moves to another page by keyboard or hears the page begins at its heading.
  async focusHeading() {
    await this.updateComplete;
    await this.page.updateComplete;
    const heading = this.querySelector("main h1");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus();
  }

  useTheme(theme) {
    this.theme = theme;
    localStorage.setItem("theme", theme);
    document.documentElement.dataset.theme = theme;
    dispatchEvent(new CustomEvent("theme"));
  }

  render() {
    if (this.session === undefined) return html`<main><p class="soft">Loading …</p></main>`;
    const theme = select("Theme", this.theme, ["system", "light", "dark"], (name) => this.useTheme(name));
    const voice = html`<div class="unseen" role="status" aria-live="polite">${this.said}</div>`;
    if (!this.session) {
      return html`<main class="login"><console-login .reason=${this.reason}
        @signed-in=${(event) => this.enter(event.detail)}></console-login>${theme}</main>${voice}`;
    }
    const places = PLACES.filter(([, , scope]) => !scope || this.may(scope));
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
