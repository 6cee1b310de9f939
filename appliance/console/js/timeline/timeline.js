// The picture of one recording: <console-timeline>. Wheel and pinch zoom, drag moves, a click places the head.
import { get, query, whenMade } from "../api.js";
import { Page, html, nothing, state, time } from "../page.js";
import { AXIS, Axis, ENVELOPE, SPECTROGRAM, draw, heightOf, laneOf, lanesTop } from "./draw.js";
import { Peaks, Strip, Tiles } from "./levels.js";

const NAMED = ["surface", "text", "soft", "line", "accent", "bad", "warn"];

class Timeline extends Page {
  static properties = {
    base: {}, clips: {}, durationMs: {}, labels: {}, events: {}, selected: {}, preview: {}, headMs: {}, showScores: {}, lanesOfLabel: {},
    pictures: {}, ...state("readout"),
  };

  constructor() {
    super();
    Object.assign(this, { labels: [], lanesOfLabel: 1, events: [], headMs: null, axis: new Axis(1, 1, () => this.paint()) });
  }

  opened() {
    this.watcher = new ResizeObserver(() => this.fit());
    const retheme = () => requestAnimationFrame(() => this.readColours());
    addEventListener("theme", retheme, { signal: this.signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", retheme, { signal: this.signal });
  }

  closed() {
    this.watcher.disconnect();
    this.loading?.abort();
  }

  firstUpdated() {
    this.canvas = this.querySelector("canvas");
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.watcher.observe(this);
    this.readColours();
  }

  updated(changed) {
    if (changed.has("base") && this.base) this.load();
    else if (changed.has("durationMs")) this.fit();
    if (changed.has("labels") || changed.has("showScores")) this.fit();
    this.paint();
  }

  async load() {
    this.loading?.abort();
    const { signal } = (this.loading = new AbortController());
    Object.assign(this, { peaks: null, tiles: null, samples: null, scores: null });
    const changed = () => this.paint();
    this.axis = new Axis(this.durationMs || 1, this.axis.width, changed);
    this.fit();
    const read = async (path) => (await whenMade(path, { signal })).json();
    await this.attempt(async () => {
      this.peaks = new Peaks(await read(`${this.base}/waveform`), changed);
      changed(); // the envelope first: tiles keep the decoders busy that make what people hear
      const path = `${this.base}/spectrogram`;
      this.tiles = new Tiles(await read(path), path, signal, changed, this.floor);
    });
  }

  readColours() {
    const probe = this.querySelector(".probe");
    const read = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    this.colours = Object.fromEntries(NAMED.map((name) => [name, read(name)]));
    this.colours.labels = Array.from({ length: 8 }, (_, index) => read(`label-${index}`));
    this.paint();
  }

  fit() {
    if (!this.canvas) return;
    const width = Math.max(100, Math.floor(this.clientWidth));
    const height = heightOf(this);
    this.axis.durationMs = this.durationMs || 1;
    this.axis.resize(width);
    const scale = devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [width * scale, height * scale];
    [this.canvas.style.width, this.canvas.style.height] = [`${width}px`, `${height}px`];
    this.canvas.getContext("2d").setTransform(scale, 0, 0, scale, 0, 0);
  }

  paint() {
    if (this.painting || !this.canvas) return;
    this.painting = true;
    requestAnimationFrame(() => {
      this.painting = false;
      if (!this.colours || !this.isConnected) return;
      this.loadSamples();
      this.loadScores();
      draw(this.canvas.getContext("2d"), this);
    });
  }

  // Between the finest level of the envelope and one sample a pixel, the samples themselves are drawn.
  async loadSamples() {
    const { axis } = this;
    if (!this.clips || (this.peaks && axis.msPerPx * this.peaks.sample_rate_hz >= 64_000) || (this.base && !this.peaks)) return;
    const margin = axis.endMs - axis.startMs;
    const [from, to] = [Math.max(0, Math.floor(axis.startMs)), Math.min(this.durationMs, Math.ceil(axis.endMs))];
    if (this.samples?.startMs <= from && this.samples.endMs >= to) return;
    if (this.fetching || to - from > 10_000) return;
    const stretch = [Math.max(0, Math.floor(from - margin)), Math.min(this.durationMs, Math.ceil(to + margin))];
    this.fetching = true;
    const { clips } = this;
    try {
      const clip = await clips.get(...stretch);
      if (clips === this.clips) this.samples = { ...clip, startMs: stretch[0], endMs: stretch[1] };
      if (this.pictures) this.tiles ??= new Strip(this.pictures, this.durationMs, clip.rate, this.signal, () => this.paint());
      this.paint();
    } catch {
      // The envelope is drawn instead, and the next picture asks again.
    } finally {
      setTimeout(() => (this.fetching = false), 100);
    }
  }

  // Scores are read for thrice the width, so that moving a little needs no request.
  async loadScores() {
    const { startMs, endMs, msPerPx, width } = this.axis;
    const { scores } = this;
    if (!this.showScores || this.reading) return;
    const [from, to] = [Math.max(0, Math.floor(2 * startMs - endMs)), Math.ceil(Math.min(this.durationMs, 2 * endMs - startMs))];
    const fits = scores?.start_ms <= startMs && scores.end_ms >= Math.min(endMs, this.durationMs);
    if (to <= from || (fits && (scores.end_ms - scores.start_ms <= 6 * width * msPerPx))) return;
    this.reading = true;
    const path = query(`${this.base}/scores`, { start_ms: from, end_ms: to, points: Math.min(4000, 3 * width) });
    this.scores = await this.attempt(() => get(path, this));
    this.showScores &&= !!this.scores;
    this.reading = false;
  }

  contrast(floor) {
    this.floor = floor; // of the next recording, too
    this.tiles?.contrast(floor);
  }

  wheel(event) {
    event.preventDefault();
    const { deltaX, deltaY, offsetX, shiftKey } = event;
    if (shiftKey || Math.abs(deltaX) > Math.abs(deltaY)) this.axis.move((deltaX || deltaY) * this.axis.msPerPx);
    else this.axis.zoom(1.0025 ** deltaY, offsetX);
  }

  down(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { x: event.offsetX, moved: 0 };
  }

  move(event) {
    const ms = this.axis.toMs(event.offsetX);
    const part = (AXIS + ENVELOPE + SPECTROGRAM - event.offsetY) / SPECTROGRAM;
    const hz = this.tiles && part >= 0 && part <= 1 ? `, ${Math.round(this.tiles.hz(part))} Hz` : "";
    this.readout = `${time(Math.max(0, ms), 3)}${hz}`;
    if (!this.drag) return;
    const step = this.drag.x - event.offsetX;
    this.drag.x = event.offsetX;
    this.drag.moved += Math.abs(step);
    if (this.drag.moved > 4) this.axis.move(step * this.axis.msPerPx);
  }

  up(event) {
    const clicked = this.drag && this.drag.moved <= 4;
    this.drag = null;
    if (!clicked) return;
    const ms = this.axis.toMs(event.offsetX);
    const lane = this.labels[Math.floor((event.offsetY - lanesTop) / laneOf(this))];
    const margin = 3 * this.axis.msPerPx;
    const hit = event.offsetY >= lanesTop && this.events.find((one) =>
      one.artifact_type === lane && one.start_ms - margin <= ms && one.end_ms + margin >= ms);
    this.dispatchEvent(new CustomEvent(hit ? "pick" : "seek", { detail: hit || Math.max(0, Math.min(ms, this.durationMs)) }));
  }

  render() {
    return html`<span class="probe" hidden></span>
      <canvas @pointerdown=${this.down} @pointermove=${this.move} @pointerup=${this.up} role="img"
        aria-label="Envelope, spectrogram and detections of the recording; the list has the same as text"></canvas>
      <p class="readout soft">${this.readout ?? "\u00a0"}</p>
      ${this.problem ? html`<p class="soft">Not all can be shown: ${this.problem.message}</p>` : nothing}`;
  }
}

customElements.define("console-timeline", Timeline);
