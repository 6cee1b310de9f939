// What a reviewer decides: each decision is stored by the outbox and can be undone.
import { filePath, jobPath } from "../api.js";

const BATCH = 500;

export class Decisions {
  constructor(job, outbox) {
    Object.assign(this, { job, outbox, past: [] });
  }

  // Decide about one item: { verdict, reviewed_type, reviewed_start_ms, reviewed_end_ms }.
  decide(item, changes) {
    this.past.push([[item, item.review]]);
    this.set(item, this.reviewOf(item, changes));
    this.store(item);
  }

  // Decide about many items at once: one step, and one to undo.
  decideAll(items, changes) {
    this.past.push(items.map((item) => [item, item.review]));
    for (const item of items) this.set(item, this.reviewOf(item, changes));
    this.storeAll(items);
  }

  // Take the last step back. Returns its first item, or null.
  undo() {
    const step = this.past.pop();
    if (!step) return null;
    const gone = [];
    for (const [item, before] of step) {
      if (!before) gone.push({ file_id: item.file_id, id: item.review.id });
      this.set(item, before);
    }
    if (step.length === 1) this.store(step[0][0], gone[0]?.id);
    else this.storeAll(step.filter(([, before]) => before).map(([item]) => item), gone);
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

  reviewOf(item, changes) {
    const { artifact_type, start_ms, end_ms } = item.review ?? item.detection;
    const kept = item.review ?? { id: idOf(item.detection), comment: "" };
    const blank = { reviewed_type: null, reviewed_start_ms: null, reviewed_end_ms: null };
    return { ...blank, ...kept, artifact_type, start_ms, end_ms, ...changes };
  }

  set(item, review) {
    item.review = review;
  }

  store(item, gone = null) {
    const path = `${filePath(this.job, item.file_id)}/reviews/${gone ?? item.review.id}`;
    if (gone) this.outbox.put("DELETE", path);
    else this.outbox.put("PUT", path, bodyOf(item.review));
  }

  storeAll(items, gone = []) {
    const path = `${jobPath(this.job)}/reviews/batch`;
    const rows = items.map((item) => ({ ...bodyOf(item.review), file_id: item.file_id, id: item.review.id }));
    for (let at = 0; at < Math.max(rows.length, gone.length); at += BATCH) {
      // Each batch has a path of its own in the outbox, so that none takes the place of another.
      this.outbox.put("POST", path, { reviews: rows.slice(at, at + BATCH), delete: gone.slice(at, at + BATCH) }, `${path}#${Date.now()}/${at}`);
    }
  }
}

// The id of a first review comes from what it is about: whoever decides again, in whatever tab, replaces it.
function idOf({ artifact_type: type, start_ms: start, end_ms: end }) {
  const hash = [...type].reduce((sum, letter) => Math.imul(sum ^ letter.codePointAt(0), 16777619), 2166136261);
  return `${start}-${end}-${(hash >>> 0).toString(16)}`;
}

const FIELDS = ["artifact_type", "start_ms", "end_ms", "verdict", "reviewed_type", "reviewed_start_ms", "reviewed_end_ms", "comment"];
const bodyOf = (review) => Object.fromEntries(FIELDS.map((name) => [name, review[name]]));
