// Spectrogram tiles: grey pictures, coloured here, so that another contrast needs no request.
import { query, send, wait } from "../api.js";

const KEPT = 96;
const AT_ONCE = 2; // of the three requests that the appliance decodes for at a time, one is left for what people hear
// Dark blue to yellow through green: rises evenly in lightness, so it reads the same without colour.
const STOPS = [[4, 6, 22], [38, 30, 96], [30, 92, 138], [34, 146, 120], [126, 196, 80], [252, 236, 110]];

export class Tiles {
  // spectrogram: the answer of F/spectrogram; base is its path. changed() is called when more can be drawn.
  constructor(spectrogram, base, signal, changed) {
    Object.assign(this, spectrogram);
    Object.assign(this, { base, signal, changed, kept: new Map(), waiting: [], running: 0 });
    this.contrast(0.25);
  }

  // Levels below this part of the scale are dark.
  contrast(floor) {
    this.floor = floor;
    this.table = Array.from({ length: 256 }, (_, value) => {
      const place = Math.max(0, (value / 255 - floor) / (1 - floor)) * (STOPS.length - 1);
      const [index, part] = [Math.min(Math.floor(place), STOPS.length - 2), place - Math.min(Math.floor(place), STOPS.length - 2)];
      return STOPS[index].map((from, c) => from + (STOPS[index + 1][c] - from) * Math.min(1, part));
    });
    for (const tile of this.kept.values()) if (tile.grey) this.colour(tile);
    this.changed();
  }

  msOf(level) {
    return (level.samples_per_column * 1000) / this.sample_rate_hz;
  }

  // Draw what there is of the part that the axis shows, and ask for the rest.
  draw(context, axis, top, height) {
    const fit = this.levels.findLastIndex((level) => this.msOf(level) <= axis.msPerPx * 1.5);
    const wanted = Math.max(0, fit);
    this.waiting = [];
    for (let index = this.levels.length - 1; index >= wanted; index--) {
      const level = this.levels[index];
      const tileMs = this.msOf(level) * this.tile_width;
      const last = Math.min(level.num_tiles - 1, Math.floor(axis.endMs / tileMs));
      for (let number = Math.floor(axis.startMs / tileMs); number <= last; number++) {
        const tile = this.tile(level.level, number, index === wanted);
        if (!tile) continue;
        const x = axis.toX(number * tileMs);
        context.drawImage(tile.picture, x, top, axis.toX((number + 1) * tileMs) - x, height);
      }
    }
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
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
      this.changed();
    } catch (error) {
      // It is still being made. Other tiles have their turn, and the next picture asks again if it is still wanted.
      setTimeout(() => {
        this.kept.delete(name);
        this.changed();
      }, error.passes || error.status === 503 ? 1000 : 5000);
    } finally {
      this.running--;
      this.next();
    }
  }

  // A grey picture, coloured.
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
