// Plays stretches of recordings from exact clips: what is heard is what the box decoded for these times.
import { whenMade } from "./api.js";
import { Page } from "./page.js";
import { parseWav } from "./wav.js";

const RUN_MS = 10_000; // length of the clips that follow each other in a long listen
const KEPT = 24;

// Clips of one recording: clipPath(start, end) is the URL of a stretch.
export class Clips {
  constructor(clipPath) {
    this.clipPath = clipPath;
    this.kept = new Map();
  }

  // Returns a promise of { rate, channels } of a stretch in milliseconds.
  get(startMs, endMs) {
    const path = this.clipPath(Math.round(startMs), Math.round(endMs));
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

  async fetch(path) {
    return parseWav(await (await whenMade(path)).arrayBuffer());
  }
}

export class Player extends EventTarget {
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

  // Play a stretch once, or again and again if loop is set. Resolves when it sounds.
  async play(clips, startMs, endMs) {
    const turn = this.stop();
    const clip = await clips.get(startMs, endMs);
    if (turn !== this.turn) return;
    await this.ready();
    this.schedule(clip, startMs, this.context.currentTime + 0.01, turn, this.loop);
    this.dispatchEvent(new CustomEvent("play"));
  }

  // Play on from a place until stop() or the end, as clips without a gap.
  async run(clips, fromMs, durationMs) {
    const turn = this.stop();
    let at = null;
    for (let start = fromMs; start < durationMs && turn === this.turn; start += RUN_MS) {
      const clip = await clips.get(start, Math.min(start + RUN_MS, durationMs));
      if (turn !== this.turn) return;
      await this.ready();
      at = Math.max(at ?? 0, this.context.currentTime + 0.01);
      at = this.schedule(clip, start, at, turn, false);
      if (start === fromMs) this.dispatchEvent(new CustomEvent("play"));
      const spare = (at - this.context.currentTime) * 1000 - 4000;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, spare)));
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
export class ListenPage extends Page {
  player = new Player();

  closed() {
    this.player.stop();
  }
}
