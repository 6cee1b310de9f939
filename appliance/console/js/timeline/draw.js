// The time axis, and the picture on it: envelope, spectrogram and a lane for each label.
import { time } from "../page.js";

export const [AXIS, ENVELOPE, SPECTROGRAM] = [22, 90, 130]; // heights, from the top
const [MIDDLE, HALF] = [AXIS + ENVELOPE / 2, ENVELOPE / 2 - 2]; // of the envelope
export const lanesTop = AXIS + ENVELOPE + SPECTROGRAM + 4;
export const laneOf = ({ showScores }) => (showScores ? 36 : 16);
export const heightOf = (scene) => lanesTop + Math.max(1, scene.labels.length) * laneOf(scene) + 2;
const LEAST_MS_PER_PX = 1 / 400; // beyond one sample a pixel at every rate
const STEPS_S = [ // between the marks of the axis
  ...[1e-4, 1e-3, 0.01, 0.1].flatMap((unit) => [unit, 2 * unit, 5 * unit]),
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800,
];

// Which part of the recording the picture shows. All times are in ms, all places in CSS pixels. changed() is called
// when it shows another part.
export class Axis {
  constructor(durationMs = 1, width = 1, changed = () => {}) {
    Object.assign(this, { durationMs, width, changed, startMs: 0, msPerPx: durationMs / width });
  }

  get endMs() {
    return this.startMs + this.width * this.msPerPx;
  }

  toX(ms) {
    return (ms - this.startMs) / this.msPerPx;
  }

  toMs(x) {
    return this.startMs + x * this.msPerPx;
  }

  // Fit the picture to a new width; the left edge stays.
  resize(width) {
    const whole = this.msPerPx >= (this.durationMs / this.width) * 0.999;
    this.width = Math.max(1, width);
    if (whole) this.show(0, this.durationMs);
    else this.move(0);
  }

  show(startMs, endMs) {
    this.startMs = Math.max(0, startMs);
    this.msPerPx = Math.max((Math.min(endMs, this.durationMs) - this.startMs) / this.width, LEAST_MS_PER_PX);
    this.move(0);
  }

  // Zoom by a factor, so that the time at a place stays there.
  zoom(factor, x = this.width / 2) {
    const ms = this.toMs(x);
    const widest = this.durationMs / this.width;
    this.msPerPx = Math.min(Math.max(this.msPerPx * factor, LEAST_MS_PER_PX), widest);
    this.startMs = ms - x * this.msPerPx;
    this.move(0);
  }

  move(ms) {
    const last = this.durationMs - this.width * this.msPerPx;
    this.startMs = Math.max(0, Math.min(this.startMs + ms, last));
    this.changed();
  }

  pan(part) {
    this.move(part * this.width * this.msPerPx);
  }

  // Scroll so that a stretch is seen.
  reveal(startMs, endMs) {
    const margin = 0.1 * this.width * this.msPerPx;
    if (startMs >= this.startMs + margin / 4 && endMs <= this.endMs - margin / 4) return;
    const middle = (startMs + endMs) / 2;
    this.startMs = middle - (this.width * this.msPerPx) / 2;
    this.move(0);
  }

  // Marks of the axis, about one every 90 px: [{ ms, text digits }].
  ticks() {
    const step = 1000 * (STEPS_S.find((seconds) => 1000 * seconds >= 90 * this.msPerPx) ?? STEPS_S.at(-1));
    const digits = Math.max(0, Math.ceil(-Math.log10(step / 1000) - 1e-9));
    const marks = [];
    for (let n = Math.ceil(this.startMs / step - 1e-9); n * step <= this.endMs; n++) marks.push(n * step);
    return { step, digits, marks };
  }
}

