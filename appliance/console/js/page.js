// What all pages share: light DOM, an end with their removal, errors that people see, tables and forms, numbers as people
// read them.
import { LitElement, html, nothing } from "../vendor/lit.js";
import { get, query, wait } from "./api.js";

export { html, nothing };

// The properties of an element that it changes itself.
export const state = (...names) => Object.fromEntries(names.map((name) => [name, { state: true }]));

export const notice = (kind, text) =>
  html`<div class="notice ${kind}" role=${kind === "bad" ? "alert" : "status"}>${text}</div>`;

const loading = html`<p class="soft">Loading …</p>`;

export class Page extends LitElement {
  static properties = { params: {}, query: {}, session: {}, ...state("problem", "busy") };

  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    super.connectedCallback();
    this.closing = new AbortController();
    this.opened();
  }

  // load() reads what a page shows. It returns whether work runs, or nothing if reading it once is enough.
  opened() {
    if (this.load) this.poll();
  }

  reload() {
    return this.attempt(() => this.load());
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.closing.abort();
    this.closed?.();
  }

  get signal() {
    return this.closing.signal;
  }

  // Run a piece of work; what fails is shown on the page. Returns undefined then.
  async attempt(work) {
    [this.problem, this.busy] = [null, true];
    try {
      return await work();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.problem = error;
      if (error.status === undefined) console.error(error);
    } finally {
      this.busy = false;
    }
  }

  // Read what is shown again: every second while work runs, else every ten, never in a hidden tab.
  async poll(ask = () => this.load()) {
    for (let failed = null; !this.signal.aborted; ) {
      const began = performance.now();
      let running = false;
      try {
        running = await ask();
        if (this.problem === failed) this.problem = null; // what else failed stays to be read
        if (running === undefined) return;
      } catch (error) {
        if (this.signal.aborted || error.status === 401) return;
        this.problem = failed = error;
        running = error.passes;
      }
      const took = performance.now() - began;
      await wait(Math.max(250, (running ? 1000 : 10_000) - took), this.signal);
      while (document.hidden && !this.signal.aborted) {
        await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
      }
    }
  }

  change(work) {
    return this.attempt(async () => {
      await work();
      await this.load();
    });
  }

  // Until a page has what it needs, its title is shown, and what failed.
  render() {
    const { needs } = this.constructor;
    return !needs || this[needs] ? this.view() : html`<h1>${this.heading}</h1>${this.problem ? this.failure : loading}`;
  }

  get failure() {
    return this.problem ? notice("bad", this.problem.message) : nothing;
  }

  // Change the query of the address, so that a link or a reload shows the same.
  goWith(changes) {
    location.hash = query(location.hash.split("?")[0], { ...Object.fromEntries(this.query), ...changes });
  }

  may(scope) {
    const scopes = this.session?.scopes ?? [];
    return scopes.includes(scope) || (scope === "read" && scopes.includes("write"));
  }

  // What happens when a form is sent: work(values, data) gets its fields. They are cleared if it returns something.
  sent(work) {
    return async (event) => {
      event.preventDefault();
      const form = event.target;
      const data = new FormData(form, event.submitter);
      if (await this.attempt(() => work(Object.fromEntries(data), data))) form.reset();
    };
  }

  form(title, fields, action, work) {
    return html`<form class="card" @submit=${this.sent(work)}><h2>${title}</h2><div class="bar">${fields}
      <button class="main" ?disabled=${this.busy}>${action}</button></div></form>`;
  }

  // Filters that are kept in the address. A row is [name, text, options], or the type of a field in their place.
  filters(rows, more = nothing) {
    const filter = ([name, text, kind]) => (Array.isArray(kind)
      ? select(text, this.query.get(name), kind, (value) => this.goWith({ [name]: value }))
      : html`<label>${text} <input type=${kind} min="0" max="1" step="0.05" .value=${this.query.get(name) ?? ""}
          @change=${(event) => this.goWith({ [name]: event.target.value.trim() })}></label>`);
    return html`<form class="bar" role="search" @submit=${(event) => event.preventDefault()}>${rows.map(filter)}${more}</form>`;
  }
}

// A page with a list that is turned: load() reads the part that is shown.
export class ListPage extends Page {
  static properties = state("next");

  cursors = [null];

  async part(path, limit, filters = {}) {
    const page = await get(query(path, { limit, ...filters, cursor: this.cursor }), this);
    this.next = page.next_cursor;
    return page;
  }

  get cursor() {
    return this.cursors.at(-1);
  }

  requery() {
    this.cursors = [null];
    this.reload();
  }

