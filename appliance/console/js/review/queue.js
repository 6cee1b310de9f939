// The detections of a job in the order in which they are reviewed, and what a reviewer decides about them.
import { get, jobPath, persist, query, send } from "../api.js";

const PAGE = 100;

export class Queue {
  constructor(job, filters, overlay, signal) {
    Object.assign(this, { job, filters, overlay, signal, items: [] });
  }

  async more() { // returns whether there was more
    if (this.cursor === null) return false;
    this.reading ??= this.read().finally(() => (this.reading = null));
    await this.reading;
    return true;
  }

  async read() {
    const path = query(`${jobPath(this.job)}/review-queue`, { ...this.filters, limit: PAGE, cursor: this.cursor });
    const page = await get(path, { signal: this.signal });
    this.overlay(page.items);
    this.items.push(...page.items);
    Object.assign(this, { cursor: page.next_cursor, counts: page.counts, progress: page.progress });
  }

  // The item at a place; reads on if it is near the end of what was read.
  async at(index) {
    while (index >= this.items.length - 20 && (await this.more()));
    return this.items[index] ?? null;
  }

  get total() {
    return this.counts?.total ?? this.items.length;
  }
}

export const spanOf = ({ detection, review }) => ({
  artifact_type: review?.reviewed_type ?? detection.artifact_type,
  start_ms: review?.reviewed_start_ms ?? detection.start_ms,
  end_ms: review?.reviewed_end_ms ?? detection.end_ms,
  confidence: detection.confidence,
  verdict: review?.verdict,
});

// How a decision reads: "rejected", "confirmed" or "relabelled".
export function stateOf({ detection, review }) {
  if (!review) return "unreviewed";
  if (review.verdict === "rejected") return "rejected";
  return (review.reviewed_type ?? detection.artifact_type) === detection.artifact_type ? "confirmed" : "relabelled";
}

const BATCH = 500;

// Each decision can be undone, and waits until the appliance has it.
export class Decisions {
  constructor(job, outbox) {
    Object.assign(this, { job, outbox, past: [] });
  }

  // Decide about items in one step: { verdict, reviewed_type, reviewed_start_ms, reviewed_end_ms }.
  decide(items, changes) {
    this.past.push(items.map((item) => [item, item.review]));
    for (const item of items) item.review = reviewOf(item, changes);
    this.store(items);
  }

  // Take the last step back. Returns its first item, or null.
  undo() {
    const step = this.past.pop();
    if (!step) return null;
    const gone = step.filter(([, before]) => !before).map(([item]) => ({ file_id: item.file_id, id: item.review.id }));
    for (const [item, before] of step) item.review = before;
    this.store(step.map(([item]) => item).filter((item) => item.review), gone);
    return step[0][0];
  }

  // Show on items what was decided about them but is not stored yet.
  overlay(items) {
    const known = new Map(items.map((item) => [`${item.file_id}/${item.review?.id ?? idOf(item.detection)}`, item]));
    for (const { body } of this.outbox.waiting) {
      const { delete: gone = [], reviews = [] } = body ?? {};
      for (const row of [...gone, ...reviews]) {
        const item = known.get(`${row.file_id}/${row.id}`);
        if (item) item.review = row.verdict ? row : null;
      }
    }
  }

  // gone are reviews that are taken back: { file_id, id }.
  store(items, gone = []) {
    const rows = items.map((item) => ({ ...bodyOf(item.review), file_id: item.file_id, id: item.review.id }));
    const one = rows.length + gone.length === 1 ? [...rows, ...gone][0] : null;
    for (let at = 0; at < Math.max(rows.length, gone.length); at += BATCH) {
      const body = { reviews: rows.slice(at, at + BATCH), delete: gone.slice(at, at + BATCH) };
      this.outbox.put(`${jobPath(this.job)}/reviews/batch`, body, one ? `${one.file_id}/${one.id}` : `${Date.now()}/${at}`);
    }
  }
}

function reviewOf({ detection, review }, changes) {
  const { artifact_type, start_ms, end_ms } = review ?? detection;
  const kept = review ?? { id: idOf(detection), comment: "", reviewed_type: null, reviewed_start_ms: null, reviewed_end_ms: null };
  return { ...kept, artifact_type, start_ms, end_ms, ...changes };
}

// The id of a first review comes from what it is about: whoever decides again, in whatever tab, replaces it.
function idOf({ artifact_type: type, start_ms: start, end_ms: end }) {
  const hash = [...type].reduce((sum, letter) => Math.imul(sum ^ letter.codePointAt(0), 16777619), 2166136261);
  return `${start}-${end}-${(hash >>> 0).toString(16)}`;
}

const FIELDS = ["artifact_type", "start_ms", "end_ms", "verdict", "reviewed_type", "reviewed_start_ms", "reviewed_end_ms", "comment"];
const bodyOf = (review) => Object.fromEntries(FIELDS.map((name) => [name, review[name]]));

// Changes that people made wait here until the appliance has them: through an outage, and through a reload.
export class Outbox {
  constructor(name, tell) {
    this.name = `outbox:${name}`;
    this.tell = tell;
    this.waiting = JSON.parse(localStorage.getItem(this.name) ?? "[]");
    this.deliver();
  }

  // A newer change takes the place of one of the same name that still waits.
  put(path, body, name) {
    const busy = this.sending ? 1 : 0;
    this.waiting = this.waiting.filter((one, index) => index < busy || one.name !== name);
    this.waiting.push({ method: "POST", path, body, name });
    this.changed();
    this.deliver();
  }

  changed(news = {}) {
    Object.assign(this, news);
    localStorage.setItem(this.name, JSON.stringify(this.waiting));
    this.tell();
  }

  async deliver() {
    if (this.sending) return;
    this.sending = true;
    while (this.waiting.length) {
      const { method, path, body } = this.waiting[0];
      try {
        await persist(() => send(method, path, { body }), (error) => this.changed({ late: error.message }));
      } catch (error) {
        if (error.status === 401) break; // it goes on after the next sign-in
        this.refused = error;
      }
      this.waiting.shift();
      this.changed({ late: null });
    }
    this.sending = false;
  }
}
