// Sends the bytes of one file to storage.
import { ApiError, filePath, get, here, jobPath, post, unreachable } from "../api.js";
import { typeOf } from "./collect.js";

// Post a file as a form. Returns its id.
export async function sendForm(job, { file, name, stop }, progress, begun) {
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
export async function sendParts(job, { file, name, stop }, progress, begun, fileId) {
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
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onload = () => {
      if (request.status < 300) return resolve(request);
      const problem = (() => { try { return JSON.parse(request.responseText); } catch { return {}; } })();
      reject(new ApiError(request.status, problem.code, problem.detail ?? `Storage answered ${request.status}.`));
    };
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}
