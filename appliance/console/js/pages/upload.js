// Sends the files that a person drops or chooses, with those in folders, a few at a time.
import { ApiError, filePath, get, here, jobPath, post, remove, unreachable, wait } from "../api.js";
import { Page, bytes, count, empty, html, list, nothing, notice, select, state, status } from "../page.js";

const SHOWN = 200;

class Upload extends Page {
  static needs = "models";
  static properties = state("models", "model", "uploads", "over", "ignored");

  opened() {
    this.leaving = (event) => this.uploads?.rows.some((row) => row.state === "sending" || row.state === "waiting") && event.preventDefault();
    addEventListener("beforeunload", this.leaving);
    this.attempt(async () => {
      const { models } = await get("/api/v1/models", this);
      this.models = models.filter((model) => model.task === "detection");
      this.model ??= this.query.get("model") ?? this.models[0]?.name;
      const job = this.query.get("job");
      if (job) this.use(await get(`${jobPath(job)}?files=false`, this));
    });
  }

  closed() {
    removeEventListener("beforeunload", this.leaving);
    this.uploads?.pause(true);
  }

  use(job) {
    this.job = job;
    this.uploads = new Uploads(job.id);
    this.uploads.addEventListener("change", () => this.requestUpdate());
  }

  async add(total, files) {
    this.ignored = total - files.length;
    if (!files.length) return;
    if (!this.uploads) {
      const job = await this.attempt(() => post("/api/v1/inference-jobs", { model_id: this.model }));
      if (!job) return;
      this.use(job);
      // A reload, or the same files dropped again, goes on with this job.
      history.replaceState(null, "", `#/upload?job=${job.id}`);
    }
    this.uploads.add(files);
  }

  choose({ target: { files } }) {
    this.add(files.length, chosen(files));
  }

  async drop(event) {
    event.preventDefault();
    this.over = false;
    const total = event.dataTransfer.items.length;
    const files = await dropped(event.dataTransfer);
    this.add(Math.max(total, files.length), files);
  }

  view() {
    return html`<h1>Upload</h1>${this.failure}
      ${this.job ? html`<p>Files go to the <a href="#/jobs/${this.job.id}">job <span class="mono">${this.job.id.slice(0, 8)}</span></a>
        of the model ${this.job.model_id}. To go on after an interruption, choose the same files again.</p>`
      : html`<form class="bar">${select("Model", this.model, this.models.map((model) => model.name), (name) => (this.model = name))}</form>`}
      <div class="drop ${this.over ? "over" : ""}" @dragover=${(event) => { event.preventDefault(); this.over = true; }}
        @dragleave=${() => (this.over = false)} @drop=${this.drop}>
        <p>Drop files or folders here, or choose them.</p>
        <div class="bar"><label>Files <input type="file" multiple name="files" @change=${this.choose}></label>
          <label>A folder <input type="file" webkitdirectory name="folder" @change=${this.choose}></label></div></div>
      ${this.ignored ? notice("warn", `${count(this.ignored)} files were left out: their names do not end as those of recordings do.`) : nothing}
      ${this.uploads?.rows.length ? this.progress() : empty("Nothing is chosen yet.")}`;
  }

  progress() {
    const { rows, paused } = this.uploads;
    const total = rows.reduce((sum, row) => sum + row.file.size, 0);
    const sent = rows.reduce((sum, row) => sum + Math.min(row.sent, row.file.size), 0);
    const done = rows.filter((row) => row.state.startsWith("sent")).length;
    const refused = rows.filter((row) => row.state === "refused");
    return html`<div class="bar"><progress max=${total || 1} value=${sent} aria-label="Bytes that were sent"></progress>
        <span role="status">${count(done)} of ${count(rows.length)} files, ${bytes(sent)} of ${bytes(total)}</span>
        <button @click=${() => this.uploads.pause(!paused)}>${paused ? "Go on" : "Pause"}</button>
        ${refused.length ? html`<button @click=${() => this.uploads.retry()}>Try ${refused.length} again</button>` : nothing}</div>
      ${list("Files", [...refused, ...rows.filter((row) => row.state !== "refused")].slice(0, SHOWN), {
        "File…": (row) => html`${row.name} ${row.problem ? html`<br><span class="soft">${row.problem}</span>` : nothing}`,
        "Size#": (row) => bytes(row.file.size), "State": (row) => status(row.state === "refused" ? "failed" : row.state),
        "Sent": (row) => html`<progress max=${row.file.size || 1} value=${row.sent} aria-label="Sent of ${row.name}"></progress>`,
      })}
      ${rows.length > SHOWN ? html`<p class="soft">and ${count(rows.length - SHOWN)} more</p>` : nothing}`;
  }
}

