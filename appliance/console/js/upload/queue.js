// Sends many files, a few at a time. What was sent is noted, so that the same files chosen again go on where they were.
import { filePath, jobPath, post, remove, wait } from "../api.js";
import { sendForm, sendParts } from "./send.js";

const AT_ONCE = 3;
const PARTS_FROM_BYTES = 16 * 1024 ** 2;

export class Uploads extends EventTarget {
  constructor(job) {
    super();
    Object.assign(this, { job, rows: [], running: 0, paused: false });
    this.name = `upload:${job}`;
    this.noted = JSON.parse(localStorage.getItem(this.name) ?? "{}");
  }

  add(files) {
    const known = new Set(this.rows.map((row) => row.key));
    for (const { file, name } of files) {
      const key = `${name}|${file.size}|${file.lastModified}`;
      if (known.has(key)) continue;
      const done = this.noted[key]?.done;
      this.rows.push({ key, file, name, state: done ? "sent before" : "waiting", sent: done ? file.size : 0 });
    }
    this.next();
  }

  note(row, changes) {
    this.noted[row.key] = { ...this.noted[row.key], ...changes };
    localStorage.setItem(this.name, JSON.stringify(this.noted));
  }

  next() {
    while (!this.paused && this.running < AT_ONCE) {
      const row = this.rows.find((one) => one.state === "waiting");
      if (!row) break;
      this.running++;
      this.send(row).finally(() => {
        this.running--;
        this.next();
      });
    }
    this.changed();
  }

  async send(row) {
    row.state = "sending";
    row.stop = new AbortController();
    for (let pause = 1; ; pause = Math.min(2 * pause, 30)) {
      try {
        await this.deliver(row);
        row.state = "sent";
        row.problem = null;
        this.note(row, { done: true });
        return;
      } catch (error) {
        if (row.stop.signal.aborted) {
          row.state = this.paused ? "waiting" : "stopped";
          return;
        }
        row.problem = error.message;
        this.changed();
        if (!error.passes) {
          row.state = "refused";
          return;
        }
        await wait((error.retrySeconds || pause) * 1000, row.stop.signal);
      }
    }
  }

  // A file that was sent but not confirmed is only confirmed: its bytes are not sent again.
  async deliver(row) {
    const progress = (sent) => {
      row.sent = sent;
      this.changed();
    };
    let { fileId, whole } = this.noted[row.key] ?? {};
    if (!whole) {
      const begun = (id) => this.note(row, { fileId: id });
      const inParts = row.file.size > PARTS_FROM_BYTES;
      // A file whose bytes never came would keep its job open.
      if (fileId && !inParts) await remove(filePath(this.job, fileId)).catch(() => {});
      fileId = await (inParts ? sendParts : sendForm)(this.job, row, progress, begun, fileId);
      this.note(row, { fileId, whole: true });
    }
    await post(`${jobPath(this.job)}/files/confirm`, { file_id: fileId });
    row.sent = row.file.size;
  }

  pause(paused) {
    this.paused = paused;
    if (paused) for (const row of this.rows) if (row.state === "sending") row.stop.abort();
    this.next();
  }

  retry() {
    for (const row of this.rows) if (row.state === "refused" || row.state === "stopped") row.state = "waiting";
    this.next();
  }

  changed() {
    this.telling ??= requestAnimationFrame(() => {
      this.telling = null;
      this.dispatchEvent(new CustomEvent("change"));
    });
  }
}
