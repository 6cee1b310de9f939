import { get, put } from "../api.js";
import { Page, field, html, list, nothing, notice, select, state, status } from "../page.js";

const RULES = "/api/v1/verdict-rules";
const MEASURES = { longest_ms: "the longest lasts over (ms)", total_ms: "all together last over (ms)", count: "there are more than" };

// The rules of a tenant: they say which files pass, and which must be looked at or recorded again.
class Rules extends Page {
  static properties = state("rules", "saved");

  opened() {
    this.attempt(async () => (this.rules = (await get(RULES, this)).rules));
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

customElements.define("console-rules", Rules);
