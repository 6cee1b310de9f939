// The envelope and the spectrogram, each read in parts, from the level that fits the zoom.
import { here, query, send, wait } from "../api.js";

const CHUNK = 4096; // pixels of the envelope that are read at once
const HEADER_BYTES = 24;
const CHUNKS_KEPT = 64;
const nameOf = (level, chunk) => level * 1e6 + chunk; // a number: each frame looks up thousands
const TILES_KEPT = 96;
const AT_ONCE = 2; // of the three requests that the appliance decodes for at a time, one is left for what people hear
// Dark blue to yellow through green: rises evenly in lightness, so it reads the same without colour.
const STOPS = [[4, 6, 22], [38, 30, 96], [30, 92, 138], [34, 146, 120], [126, 196, 80], [252, 236, 110]];

class Levels {
  // answer: what the appliance says of the levels. changed() is called when more can be drawn.
  constructor(answer, changed) {
    Object.assign(this, answer, { changed });
  }

  msOf(level) {
    return ((level.samples_per_pixel ?? level.samples_per_column) * 1000) / this.sample_rate_hz;
  }

  // The coarsest level of which a pixel shows no more than this time; the finest if all show more.
  fitting(ms) {
    return Math.max(0, this.levels.findLastIndex((level) => this.msOf(level) <= ms));
  }
}

// The envelope: waveform data files (16 bits, version 2), one for each level.
export class Peaks extends Levels {
  chunks = new Map();

  // Lowest and highest value of each column of the picture, ±1: { low, high }, NaN if it is not there yet.
  columns(axis) {
    const wanted = this.fitting(axis.msPerPx);
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
      const to = Math.min(Math.max(from + 1, Math.ceil(axis.toMs(x + 1) / ms - 1e-9)), level.length);
      if (from >= to) continue;
      let [least, most] = [Infinity, -Infinity];
      for (let pixel = from; pixel < to; pixel++) {
        const chunk = this.chunks.get(nameOf(index, Math.floor(pixel / CHUNK)));
        if (!chunk) {
          least = NaN;
          break;
        }
        const at = (pixel % CHUNK) * 2 * this.num_channels;
        for (let i = at; i < at + 2 * this.num_channels; i += 2) {
          if (chunk[i] < least) least = chunk[i];
          if (chunk[i + 1] > most) most = chunk[i + 1];
        }
      }
      low[x] = least / 32768;
      high[x] = most / 32768;
      whole &&= !Number.isNaN(least);
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
    const name = nameOf(index, chunk);
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
      if (this.chunks.size > CHUNKS_KEPT) this.chunks.delete(this.chunks.keys().next().value);
      this.changed();
    } catch {
      setTimeout(() => this.chunks.delete(name), 3000); // the next picture asks again
    }
  }
}

// The spectrogram: grey tiles, coloured here, so that another contrast needs no request.
export class Tiles extends Levels {
  constructor(spectrogram, base, signal, changed, floor = 0.25) {
    super(spectrogram, changed);
    Object.assign(this, { base, signal, kept: new Map(), waiting: [], running: 0 });
    this.contrast(floor);
  }

  contrast(floor) { // what is below this part of the scale is dark
    this.table = Array.from({ length: 256 }, (_, value) => {
      const place = Math.max(0, (value / 255 - floor) / (1 - floor)) * (STOPS.length - 1);
      const index = Math.min(Math.floor(place), STOPS.length - 2);
      return STOPS[index].map((from, c) => from + (STOPS[index + 1][c] - from) * (place - index));
    });
    for (const tile of this.kept.values()) if (tile.grey) this.colour(tile);
    this.changed();
  }

