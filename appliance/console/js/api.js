// Calls of the REST API: the session's cookie goes along by itself, and every error is an ApiError.

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

export const unreachable = () => new ApiError(0, "unreachable", "The appliance does not answer. Is it running, and is the network up?");

// body is sent as JSON, content as it is. A status in answers is no error.
export async function send(method, path, { body, content, signal, headers = {}, answers = [] } = {}) {
  const options = { method, signal, headers: { ...headers }, credentials: "same-origin", body: content };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const response = await fetch(path, options).catch((error) => {
    throw error.name === "AbortError" ? error : unreachable();
  });
  if (response.ok || answers.includes(response.status)) return response;
  const problem = await response.json().catch(() => ({}));
  const detail = problem.detail ?? problem.error ?? `The appliance answered ${response.status}.`;
  if (response.status === 401) dispatchEvent(new CustomEvent("signed-out", { detail }));
  throw new ApiError(response.status, problem.code ?? "unknown", detail, Number(response.headers.get("Retry-After")) || 0);
}

const known = new Map(); // path → { etag, body } of answers that carried an ETag

export async function get(path, { signal } = {}) {
  const last = known.get(path);
  const response = await send("GET", path, { signal, headers: last ? { "If-None-Match": last.etag } : {}, answers: [304] });
  if (response.status === 304) return last.body;
  const [body, etag] = [await response.json(), response.headers.get("ETag")];
  if (known.size > 200) forget();
  if (etag) known.set(path, { etag, body });
  return body;
}

export const forget = () => known.clear();

// As send, but waits while the appliance is still making the answer, or has too much to make for this tenant.
export async function whenMade(path, { signal } = {}) {
  for (;;) {
    try {
      return await send("GET", path, { signal });
    } catch (error) {
      if (![429, 503].includes(error.status) || signal?.aborted) throw error;
      await wait(error.status === 429 ? 100 : Math.min(error.retrySeconds || 1, 2) * 1000, signal);
    }
  }
}

// Do work again until it succeeds, as long as what fails may pass. late(error) hears why it takes longer.
export async function persist(work, late, signal = undefined) {
  for (let seconds = 1; ; seconds = Math.min(2 * seconds, 15)) {
    try {
      return await work();
    } catch (error) {
      if (!error.passes || signal?.aborted) throw error;
      late(error);
      await wait(1000 * (error.retrySeconds || seconds), signal);
      signal?.throwIfAborted();
    }
  }
}

const withBody = (method) => async (path, body = undefined, options = {}) => {
  const response = await send(method, path, { ...options, body });
  return response.status === 204 ? null : response.json();
};
export const post = withBody("POST");
export const put = withBody("PUT");
export const remove = withBody("DELETE");

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

export const jobPath = (job) => `/api/v1/inference-jobs/${encodeURIComponent(job)}`;
export const filePath = (job, file) => `${jobPath(job)}/files/${encodeURIComponent(file)}`;

export const wait = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(done, ms);
  signal?.addEventListener("abort", done);
  function done() {
    clearTimeout(timer);
    signal?.removeEventListener("abort", done);
    resolve();
  }
});
