// The detections of a job in the order in which they are reviewed, read page by page.
import { get, jobPath, query } from "../api.js";

const PAGE = 100;

export class Queue {
  constructor(job, filters, overlay, signal) {
    Object.assign(this, { job, filters, overlay, signal, items: [], cursor: null, ended: false });
  }

  // Read one more page. Returns whether there was one.
  async more() {
    if (this.ended) return false;
    this.reading ??= this.read().finally(() => (this.reading = null));
    await this.reading;
    return true;
  }

  async read() {
    const path = query(`${jobPath(this.job)}/review-queue`, { ...this.filters, limit: PAGE, cursor: this.cursor });
    const page = await get(path, { signal: this.signal });
    this.overlay(page.items);
    this.items.push(...page.items);
    this.cursor = page.next_cursor;
    this.ended = !page.next_cursor;
    this.counts = page.counts;
    this.progress = page.progress;
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
