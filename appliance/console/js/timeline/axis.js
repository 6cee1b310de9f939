// The time axis: which part of the recording the picture shows. All times are in ms, all places in CSS pixels.

const LEAST_MS_PER_PX = 1 / 400; // beyond one sample a pixel at every rate
const STEPS = [1, 2, 5];

export class Axis {
  constructor(durationMs = 1, width = 1) {
    this.durationMs = durationMs;
    this.width = width;
    this.startMs = 0;
    this.msPerPx = durationMs / width;
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
    this.msPerPx = Math.max((endMs - startMs) / this.width, LEAST_MS_PER_PX);
    this.startMs = startMs;
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
  }

  // Scroll so that a stretch is seen; if it is small, show what is around it, too.
  reveal(startMs, endMs) {
    const margin = 0.1 * this.width * this.msPerPx;
    if (startMs >= this.startMs + margin / 4 && endMs <= this.endMs - margin / 4) return;
    const middle = (startMs + endMs) / 2;
    this.startMs = middle - (this.width * this.msPerPx) / 2;
    this.move(0);
  }

  // Marks of the axis, about one every 90 px: [{ ms, text digits }].
  ticks() {
    const wanted = 90 * this.msPerPx;
    let step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400].map((s) => s * 1000).find((ms) => ms >= wanted);
    if (wanted < 1000) {
      const unit = 10 ** Math.floor(Math.log10(wanted));
      step = STEPS.map((factor) => factor * unit).find((ms) => ms >= wanted) ?? 10 * unit;
    }
    step ??= 28_800_000;
    const digits = Math.max(0, Math.ceil(-Math.log10(step / 1000) - 1e-9));
    const marks = [];
    for (let n = Math.ceil(this.startMs / step - 1e-9); n * step <= this.endMs; n++) marks.push(n * step);
    return { step, digits, marks };
  }
}
