// Numbers, times and labels as people read them.

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
export const date = (text) => (text ? new Date(text).toLocaleString() : "–");
export const percent = (part) => `${Math.round(100 * part)} %`;

const SHAPES = ["●", "■", "▲", "◆", "▼", "★", "✚", "⬟"];

// How a label looks: its shape and colour go by its place in the model's list, so letters alone tell it, too.
export function look(labels, name) {
  const place = labels.indexOf(name);
  const index = (place < 0 ? [...name].reduce((sum, letter) => sum + letter.codePointAt(0), 0) : place) % SHAPES.length;
  return { shape: SHAPES[index], index, key: place >= 0 && place < 9 ? String(place + 1) : "" };
}
