// What all pages share: light DOM, an end with their removal, and errors that people see.
import { LitElement, html, nothing } from "../vendor/lit.js";
import { look } from "./format.js";
import { poll } from "./poll.js";

export { html, nothing };

// The properties of an element that it changes itself.
export const state = (...names) => Object.fromEntries(names.map((name) => [name, { state: true }]));

export class Page extends LitElement {
  static properties = { params: {}, query: {}, session: {}, ...state("problem", "busy") };

  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    super.connectedCallback();
    this.closing = new AbortController();
    this.opened?.();
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
    this.problem = null;
    this.busy = true;
    try {
      return await work();
    } catch (error) {
      if (error.name !== "AbortError") this.problem = error;
      if (!error.status && error.name !== "AbortError" && error.code !== "unreachable") console.error(error);
      return undefined;
    } finally {
      this.busy = false;
    }
  }

  poll(ask) {
    return poll(this.signal, ask, (error) => (this.problem = error));
  }

  // Until a page has what it needs, its title is shown, and what failed.
  render() {
    return this[this.constructor.needs] ? this.view() : html`<h1>${this.heading}</h1>${this.failure || html`<p class="soft">Loading …</p>`}`;
  }

  get failure() {
    return this.problem ? notice("bad", this.problem.message) : nothing;
  }

  // Change the query of the address, so that a link or a reload shows the same.
  goWith(changes) {
    const merged = { ...Object.fromEntries(this.query), ...changes };
    const kept = Object.entries(merged).filter(([, value]) => value !== "" && value !== null);
    const text = new URLSearchParams(kept).toString();
    location.hash = location.hash.split("?")[0] + (text ? `?${text}` : "");
  }

  may(scope) {
    const scopes = this.session?.scopes ?? [];
    return scopes.includes(scope) || (scope === "read" && scopes.includes("write"));
  }
}

// A page with a list that is turned: load() reads the part after this.cursor, and sets this.next.
export class ListPage extends Page {
  cursors = [null];

  get cursor() {
    return this.cursors.at(-1);
  }

  requery() {
    this.cursors = [null];
    this.reload();
  }

  reload() {
    return this.attempt(() => this.load());
  }

  turn(forward) {
    if (forward) this.cursors.push(this.next);
    else this.cursors.pop();
    this.reload();
  }

  pager(back, on) {
    return html`<div class="bar">${this.cursors.length > 1 ? html`<button @click=${() => this.turn(false)}>${back}</button>` : nothing}
      ${this.next ? html`<button @click=${() => this.turn(true)}>${on}</button>` : nothing}</div>`;
  }
}

export const notice = (kind, text) =>
  html`<div class="notice ${kind}" role=${kind === "bad" ? "alert" : "status"}>${text}</div>`;

export const status = (text) => html`<span class="status ${text}">${String(text).replaceAll("_", " ")}</span>`;

export function label(labels, name) {
  const { shape, index } = look(labels, name);
  return html`<span class="label label-${index}"><span aria-hidden="true">${shape}</span> ${name}</span>`;
}

export const empty = (text) => html`<p class="table empty">${text}</p>`;

const KINDS = { "#": "number", "…": "name" };

// A table of items. columns is { heading: (item, index) => cell }: a heading that ends with # is of numbers, one with …
// of long names. Without items there is the sentence none; before they are read, a word about that.
export function list(caption, items, columns, none = "") {
  if (!items) return html`<p class="soft">Loading …</p>`;
  if (!items.length) return none && empty(none);
  const cells = Object.entries(columns).map(([name, cell]) => [name.replace(/[#…]$/, ""), KINDS[name.at(-1)] ?? "", cell]);
  return html`<div class="table" tabindex="0" role="region" aria-label=${caption}><table><caption class="unseen">${caption}</caption>
    <thead><tr>${cells.map(([name, kind]) => html`<th scope="col" class=${kind}>${name}</th>`)}</tr></thead>
    <tbody>${items.map((item, index) => html`<tr>${cells.map(([, kind, cell]) => html`<td class=${kind}>${cell(item, index)}</td>`)}</tr>`)}
    </tbody></table></div>`;
}

export const select = (text, value, options, change, name = nothing) => html`<label>${text}
  <select name=${name} @change=${(event) => change(event.target.value)}>${options.map(([option, name = option]) =>
    html`<option value=${option} ?selected=${option === (value ?? "")}>${name}</option>`)}</select></label>`;

export function announce(text) {
  dispatchEvent(new CustomEvent("announce", { detail: text }));
}