// scene is the timeline.
export function draw(context, scene) {
  const { axis, colours } = scene;
  const height = heightOf(scene);
  box(context, colours.surface, 0, 0, axis.width, height);
  context.font = "12px system-ui, sans-serif";
  if (scene.tiles) scene.tiles.draw(context, axis, AXIS + ENVELOPE, SPECTROGRAM);
  drawAxis(context, scene, height);
  if (scene.samples && axis.msPerPx * scene.samples.rate < 8000) drawSamples(context, scene);
  else if (scene.samples && (!scene.peaks || axis.msPerPx * scene.samples.rate < 64_000)) drawEnvelope(context, scene, columnsOf(scene));
  else if (scene.peaks) drawEnvelope(context, scene, scene.peaks.columns(axis));
  drawLanes(context, scene);
  if (scene.showScores && scene.scores) drawScores(context, scene);
  if (scene.selected) drawSelected(context, scene, height);
  if (scene.tiles) drawScale(context, scene);
  if (scene.headMs !== null) line(context, axis.toX(scene.headMs), 0, height, colours.bad, 2);
}

function drawAxis(context, { axis, colours }, height) {
  const { digits, marks } = axis.ticks();
  context.fillStyle = colours.soft;
  for (const ms of marks) {
    const x = axis.toX(ms);
    line(context, x, AXIS - 5, AXIS + ENVELOPE, colours.line, 1);
    line(context, x, lanesTop, height, colours.line, 1);
    context.fillText(time(ms, digits), x + 3, AXIS - 8);
  }
}

function columnsOf({ axis, samples }) {
  const [low, high] = [new Float32Array(axis.width).fill(NaN), new Float32Array(axis.width).fill(NaN)];
  const at = (x) => Math.max(0, Math.floor(((axis.toMs(x) - samples.startMs) / 1000) * samples.rate));
  for (let x = 0; x < axis.width; x++) {
    for (const channel of samples.channels) {
      for (let i = at(x), end = Math.min(at(x + 1) + 1, channel.length); i < end; i++) {
        if (!(channel[i] >= low[x])) low[x] = channel[i];
        if (!(channel[i] <= high[x])) high[x] = channel[i];
      }
    }
  }
  return { low, high };
}

function drawEnvelope(context, { axis, colours }, { low, high }) {
  context.fillStyle = colours.accent;
  context.beginPath();
  for (let x = 0; x < axis.width; x++) {
    if (Number.isNaN(low[x])) continue;
    const top = MIDDLE - high[x] * HALF;
    context.rect(x, top, 1, Math.max(1, MIDDLE - low[x] * HALF - top)); // silence is a line
  }
  context.fill();
}

function drawSamples(context, { axis, samples, colours }) {
  const pxPerSample = 1000 / samples.rate / axis.msPerPx;
  const first = Math.max(0, Math.floor(((axis.startMs - samples.startMs) / 1000) * samples.rate) - 1);
  context.strokeStyle = colours.accent;
  context.fillStyle = colours.accent;
  for (const channel of samples.channels) {
    const last = Math.min(channel.length, Math.ceil(((axis.endMs - samples.startMs) / 1000) * samples.rate) + 2);
    context.beginPath();
    for (let i = first; i < last; i++) {
      const [x, y] = [axis.toX(samples.startMs + (i * 1000) / samples.rate), MIDDLE - channel[i] * HALF];
      if (i === first) context.moveTo(x, y);
      else context.lineTo(x, y);
      if (pxPerSample > 5) context.fillRect(x - 1.5, y - 1.5, 3, 3);
    }
    context.stroke();
  }
}

