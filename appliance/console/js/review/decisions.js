// What a reviewer decides: each decision can be undone, and waits until the appliance has it.
import { filePath, jobPath, send, wait } from "../api.js";

const BATCH = 500;

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
    for (const { path, body } of this.outbox.waiting) {
      const [, file, id] = /files\/([^/]+)\/reviews\/([^/]+)$/.exec(path) ?? [];
      for (const row of id ? [{ ...body, file_id: file, id }] : body.reviews) {
        const item = known.get(`${row.file_id}/${row.id}`);
        if (item) item.review = row.verdict ? row : null;
      }
    }
  }

  // gone are reviews that are taken back: { file_id, id }.
  store(items, gone = []) {
    const rows = items.map((item) => ({ ...bodyOf(item.review), file_id: item.file_id, id: item.review.id }));
    if (rows.length + gone.length === 1) {
      const [{ file_id: file, id, ...body }] = [...rows, ...gone];
      this.outbox.put(gone.length ? "DELETE" : "PUT", `${filePath(this.job, file)}/reviews/${id}`, gone.length ? undefined : body);
      return;
    }
    const path = `${jobPath(this.job)}/reviews/batch`;
    for (let at = 0; at < Math.max(rows.length, gone.length); at += BATCH) {
      // Each batch has a path of its own in the outbox, so that none takes the place of another.
      this.outbox.put("POST", path, { reviews: rows.slice(at, at + BATCH), delete: gone.slice(at, at + BATCH) }, `${path}#${Date.now()}/${at}`);
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
export class Outbox extends EventTarget {
  constructor(name) {
    super();
    this.name = `outbox:${name}`;
    this.waiting = JSON.parse(localStorage.getItem(this.name) ?? "[]");
    this.deliver();
  }

  get size() {
    return this.waiting.length;
  }

  // A newer change of the same object takes the place of one that still waits, so each is sent once.
  put(method, path, body, name = path) {
    const busy = this.sending ? 1 : 0;
    this.waiting = this.waiting.filter((one, index) => index < busy || one.name !== name);
    this.waiting.push({ method, path, body, name });
    this.keep();
    this.deliver();
  }

  keep() {
    localStorage.setItem(this.name, JSON.stringify(this.waiting));
    this.dispatchEvent(new CustomEvent("change"));
  }

  async deliver() {
    if (this.sending) return;
    this.sending = true;
    for (let pause = 500; this.waiting.length; ) {
      const { method, path, body } = this.waiting[0];
      try {
        await send(method, path, { body });
        pause = 500;
      } catch (error) {
        if (error.passes) {
          this.dispatchEvent(new CustomEvent("late", { detail: error }));
          await wait(error.retrySeconds * 1000 || (pause = Math.min(2 * pause, 8000)));
          continue;
        }
        if (error.status === 401) break; // it goes on after the next sign-in
        // 404 of a deletion: it is gone, as it should be.
        if (!(method === "DELETE" && error.status === 404)) this.dispatchEvent(new CustomEvent("refused", { detail: error }));
      }
      this.waiting.shift();
      this.keep();
    }
    this.sending = false;
    if (!this.waiting.length) this.dispatchEvent(new CustomEvent("empty"));
  }
}
