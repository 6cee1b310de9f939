// Calls of the REST API: the session's cookie goes along by itself, and every error is an ApiError.
import { wait } from "./poll.js";

export class ApiError extends Error {
  constructor(status, code, detail, retrySeconds = 0) {
    super(detail);
    Object.assign(this, { status, code, retrySeconds });
  }

  // Whether the same call may succeed later: the appliance was not reached, or is busy.
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

const known = new Map(); // path → { etag, body } of answers that carried an ETag

// body is sent as JSON, content as it is.
export async function send(method, path, { body, content, signal, headers = {} } = {}) {
  const options = { method, signal, headers: { ...headers }, credentials: "same-origin", body: content };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The appliance does not answer. Is it running, and is the network up?");
  }
  if (response.ok || response.status === 304) return response;
  const problem = await response.json().catch(() => ({}));
  const detail = problem.detail ?? problem.error ?? `The appliance answered ${response.status}.`;
  const retry = Number(response.headers.get("Retry-After")) || 0;
  if (response.status === 401) dispatchEvent(new CustomEvent("signed-out", { detail }));
  throw new ApiError(response.status, problem.code ?? "unknown", detail, retry);
}

export async function get(path, { signal } = {}) {
  const last = known.get(path);
  const response = await send("GET", path, { signal, headers: last ? { "If-None-Match": last.etag } : {} });
  if (response.status === 304) return last.body;
  const body = await response.json();
  const etag = response.headers.get("ETag");
  if (etag) {
    if (known.size > 200) known.clear();
    known.set(path, { etag, body });
  }
  return body;
}

// As get, but waits while the appliance is still making the answer, or has too much to make for this tenant. Returns
// the response.
export async function whenMade(path, { signal } = {}) {
  for (;;) {
    try {
      return await send("GET", path, { signal });
    } catch (error) {
      if (![429, 503].includes(error.status) || signal?.aborted) throw error;
      await wait(error.status === 429 ? 250 : Math.min(error.retrySeconds || 1, 2) * 1000, signal);
    }
  }
}

const withBody = (method) => async (path, body = undefined, options = {}) => {
  const response = await send(method, path, { ...options, body });
  return response.status === 204 ? null : response.json();
};
export const post = withBody("POST");
export const put = withBody("PUT");
export const patch = withBody("PATCH");
export const remove = withBody("DELETE");

export function forget() {
  known.clear();
}

// A path with a query, without the parameters that are empty.
export function query(path, parameters) {
  const filled = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(filled).toString();
  return text ? `${path}?${text}` : path;
}

// Storage has the address of this page, whatever name the appliance has for itself.
export function here(url) {
  const { pathname, search } = new URL(url, location.href);
  return pathname + search;
}

// Every row of a list that is read page by page.
export async function* rows(path, name, parameters = {}, signal = undefined) {
  let cursor = null;
  do {
    const page = await get(query(path, { ...parameters, cursor }), { signal });
    yield* page[name];
    cursor = page.next_cursor;
  } while (cursor);
}

export const jobPath = (job) => `/api/v1/inference-jobs/${encodeURIComponent(job)}`;
export const filePath = (job, file) => `${jobPath(job)}/files/${encodeURIComponent(file)}`;
