// Single-key shortcuts. They act only while the list or the timeline has the focus, and can be switched off.
import { html, nothing } from "../vendor/lit.js";

const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

const shortcutsOn = () => localStorage.getItem("shortcuts") !== "off";

// shortcuts: rows of [keys, meaning, action]. Does what the key of an event means.
export function press(event, shortcuts) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return;
  if (!shortcutsOn() && !event.key.startsWith("Arrow") && event.key !== "?") return;
  if (event.key === " " && event.target.closest("button, a, summary")) return;
  const key = event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
  const row = shortcuts.find(([keys]) => keys.includes(key));
  if (!row) return;
  event.preventDefault();
  row[2](key);
}

export const hint = (key) => (shortcutsOn() && key ? html` <kbd>${key}</kbd>` : nothing);

// The button that does the same as a key. If its text is a sign, screen readers read what the key means.
export function button(shortcuts, key, text, { kind = "", pressed = nothing, hinted = true } = {}) {
  const [, meaning, action] = shortcuts.find(([keys]) => keys.includes(key));
  return html`<button class=${kind} title=${meaning} aria-label=${text.length === 1 ? meaning : nothing} aria-pressed=${pressed}
    @click=${() => action(key)}>${text}${hinted ? hint(key) : nothing}</button>`;
}

export const help = (shortcuts) => html`<dialog class="help" aria-labelledby="help-title"><h2 id="help-title">Keys</h2>
  <p class="soft">They act while the list or the timeline has the focus.</p>
  <div class="bar"><label><input type="checkbox" ?checked=${shortcutsOn()}
    @change=${(event) => localStorage.setItem("shortcuts", event.target.checked ? "on" : "off")}>
    Single-key shortcuts</label><form method="dialog"><button>Close</button></form></div>
  <table><thead><tr><th scope="col">Key</th><th scope="col">What it does</th></tr></thead>
    <tbody>${shortcuts.map(([keys, meaning]) => html`<tr><td>${keys.map((key) => html`<kbd>${NAMES[key] ?? key}</kbd> `)}</td>
      <td>${meaning}</td></tr>`)}</tbody></table></dialog>`;
