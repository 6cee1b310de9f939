// The picture of one recording: <console-timeline>. Wheel and pinch zoom, drag moves, a click places the head.
import { LitElement, html, nothing } from "../../vendor/lit.js";
import { whenMade } from "../api.js";
import { time } from "../format.js";
import { Axis } from "./axis.js";
import { AXIS, ENVELOPE, SPECTROGRAM, draw, heightOf, lanesTop, LANE } from "./draw.js";
import { Peaks } from "./peaks.js";
import { Tiles } from "./tiles.js";

const NAMED = ["surface", "text", "soft", "line", "accent", "bad", "warn"];

class Timeline extends LitElement {
  static properties = {
    base: {}, clips: {}, durationMs: {}, labels: {}, events: {}, selected: {}, preview: {}, headMs: {},
    problem: { state: true }, readout: { state: true },
  };

  constructor() {
    super();
    Object.assign(this, { labels: [], events: [], headMs: null, axis: new Axis(), frames: [] });
  }

  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    super.connectedCallback();
    this.watcher = new ResizeObserver(() => this.fit());
    this.retheme = () => requestAnimationFrame(() => this.readColours());
    addEventListener("theme", this.retheme);
    this.media = matchMedia("(prefers-color-scheme: dark)");
    this.media.addEventListener("change", this.retheme);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.watcher.disconnect();
    removeEventListener("theme", this.retheme);
    this.media.removeEventListener("change", this.retheme);
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
    if (changed.has("labels")) this.fit();
    this.paint();
  }

  async load() {
    this.loading?.abort();
    const { signal } = (this.loading = new AbortController());
    Object.assign(this, { peaks: null, tiles: null, samples: null, problem: null });
    this.axis = new Axis(this.durationMs || 1, this.axis.width);
    this.fit();
    const changed = () => this.paint();
    try {
      const waveform = await (await whenMade(`${this.base}/waveform`, { signal })).json();
      this.peaks = new Peaks(waveform, changed);
      this.paint();
      this.tiles = new Tiles(await (await whenMade(`${this.base}/spectrogram`, { signal })).json(), `${this.base}/spectrogram`, signal, changed);
    } catch (error) {
      if (error.name !== "AbortError") this.problem = error.message;
    }
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
    const height = heightOf(this.labels);
    this.axis.durationMs = this.durationMs || 1;
    this.axis.resize(width);
    const scale = devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [width * scale, height * scale];
    [this.canvas.style.width, this.canvas.style.height] = [`${width}px`, `${height}px`];
    this.canvas.getContext("2d").setTransform(scale, 0, 0, scale, 0, 0);
    this.paint();
  }

  paint() {
    if (this.painting || !this.canvas) return;
    this.painting = true;
    requestAnimationFrame(() => {
      this.painting = false;
      if (!this.colours || !this.isConnected) return;
      const began = performance.now();
      this.loadSamples();
      draw(this.canvas.getContext("2d"), this);
      this.frames.push(performance.now() - began);
      if (this.frames.length > 600) this.frames.shift();
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
      this.paint();
    } catch {
      // The envelope is drawn instead, and the next picture asks again.
    } finally {
      setTimeout(() => (this.fetching = false), 100);
    }
  }

  zoom(factor, x = undefined) {
    this.axis.zoom(factor, x);
    this.paint();
  }

  pan(part) {
    this.axis.move(part * (this.axis.endMs - this.axis.startMs));
    this.paint();
  }

  show(startMs, endMs) {
    this.axis.show(Math.max(0, startMs), Math.min(endMs, this.durationMs));
    this.paint();
  }

  reveal(startMs, endMs) {
    this.axis.reveal(startMs, endMs);
    this.paint();
  }

  wheel(event) {
    event.preventDefault();
    const x = event.offsetX;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.axis.move((event.deltaX || event.deltaY) * this.axis.msPerPx);
      this.paint();
    } else {
      this.zoom(1.0025 ** event.deltaY, x);
    }
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
    if (this.drag.moved > 4) {
      this.axis.move(step * this.axis.msPerPx);
      this.paint();
    }
  }

  up(event) {
    const clicked = this.drag && this.drag.moved <= 4;
    this.drag = null;
    if (!clicked) return;
    const ms = this.axis.toMs(event.offsetX);
    const lane = this.labels[Math.floor((event.offsetY - lanesTop) / LANE)];
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
      ${this.problem ? html`<p class="soft">The picture cannot be made: ${this.problem}</p>` : nothing}`;
  }
}

customElements.define("console-timeline", Timeline);
