import { get, put } from "../api.js";
import { Page, html, list, nothing, notice, state, status } from "../page.js";

const RULES = "/api/v1/verdict-rules";
const MEASURES = { longest_ms: "the longest lasts over (ms)", total_ms: "all together last over (ms)", count: "there are more than" };

// The rules of a tenant: they say which files pass, and which must be looked at or recorded again.
class Rules extends Page {
  static properties = state("rules", "saved");

  opened() {
    this.attempt(async () => (this.rules = (await get(RULES, this)).rules));
  }

  async save(rules) {
    const answer = await this.attempt(() => put(RULES, { rules }));
    if (!answer) return false;
    [this.rules, this.saved] = [answer.rules, true];
    return true;
  }

  async add(event) {
    event.preventDefault();
    const form = event.target;
    const { type, measure, over, within, verdict } = Object.fromEntries(new FormData(form));
    const rule = { artifact_type: type, measure, over: Number(over), verdict, within_ms: within ? Math.round(within * 1000) : null };
    if (await this.save([...this.rules, rule])) form.reset();
  }

  render() {
    const write = this.may("write");
    return html`<h1>Rules</h1><p>A file gets the gravest verdict of the rules that apply to it; a file to which none applies passes.</p>
      ${this.failure}${this.saved ? notice("good", "Saved. The verdicts of all files follow within seconds.") : nothing}
      ${list("Rules", this.rules, {
        "Type…": (rule) => (rule.artifact_type === "*" ? "any" : rule.artifact_type), "If": (rule) => `${MEASURES[rule.measure]} ${rule.over}`,
        "Within": (rule) => (rule.within_ms ? `any ${rule.within_ms / 1000} s` : "the whole file"), "Verdict": (rule) => status(rule.verdict),
        "Change": (_, index) => (write ? html`<button @click=${() => this.save(this.rules.toSpliced(index, 1))}
          aria-label="Remove rule ${index + 1}">Remove</button>` : nothing),
      }, "No rules yet.")}
      ${write && this.rules ? html`<form class="card" @submit=${this.add}><h2>New rule</h2><div class="bar">
        <label>Type <input name="type" required maxlength="100" placeholder="dropout, or * for any"></label>
        <label>If <select name="measure">${Object.entries(MEASURES).map(([name, text]) => html`<option value=${name}>${text}</option>`)}</select></label>
        <label>the limit <input name="over" type="number" min="0" step="any" required></label>
        <label>within (s) <input name="within" type="number" min="0.001" step="any" placeholder="whole file"></label>
        <label>the file gets <select name="verdict"><option>fail</option><option>review</option></select></label>
        <button class="main" ?disabled=${this.busy}>Add</button></div></form>` : nothing}`;
  }
}

customElements.define("console-rules", Rules);
