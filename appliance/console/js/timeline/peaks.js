// The envelope, read by ranges from waveform data files (16 bits, version 2), one level of zoom each.
import { here } from "../api.js";

const CHUNK = 4096; // pixels that are read at once
const HEADER_BYTES = 24;
const KEPT = 64;

export class Peaks {
  // waveform: the answer of F/waveform. changed() is called when more can be drawn.
  constructor(waveform, changed) {
    Object.assign(this, waveform);
    this.changed = changed;
    this.chunks = new Map();
  }

  msOf(level) {
    return (level.samples_per_pixel * 1000) / this.sample_rate_hz;
  }

  // Lowest and highest value of each column of the picture, ±1: { low, high } or null if nothing is there yet.
  columns(axis) {
    const fit = this.levels.findLastIndex((level) => this.msOf(level) <= axis.msPerPx);
    const wanted = Math.max(0, fit);
    this.load(wanted, axis);
    const low = new Float32Array(axis.width).fill(NaN);
    const high = new Float32Array(axis.width).fill(NaN);
    for (let index = wanted; index < this.levels.length; index++) {
      if (this.fill(index, axis, low, high)) break; // coarser levels stand in for what is on its way
      if (index === wanted) this.load(this.levels.length - 1, axis);
    }
    return { low, high };
  }

  // Returns whether every column has values now.
  fill(index, axis, low, high) {
    const level = this.levels[index];
    const ms = this.msOf(level);
    let whole = true;
    for (let x = 0; x < axis.width; x++) {
      if (!Number.isNaN(low[x])) continue;
      const from = Math.floor(axis.toMs(x) / ms);
      const to = Math.max(from + 1, Math.ceil(axis.toMs(x + 1) / ms - 1e-9));
      if (from >= level.length) continue;
      let [least, most] = [Infinity, -Infinity];
      for (let pixel = from; pixel < Math.min(to, level.length); pixel++) {
        const chunk = this.chunks.get(`${index}/${Math.floor(pixel / CHUNK)}`);
        if (!(chunk instanceof Int16Array)) {
          least = NaN;
          break;
        }
        const at = (pixel % CHUNK) * 2 * this.num_channels;
        for (let c = 0; c < this.num_channels; c++) {
          least = Math.min(least, chunk[at + 2 * c]);
          most = Math.max(most, chunk[at + 2 * c + 1]);
        }
      }
      if (Number.isNaN(least)) whole = false;
      else [low[x], high[x]] = [least / 32768, most / 32768];
    }
    return whole;
  }

  load(index, axis) {
    const level = this.levels[index];
    const ms = this.msOf(level);
    const first = Math.max(0, Math.floor(axis.startMs / ms / CHUNK));
    const last = Math.min(Math.floor((level.length - 1) / CHUNK), Math.floor(axis.endMs / ms / CHUNK));
    for (let chunk = first; chunk <= last; chunk++) this.fetch(index, chunk);
  }

  async fetch(index, chunk) {
    const name = `${index}/${chunk}`;
    if (this.chunks.has(name)) return;
    this.chunks.set(name, null);
    const { url, offset, length } = this.levels[index];
    const width = 4 * this.num_channels;
    const first = offset + HEADER_BYTES;
    const start = first + chunk * CHUNK * width;
    const end = Math.min(first + length * width, start + CHUNK * width) - 1;
    try {
      const response = await fetch(here(url), { headers: { Range: `bytes=${start}-${end}` } });
      if (!response.ok) throw new Error(`storage answered ${response.status}`);
      const bytes = await response.arrayBuffer();
      const part = response.status === 206 ? bytes : bytes.slice(start, end + 1);
      this.chunks.set(name, new Int16Array(part.slice(0, part.byteLength - (part.byteLength % 2))));
      if (this.chunks.size > KEPT) this.chunks.delete(this.chunks.keys().next().value);
      this.changed();
    } catch {
      setTimeout(() => this.chunks.delete(name), 3000); // the next picture asks again
    }
  }
}
