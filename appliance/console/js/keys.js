// Single-key shortcuts. They act only while the list or the timeline has the focus, and can be switched off.
import { html } from "../vendor/lit.js";

const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

export const shortcutsOn = () => localStorage.getItem("shortcuts") !== "off";

export function switchShortcuts(on) {
  localStorage.setItem("shortcuts", on ? "on" : "off");
}

// shortcuts: rows of [keys, meaning, action]. Returns whether one of them took the event.
export function press(event, shortcuts) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, dialog")) return false;
  const arrow = event.key.startsWith("Arrow");
  if (!shortcutsOn() && !arrow && event.key !== "?") return false;
  if (event.key === " " && event.target.closest("button, a, summary")) return false;
  const key = event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key;
  const row = shortcuts.find(([keys]) => keys.includes(key));
  if (!row) return false;
  event.preventDefault();
  row[2](key);
  return true;
}

export const help = (shortcuts) => html`<dialog class="help" aria-labelledby="help-title"><h2 id="help-title">Keys</h2>
  <p class="soft">They act while the list or the timeline has the focus.</p>
  <div class="bar"><label><input type="checkbox" ?checked=${shortcutsOn()} @change=${(event) => switchShortcuts(event.target.checked)}>
    Single-key shortcuts</label><form method="dialog"><button>Close</button></form></div>
  <table><thead><tr><th scope="col">Key</th><th scope="col">What it does</th></tr></thead>
    <tbody>${shortcuts.map(([keys, meaning]) => html`<tr><td>${keys.map((key) => html`<kbd>${NAMES[key] ?? key}</kbd> `)}</td>
      <td>${meaning}</td></tr>`)}</tbody></table></dialog>`;