  // Draw what there is of the part that the axis shows, and ask for the rest.
  draw(context, axis, top, height) {
    const wanted = this.fitting(axis.msPerPx * 1.5);
    const shown = []; // coarser levels first: they stand in for tiles that are on their way
    this.waiting = [];
    for (let index = wanted, whole = false; !whole && index < this.levels.length; index++) {
      const level = this.levels[index];
      const tileMs = this.msOf(level) * this.tile_width;
      const last = Math.min(level.num_tiles - 1, Math.floor(axis.endMs / tileMs));
      whole = true;
      for (let number = Math.floor(axis.startMs / tileMs); number <= last; number++) {
        const tile = this.tile(level.level, number, index === wanted);
        if (tile) shown.unshift([tile.picture, axis.toX(number * tileMs), axis.toX((number + 1) * tileMs)]);
        else whole = false;
      }
    }
    for (const [picture, from, to] of shown) context.drawImage(picture, from, top, to - from, height);
  }

  tile(level, number, wanted) {
    const name = `${level}/${number}`;
    const tile = this.kept.get(name);
    if (tile?.picture) return tile;
    if (!tile && wanted) {
      this.waiting.push(name);
      this.next();
    }
    return null;
  }

  async next() {
    if (this.running >= AT_ONCE || this.signal.aborted) return;
    const name = this.waiting.shift();
    if (!name || this.kept.has(name)) return;
    this.kept.set(name, {});
    this.running++;
    try {
      this.kept.set(name, await this.read(`${this.base}/${name}.png`));
      if (this.kept.size > TILES_KEPT) this.kept.delete(this.kept.keys().next().value);
      this.changed();
    } catch (error) {
      // It is still being made. Other tiles have their turn, and the next picture asks again if it is still wanted.
      setTimeout(() => {
        this.kept.delete(name);
        this.changed();
      }, error.passes ? 1000 : 5000);
    } finally {
      this.running--;
      this.next();
    }
  }

  async read(path) {
    const response = await send("GET", path, { signal: this.signal });
    const image = await createImageBitmap(await response.blob(), { colorSpaceConversion: "none" });
    const picture = new OffscreenCanvas(image.width, image.height);
    const context = picture.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const grey = context.getImageData(0, 0, image.width, image.height);
    const tile = { picture, context, grey: grey.data.filter((_, index) => index % 4 === 0), pixels: grey };
    this.colour(tile);
    return tile;
  }

  colour({ context, grey, pixels }) {
    for (let i = 0; i < grey.length; i++) {
      const [r, g, b] = this.table[grey[i]];
      [pixels.data[4 * i], pixels.data[4 * i + 1], pixels.data[4 * i + 2]] = [r, g, b];
    }
    context.putImageData(pixels, 0, 0);
  }

  // The frequency at a height of the picture, 0 at the bottom and 1 at the top, and the other way round.
  hz(part) {
    return this.min_hz * (this.max_hz / this.min_hz) ** part;
  }

  part(hz) {
    return Math.log(hz / this.min_hz) / Math.log(this.max_hz / this.min_hz);
  }
}

// The spectrogram of a recording that has no tiles: one picture of the stretch that is shown.
export class Strip extends Tiles {
  constructor(path, durationMs, rate, signal, changed) {
    super({ durationMs, min_hz: 40, max_hz: rate / 2 }, path, signal, changed);
  }

  draw(context, axis, top, height) {
    const [from, to] = [Math.floor(axis.startMs), Math.ceil(Math.min(axis.endMs, this.durationMs))];
    const [held] = this.kept.values();
    if (held?.picture) context.drawImage(held.picture, axis.toX(held.from), top, axis.toX(held.to) - axis.toX(held.from), height);
    if (!this.running && to - from <= 30_000 && (held?.from !== from || held.to !== to)) this.load(from, to);
  }

  async load(from, to) {
    this.running++;
    try {
      this.kept = new Map([["", { ...await this.read(query(this.base, { start_ms: from, end_ms: to })), from, to }]]);
      this.changed();
    } catch {
      await wait(2000, this.signal); // the next picture asks again
    } finally {
      this.running--;
    }
  }
}