  turn(forward) {
    if (forward) this.cursors.push(this.next);
    else this.cursors.pop();
    this.reload();
  }

  get pager() {
    return html`<div class="bar">${this.cursors.length > 1 ? html`<button @click=${() => this.turn(false)}>Back</button>` : nothing}
      ${this.next ? html`<button @click=${() => this.turn(true)}>More</button>` : nothing}</div>`;
  }
}

export const status = (text) => html`<span class="status ${text}">${String(text).replaceAll("_", " ")}</span>`;

export function label(labels, name) {
  const { shape, index } = look(labels, name);
  return html`<span class="label label-${index}"><span aria-hidden="true">${shape}</span> ${name}</span>`;
}

// A link to an object, by the beginning of its id.
export const link = (place, id) => html`<a class="mono" href="#/${place}/${id}">${id.slice(0, 8)}</a>`;

export const empty = (text) => html`<p class="table empty">${text}</p>`;

const KINDS = { "#": "number", "…": "name" };

// A table of items. columns is { heading: (item, index) => cell }: a heading that ends with # is of numbers, one with …
// of long names. Without items there is the sentence none; before they are read, a word about that.
export function list(caption, items, columns, none = "") {
  if (!items) return loading;
  if (!items.length) return none && empty(none);
  const cells = Object.entries(columns).map(([name, cell]) => [name.replace(/[#…]$/, ""), KINDS[name.at(-1)] ?? "", cell]);
  return html`<div class="table" tabindex="0" role="region" aria-label=${caption}><table><caption class="unseen">${caption}</caption>
    <thead><tr>${cells.map(([name, kind]) => html`<th scope="col" class=${kind}>${name}</th>`)}</tr></thead>
    <tbody>${items.map((item, index) => html`<tr>${cells.map(([, kind, cell]) => html`<td class=${kind}>${cell(item, index)}</td>`)}</tr>`)}
    </tbody></table></div>`;
}

export const SPAN = {
  "Start#": (one) => time(one.start_ms, 3), "Length#": (one) => time(one.end_ms - one.start_ms, 3), "Confidence#": (one) => percent(one.confidence),
};

// options are values, or pairs of a value and its text.
export const select = (text, value, options, change = () => {}, name = nothing) => html`<label>${text}
  <select name=${name} @change=${(event) => change(event.target.value)}>${options.map((option) => {
    const [key, shown = key] = [option].flat();
    return html`<option value=${key} ?selected=${key === (value ?? "")}>${shown}</option>`;
  })}</select></label>`;

export const field = (text, name, { type = "text", value, most, least, step, hint, pattern, choices, unit = "", optional = false } = {}) =>
  html`<label>${text} <input name=${name} type=${type} value=${value ?? nothing} ?required=${!optional} maxlength=${most ?? nothing}
    min=${least ?? nothing} step=${step ?? nothing} placeholder=${hint ?? nothing} pattern=${pattern ?? nothing} list=${choices ?? nothing}>
    ${unit}</label>`;

export const announce = (text) => dispatchEvent(new CustomEvent("announce", { detail: text }));

// 3723400 → "1:02:03.4"; digits is the number of decimals.
export function time(ms, digits = 1) {
  if (ms === null || ms === undefined) return "–";
  const unit = 10 ** digits;
  const ticks = Math.round((ms / 1000) * unit);
  const fraction = digits ? `.${String(ticks % unit).padStart(digits, "0")}` : "";
  const seconds = Math.floor(ticks / unit);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const tail = `${String(s).padStart(2, "0")}${fraction}`;
  return h ? `${h}:${String(m).padStart(2, "0")}:${tail}` : `${m}:${tail}`;
}

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (count >= 1000 && power < units.length - 1) [count, power] = [count / 1000, power + 1];
  return `${power && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[power]}`;
}

export const count = (number) => (number ?? 0).toLocaleString("en");
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
export const date = (text) => (text ? new Date(text).toLocaleString() : "–");
export const percent = (part) => `${Math.round(100 * part)} %`;

const SHAPES = ["●", "■", "▲", "◆", "▼", "★", "✚", "⬟"];

// How a label looks: its shape and colour go by its place in the model's list, so letters alone tell it, too.
export function look(labels, name) {
  const place = labels.indexOf(name);
  const index = (place < 0 ? [...name].reduce((sum, letter) => sum + letter.codePointAt(0), 0) : place) % SHAPES.length;
  return { shape: SHAPES[index], index, key: place >= 0 && place < 9 ? String(place + 1) : "" };
}