// A lane shows every event at least 2 px wide; what lies on one pixel is drawn once, as dark as the strongest.
function drawLanes(context, scene) {
  const { axis, labels, events, preview, colours } = scene;
  const height = laneOf(scene);
  const seen = new Map();
  for (const event of preview ?? events) {
    if (event.end_ms < axis.startMs || event.start_ms > axis.endMs) continue;
    const lane = Math.max(0, labels.indexOf(event.artifact_type));
    const x = Math.max(-4, axis.toX(event.start_ms));
    const width = Math.min(Math.max(2, axis.toX(event.end_ms) - x), axis.width + 8);
    const place = `${lane}/${Math.round(x)}/${Math.round(width)}`;
    if ((seen.get(place) ?? -1) >= event.confidence) continue;
    seen.set(place, event.confidence);
    const y = lanesTop + lane * height + 2;
    const colour = colours.labels[Math.floor(lane / scene.lanesOfLabel) % colours.labels.length];
    const faint = event.verdict === "rejected" || scene.showScores;
    box(context, colour, x, y, width, height - 4, faint ? 0.25 : 0.35 + 0.65 * event.confidence);
    if (event.verdict && width > 10) {
      context.fillStyle = colours.surface;
      context.fillText(event.verdict === "rejected" ? "✕" : "✓", x + 2, y + height - 6);
    }
  }
  context.font = "11px system-ui, sans-serif";
  labels.forEach((name, lane) => {
    const y = lanesTop + lane * height;
    line(context, 0, y, y, colours.line, 1, axis.width);
    box(context, colours.surface, 0, y + 2, context.measureText(name).width + 8, height - 4, 0.8);
    context.fillStyle = colours.text;
    context.fillText(name, 4, y + height - 5);
  });
}

// What the model reported of each label, as a curve from 0 at the bottom of its lane to 1 at the top.
function drawScores(context, scene) {
  const { axis, labels, scores, colours } = scene;
  const height = laneOf(scene);
  for (const { artifact_type: name, scores: values } of scores.labels) {
    const lane = labels.indexOf(name);
    if (lane < 0) continue;
    const step = (scores.end_ms - scores.start_ms) / values.length;
    const [bottom, top] = [lanesTop + (lane + 1) * height - 1, height - 4];
    context.strokeStyle = colours.text;
    context.beginPath();
    const last = Math.min(values.length, Math.ceil((axis.endMs - scores.start_ms) / step) + 1);
    for (let i = Math.max(0, Math.floor((axis.startMs - scores.start_ms) / step)); i < last; i++) {
      const y = bottom - values[i] * top;
      context.lineTo(axis.toX(scores.start_ms + i * step), y);
      context.lineTo(axis.toX(scores.start_ms + (i + 1) * step), y);
    }
    context.stroke();
  }
}

function drawSelected(context, { axis, selected, colours }, height) {
  const [from, to] = [axis.toX(selected.start_ms), axis.toX(selected.end_ms)];
  box(context, colours.warn, from, AXIS, Math.max(2, to - from), ENVELOPE, 0.2);
  for (const x of [from, Math.max(from + 2, to)]) {
    line(context, x, AXIS, height, colours.surface, 4);
    line(context, x, AXIS, height, colours.warn, 2);
  }
}

function drawScale(context, { axis, tiles }) {
  const bottom = AXIS + ENVELOPE + SPECTROGRAM;
  context.font = "11px system-ui, sans-serif";
  for (const hz of [100, 300, 1000, 3000, 10_000, 30_000].filter((one) => one < tiles.max_hz)) {
    const y = Math.max(bottom - tiles.part(hz) * SPECTROGRAM, AXIS + ENVELOPE + 7);
    box(context, "#000", axis.width - 46, y - 7, 46, 14, 0.55);
    context.fillStyle = "#fff";
    context.fillText(hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`, axis.width - 42, y + 4);
  }
}

function box(context, colour, x, y, width, height, alpha = 1) {
  context.globalAlpha = alpha;
  context.fillStyle = colour;
  context.fillRect(x, y, width, height);
  context.globalAlpha = 1;
}

function line(context, x, top, bottom, colour, width, to = x) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(Math.round(x) + (width % 2) / 2, top);
  context.lineTo(Math.round(to) + (width % 2) / 2, bottom);
  context.stroke();
  context.lineWidth = 1;
}
