// Sends the files that a person drops or chooses, with those in folders, a few at a time.
import { ApiError, filePath, get, here, jobPath, persist, post, remove, send, unreachable } from "../api.js";
import { Page, bytes, count, counted, empty, html, list, nothing, notice, select, state, status } from "../page.js";

const SHOWN = 200;

export class Upload extends Page {
  static needs = "models";
  static properties = state("models", "model", "uploads", "over", "ignored");

  opened() {
    const leaving = (event) => this.uploads?.rows.some((row) => row.state === "sending" || row.state === "waiting") && event.preventDefault();
    addEventListener("beforeunload", leaving, { signal: this.signal });
    this.attempt(async () => {
      const models = (await get("/api/v1/models", this)).models.filter((model) => model.task === "detection");
      this.model ??= this.query.get("model") ?? models[0]?.name;
      const job = this.query.get("job");
      if (job) this.use(await get(`${jobPath(job)}?files=false`, this));
      this.models = models; // from here on files can be chosen: not before it is known where they go
    });
  }

  closed() {
    this.uploads?.pause(true);
  }

  use(job) {
    this.job = job;
    this.uploads = new Uploads(job.id, () => this.requestUpdate());
  }

  async add(all) {
    const files = all.filter(({ name }) => typeOf(name));
    this.ignored = all.length - files.length;
    if (!files.length) return;
    if (!this.uploads) await (this.making ??= this.make());
    this.uploads?.add(files);
  }

  async make() {
    const job = await this.attempt(() => post("/api/v1/inference-jobs", { model_id: this.model }));
    this.making = null;
    if (!job) return;
    this.use(job);
    history.replaceState(null, "", `#/upload?job=${job.id}`); // a reload, or the same files again, goes on with it
  }

  choose({ target: { files } }) {
    this.add([...files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
  }

  async drop(event) {
    event.preventDefault();
    this.over = false;
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean); // before anything is awaited
    this.add((await Promise.all(entries.map((entry) => filesOf(entry)))).flat());
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
      ${this.ignored ? notice("warn", `${counted(this.ignored, "file")} left out: only names that end as those of recordings do are taken.`) : nothing}
      ${this.uploads?.rows.length ? this.progress() : empty("Nothing is chosen yet.")}`;
  }

  progress() {
    const { rows, paused } = this.uploads;
    const total = rows.reduce((sum, row) => sum + row.file.size, 0);
    const sent = rows.reduce((sum, row) => sum + Math.min(row.sent, row.file.size), 0);
    const done = rows.filter((row) => row.state.startsWith("sent")).length;
    const refused = rows.filter((row) => row.state === "refused");
    return html`<div class="bar"><progress max=${total || 1} value=${sent} aria-label="Bytes that were sent"></progress>
        <span role="status">${count(done)} of ${counted(rows.length, "file")}, ${bytes(sent)} of ${bytes(total)}</span>
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

const TYPES = {
  __proto__: null,
  wav: "audio/wav", wave: "audio/wav", mp3: "audio/mpeg", m4a: "audio/mp4", mp4: "audio/mp4", aac: "audio/aac",
  ogg: "audio/ogg", oga: "audio/ogg", opus: "audio/ogg", flac: "audio/flac", webm: "audio/webm",
};

const typeOf = (name) => TYPES[name.split(".").at(-1).toLowerCase()];

// The files of an entry of the file system, also those in its folders: [{ file, name }].
async function filesOf(entry, folder = "") {
  if (entry.isFile) return [{ file: await new Promise((...then) => entry.file(...then)), name: folder + entry.name }];
  const [reader, files] = [entry.createReader(), []];
  for (;;) { // Chromium gives 100 entries a call
    const entries = await new Promise((...then) => reader.readEntries(...then));
    if (!entries.length) return files;
    for (const child of entries) files.push(...await filesOf(child, `${folder}${entry.name}/`));
  }
}

const AT_ONCE = 3;
const PARTS_FROM_BYTES = 16 * 1024 ** 2;

// What was sent is noted, so that the same files chosen again go on where they were.
class Uploads {
  constructor(job, tell) {
    Object.assign(this, { job, tell, rows: [], running: 0, paused: false });
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
    const { signal } = (row.stop = new AbortController());
    const late = ({ message }) => this.changed(row, { problem: message });
    this.changed(row, { state: "sending" });
    try {
      await persist(() => this.deliver(row), late, signal);
      this.note(row, { done: true });
      this.changed(row, { state: "sent", problem: null });
    } catch (error) {
      this.changed(row, signal.aborted ? { state: "waiting" } : { state: "refused", problem: error.message });
    }
  }

  // A file that was sent but not confirmed is only confirmed: its bytes are not sent again.
  async deliver(row) {
    const { fileId, whole } = this.noted[row.key] ?? {};
    if (!whole) {
      const inParts = row.file.size > PARTS_FROM_BYTES;
      // A file whose bytes never came would keep its job open.
      if (fileId && !inParts) await remove(filePath(this.job, fileId)).catch(() => {});
      await (inParts ? this.sendParts(row, fileId) : this.sendForm(row));
      this.note(row, { whole: true });
    }
    await post(`${jobPath(this.job)}/files/confirm`, { file_id: this.noted[row.key].fileId });
    row.sent = row.file.size;
  }

  async begin(row, options = {}) {
    const body = { filename: row.name, content_type: typeOf(row.name), file_size_bytes: row.file.size, ...options };
    const answer = await post(`${jobPath(this.job)}/files/upload-url`, body, { signal: row.stop.signal });
    this.note(row, { fileId: answer.file_id });
    return answer;
  }

  async sendForm(row) {
    const { upload_url, upload_fields } = await this.begin(row);
    const data = new FormData();
    for (const [field, value] of Object.entries(upload_fields)) data.append(field, value);
    data.append("file", row.file);
    await this.transfer("POST", upload_url, data, row);
  }

  // Send a large file in parts: those that arrived before are not sent again.
  async sendParts(row, fileId) {
    const partsOf = (id, answers = []) => send("GET", `${filePath(this.job, id)}/parts`, { signal: row.stop.signal, answers });
    const before = fileId && await partsOf(fileId, [404]);
    let report = before?.ok ? await before.json() : await this.begin(row, { multipart: true });
    while (report.num_missing) {
      let sent = report.arrived.reduce((sum, part) => sum + part.size_bytes, 0);
      for (const { offset, size_bytes: size, url } of report.parts) {
        await this.transfer("PUT", url, row.file.slice(offset, offset + size), row, sent);
        sent += size;
      }
      report = await (await partsOf(report.file_id)).json();
    }
  }

  // Send bytes after those that were sent before. fetch cannot tell how much of a body was sent.
  transfer(method, url, body, row, before = 0) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open(method, here(url));
      request.responseType = "json"; // null if it is none
      request.upload.onprogress = (event) => this.changed(row, { sent: before + event.loaded });
      request.onload = () => {
        const { code, detail = `Storage answered ${request.status}.` } = request.response ?? {};
        if (request.status < 300) resolve();
        else reject(new ApiError(request.status, code, detail));
      };
      request.onerror = () => reject(unreachable());
      request.onabort = () => reject(new DOMException("stopped", "AbortError"));
      row.stop.signal.addEventListener("abort", () => request.abort());
      request.send(body);
    });
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

  changed(row = null, news = {}) {
    if (row) Object.assign(row, news);
    this.telling ??= requestAnimationFrame(() => {
      this.telling = null;
      this.tell();
    });
  }
}
