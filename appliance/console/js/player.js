// Plays stretches of recordings from exact clips: what is heard is what the box decoded for these times.
import { query, wait, whenMade } from "./api.js";
import { ListPage, html } from "./page.js";

const RUN_MS = 10_000; // length of the clips that follow each other in a long listen
const LONGEST_MS = 30_000;
const AROUND_MS = 1000; // a stretch, in the picture
const KEPT = 24;
const HEADER_BYTES = 58; // of a clip, which is a WAV file of 32-bit floats

class Clips {
  constructor(path) { // of a recording
    this.path = path;
    this.kept = new Map();
  }

  // Returns a promise of { rate, channels } of a stretch in milliseconds.
  get(startMs, endMs) {
    const path = query(`${this.path}/clip`, { start_ms: Math.round(startMs), end_ms: Math.round(endMs) });
    let clip = this.kept.get(path);
    if (!clip) {
      clip = this.fetch(path);
      clip.catch(() => this.kept.delete(path));
    }
    this.kept.delete(path);
    this.kept.set(path, clip); // the newest last
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    return clip;
  }

  // The samples as they are: decodeAudioData would resample them.
  async fetch(path) {
    const bytes = await (await whenMade(path)).arrayBuffer();
    const header = new DataView(bytes);
    const [count, rate] = [header.getUint16(22, true), header.getUint32(24, true)];
    const samples = new Float32Array(bytes.slice(HEADER_BYTES));
    const channels = Array.from({ length: count }, () => new Float32Array(samples.length / count));
    samples.forEach((value, index) => (channels[index % count][Math.floor(index / count)] = value));
    return { rate, channels };
  }
}

class Player extends EventTarget {
  constructor() {
    super();
    this.rate = 1;
    this.gain = 1;
    this.loop = false;
    this.sources = [];
    this.turn = 0;
  }

  get playing() {
    return this.sources.length > 0;
  }

  // The place that is heard now, in ms of the recording; null if nothing is.
  get placeMs() {
    const now = this.context?.currentTime ?? 0;
    const heard = this.sources.find((one) => now < one.ends && now >= one.begins) ?? this.sources[0];
    if (!heard) return null;
    const played = Math.max(0, now - heard.begins) * this.rate * 1000;
    return heard.startMs + (this.loop ? played % heard.lengthMs : Math.min(played, heard.lengthMs));
  }

  // Play a stretch as clips of a length, without a gap. One clip is played again and again if loop is set. Resolves when
  // the last clip sounds, or is about to.
  async play(clips, fromMs, toMs, lengthMs = toMs - fromMs) {
    const turn = this.stop();
    let ends = 0;
    for (let start = fromMs; start < toMs && turn === this.turn; start += lengthMs) {
      const clip = await clips.get(start, Math.min(start + lengthMs, toMs));
      await this.ready();
      if (turn !== this.turn) return;
      const begins = Math.max(ends, this.context.currentTime + 0.01);
      ends = this.schedule(clip, start, begins, turn, this.loop && lengthMs >= toMs - fromMs);
      if (start === fromMs) this.dispatchEvent(new CustomEvent("play"));
      else await wait((ends - this.context.currentTime) * 1000 - 4000);
    }
  }

  async ready() {
    this.context ??= new AudioContext({ latencyHint: "interactive" });
    if (this.context.state === "suspended") await this.context.resume();
  }

  // Returns the time at which the clip ends.
  schedule(clip, startMs, begins, turn, loop) {
    const buffer = this.context.createBuffer(clip.channels.length, clip.channels[0].length, clip.rate);
    clip.channels.forEach((samples, index) => buffer.copyToChannel(samples, index));
    const source = new AudioBufferSourceNode(this.context, { buffer, loop, playbackRate: this.rate });
    source.connect(new GainNode(this.context, { gain: this.gain })).connect(this.context.destination);
    source.start(begins);
    const ends = loop ? Infinity : begins + buffer.duration / this.rate;
    const entry = { source, begins, ends, startMs, lengthMs: buffer.duration * 1000 };
    this.sources.push(entry);
    source.onended = () => {
      if (turn !== this.turn) return;
      this.sources.splice(this.sources.indexOf(entry), 1);
      if (!this.playing) this.dispatchEvent(new CustomEvent("stop"));
    };
    return ends;
  }

  // Returns the number of the turn that begins now: whoever started an older one must not go on.
  stop() {
    for (const { source } of this.sources) {
      source.onended = null;
      source.stop();
    }
    if (this.playing) this.dispatchEvent(new CustomEvent("stop"));
    this.sources = [];
    return ++this.turn;
  }
}

// A page where people listen: it falls silent when it is left.
export class ListenPage extends ListPage {
  player = new Player();
  clips = new Map();

  constructor() {
    super();
    this.player.addEventListener("play", () => this.follow());
  }

  // The picture, if there is one, shows the place that is heard.
  follow() {
    cancelAnimationFrame(this.frame);
    const place = this.player.placeMs;
    const timeline = this.querySelector("console-timeline");
    if (place === null || !timeline) return;
    timeline.headMs = place;
    this.heard?.(place);
    this.frame = requestAnimationFrame(() => this.follow());
  }

  closed() {
    this.player.stop();
  }

  // What is heard comes first, and then what is drawn.
  async scheduleUpdate() {
    await new Promise((resolve) => setTimeout(resolve));
    super.scheduleUpdate();
  }

  clipsOf(path) {
    if (!this.clips.has(path)) this.clips.set(path, new Clips(path));
    return this.clips.get(path);
  }

  hear(path, startMs, endMs) {
    const from = Math.max(0, startMs);
    return this.attempt(() => this.player.play(this.clipsOf(path), from, Math.min(endMs, from + LONGEST_MS)));
  }

  // Show a stretch in the picture and play it, with something around it.
  async listenTo(path, { start_ms: start, end_ms: end }) {
    await this.updateComplete;
    const timeline = this.querySelector("console-timeline");
    await timeline.updateComplete;
    timeline.axis.show(start - AROUND_MS, end + AROUND_MS);
    await this.hear(path, start - AROUND_MS / 2, end + AROUND_MS / 2);
  }

  run(path, fromMs, durationMs) {
    return this.attempt(() => this.player.play(this.clipsOf(path), fromMs, durationMs, RUN_MS));
  }

  playButton(what, listen, off = false) {
    return html`<button @click=${listen} ?disabled=${off} aria-label="Play ${what}">Play</button>`;
  }
}
