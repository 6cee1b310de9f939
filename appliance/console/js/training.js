// What the pages of trainings share.
import { html } from "./page.js";

export const JOBS = "/api/v1/training-jobs";
export const PHASES = ["queued", "preparing", "fitting", "evaluating", "exporting"];
export const runs = (job) => PHASES.includes(job.status);
export const phase = (job) => html`<progress max="1" value=${job.progress} aria-label="Progress of ${job.name}, ${job.status}"></progress>`;