customElements.define("console-upload", Upload);

const AUDIO = /\.(wav|wave|mp3|m4a|mp4|aac|ogg|oga|opus|flac|webm)$/i;
const TYPES = {
  wav: "audio/wav", wave: "audio/wav", mp3: "audio/mpeg", m4a: "audio/mp4", mp4: "audio/mp4", aac: "audio/aac",
  ogg: "audio/ogg", oga: "audio/ogg", opus: "audio/ogg", flac: "audio/flac", webm: "audio/webm",
};

const typeOf = (name) => TYPES[name.split(".").at(-1).toLowerCase()];

function chosen(files) {
  return [...files].map((file) => ({ file, name: file.webkitRelativePath || file.name })).filter(({ name }) => AUDIO.test(name));
}

// Entries have to be taken from the event before anything is awaited.
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  const all = [];
  for (const entry of entries) await walk(entry, "", all);
  return all.filter(({ name }) => AUDIO.test(name));
}

async function walk(entry, folder, all) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    all.push({ file, name: folder + file.name });
    return;
  }
  const reader = entry.createReader();
  for (;;) { // Chromium gives 100 entries a call
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return;
    for (const child of entries) await walk(child, `${folder}${entry.name}/`, all);
  }
}

const AT_ONCE = 3;
const PARTS_FROM_BYTES = 16 * 1024 ** 2;

// What was sent is noted, so that the same files chosen again go on where they were.
class Uploads extends EventTarget {
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
          row.state = "waiting";
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
    for (const row of this.rows) if (row.state === "refused") row.state = "waiting";
    this.next();
  }

  changed() {
    this.telling ??= requestAnimationFrame(() => {
      this.telling = null;
      this.dispatchEvent(new CustomEvent("change"));
    });
  }
}

// Post a file as a form. Returns its id.
async function sendForm(job, { file, name, stop }, progress, begun) {
  const body = { filename: name, content_type: typeOf(name), file_size_bytes: file.size };
  const form = await post(`${jobPath(job)}/files/upload-url`, body, { signal: stop.signal });
  begun(form.file_id);
  const data = new FormData();
  for (const [field, value] of Object.entries(form.upload_fields)) data.append(field, value);
  data.append("file", file);
  await transfer("POST", here(form.upload_url), data, stop.signal, progress);
  return form.file_id;
}

// Send a large file in parts: those that arrived before are not sent again. Returns its id.
async function sendParts(job, { file, name, stop }, progress, begun, fileId) {
  const { signal } = stop;
  const body = { filename: name, content_type: typeOf(name), file_size_bytes: file.size, multipart: true };
  let report = fileId && await get(`${filePath(job, fileId)}/parts`, { signal }).catch(unless(404));
  report ||= await post(`${jobPath(job)}/files/upload-url`, body, { signal });
  begun(report.file_id);
  while (report.num_missing) {
    let sent = report.arrived.reduce((sum, part) => sum + part.size_bytes, 0);
    for (const { offset, size_bytes: size, url } of report.parts) {
      await transfer("PUT", here(url), file.slice(offset, offset + size), signal, (now) => progress(sent + now));
      sent += size;
    }
    report = await get(`${filePath(job, report.file_id)}/parts`, { signal });
  }
  return report.file_id;
}

const unless = (status) => (error) => {
  if (error.status !== status) throw error;
};

// fetch cannot tell how much of a body was sent.
function transfer(method, url, body, signal, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.responseType = "json"; // null if it is none
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onload = () => {
      if (request.status < 300) return resolve(request);
      const { code, detail = `Storage answered ${request.status}.` } = request.response ?? {};
      reject(new ApiError(request.status, code, detail));
    };
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}
