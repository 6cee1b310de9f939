"""A page on another origin uses the API and storage, in a real browser: CORS as the browser enforces it.

The appliance lists the origin of one of two pages in ``cors_origins``. The uploads of the page are the TypeScript of
the page on asynchronous transcription, and a form with ``FormData`` as that on uploading audio describes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.contract import page_samples
from tests.support.appliances import Appliance, running_appliance
from tests.support.browser import javascript_of, new_page, open_browser, serving
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

HTML = """<!doctype html>
<title>A page of a customer</title>
<input type="file">
<script>
const call = async (method, path, body) => {
  const headers = { "X-API-Key": window.apiKey };
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(window.baseUrl + path, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, requestId: response.headers.get("X-Request-ID"), body: await response.json() };
};
const until = async (path, ended) => {
  for (let polls = 0; polls < 2400; polls++) {
    const response = await call("GET", path);
    if (ended(response.body)) return response.body;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`still not ended: ${path}`);
};
const file = () => document.querySelector("input").files[0];
const postForm = (url, fields, content) => {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("file", content);
  return fetch(url, { method: "POST", body: form });
};
</script>
"""

PRESIGNED = """async () => {
  const preRecordedAudio = file();
  const upload = await call("POST", "/api/generate-presigned-url",
    { fileName: preRecordedAudio.name, contentType: "audio/wav", modelId: "loud-frames" });
  const { presignedUrl, transcriptionId } = upload.body;
  let outcome = "";
  await SAMPLE
  const path = `/api/get-transcription?transcriptionId=${transcriptionId}`;
  return { outcome, ...(await until(path, ({ status }) => ["completed", "failed"].includes(status))) };
}"""

FORM = """async () => {
  const jobs = "/api/v1/inference-jobs";
  const job = (await call("POST", jobs, { model_id: "loud-frames" })).body;
  const form = (await call("POST", `${jobs}/${job.id}/files/upload-url`,
    { filename: file().name, content_type: "audio/wav", file_size_bytes: file().size })).body;
  const posted = await postForm(form.upload_url, form.upload_fields, file());
  await call("POST", `${jobs}/${job.id}/files/confirm`, { file_id: form.file_id });
  const ended = await until(`${jobs}/${job.id}`, (job) => job.processed_files === job.total_files);
  return { posted: posted.status, etag: posted.headers.get("ETag"), files: ended.files };
}"""

WRONG_SIZE = """async () => {
  const jobs = "/api/v1/inference-jobs";
  const job = (await call("POST", jobs, { model_id: "loud-frames" })).body;
  const form = (await call("POST", `${jobs}/${job.id}/files/upload-url`,
    { filename: "a.wav", content_type: "audio/wav", file_size_bytes: 5 })).body;
  const response = await postForm(form.upload_url, form.upload_fields, new Blob(["too long"]));
  return { status: response.status, body: await response.json() };
}"""

DOWNLOAD = """async (path) => {
  const { url } = (await call("GET", path)).body;
  const response = await fetch(url);
  const changed = await fetch(url.replace("X-Amz-Signature=", "X-Amz-Signature=0"));
  return {
    size: (await response.arrayBuffer()).byteLength,
    disposition: response.headers.get("Content-Disposition"),
    changed: (await changed.json()).code,
  };
}"""


@pytest.fixture(scope="module")
def origins() -> Iterator[list[str]]:
    """The origins of two pages. The appliance knows the first."""
    with serving(HTML) as known, serving(HTML) as unknown:
        yield [known, unknown]


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Any, origins: list[str]) -> Iterator[Appliance]:
    """An appliance that lists the origin of the first page."""
    settings = {"storage_server": "minio", "cors_origins": json.dumps(origins[:1])}
    with running_appliance(tmp_path_factory.mktemp("browser"), models, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser, appliance: Appliance, origins: list[str]) -> Page:
    """The page whose origin is listed, with a recording chosen in its file field."""
    return open_page(browser, origins[0], appliance)


def open_page(browser: Browser, origin: str, appliance: Appliance) -> Page:
    page = new_page(browser)
    page.goto(origin)
    page.evaluate("([url, key]) => { window.baseUrl = url; window.apiKey = key }", [appliance.url, appliance.key])
    page.set_input_files("input", {"name": "take.wav", "mimeType": "audio/wav", "buffer": loud_wav()})
    return page


def sample(outcomes: dict[str, str]) -> str:
    """Return the TypeScript of the page as JavaScript, with code where its comments ask for the user's own."""
    code = page_samples.TYPESCRIPT
    for comment, outcome in outcomes.items():
        assert code.count(comment) == 1
        code = code.replace(comment, f'outcome = "{outcome}";')
    return javascript_of(code)


def test_the_typescript_of_the_page_uploads_from_another_origin(page: Page) -> None:
    code = sample(
        {
            "// implement logic for successful request here": "successful",
            "// implement logic for unsuccessful request here": "unsuccessful",
            "// implement the logic here when an exception occurs": "exception",
        }
    )
    result = page.evaluate(PRESIGNED.replace("SAMPLE", code.strip()))
    assert (result["outcome"], result["status"], result["fileName"]) == ("successful", "completed", "take.wav")
    assert [(span["startMs"], span["endMs"]) for span in result["detections"]] == [(1160, 1742)]


def test_a_form_is_posted_to_a_job_and_the_job_is_polled(page: Page) -> None:
    result = page.evaluate(FORM)
    assert (result["posted"], bool(result["etag"])) == (204, True)
    [file] = result["files"]
    assert (file["original_filename"], file["status"], file["detections"]) == ("take.wav", "completed", LOUD_DETECTIONS)


def test_a_page_reads_an_object_and_a_refusal_of_storage(page: Page, appliance: Appliance) -> None:
    api = appliance.api
    job = api.make_job()
    file_id = api.send(job, loud_wav())
    result = page.evaluate(DOWNLOAD, f"/api/v1/inference-jobs/{job}/files/{file_id}/download-url")
    assert result["size"] == len(loud_wav())
    assert result["disposition"].startswith("attachment;")
    assert result["changed"] == "forbidden"


def test_a_page_reads_the_refusal_of_a_file_of_another_size(page: Page) -> None:
    result = page.evaluate(WRONG_SIZE)
    assert (result["status"], result["body"]["code"]) == (400, "invalid_request")
    assert "declared size" in result["body"]["detail"]


def test_a_page_reads_errors_of_the_api_and_the_front_door(page: Page) -> None:
    missing = page.evaluate('() => call("DELETE", "/api/v1/datasets/none")')
    assert (missing["status"], missing["body"]["code"], bool(missing["requestId"])) == (404, "not_found", True)
    too_large = page.evaluate('() => call("POST", "/api/v1/datasets", { name: "x".repeat(2 ** 20 + 1) })')
    assert (too_large["status"], too_large["body"]["code"]) == (413, "request_too_large")
    page.evaluate('() => { window.apiKey = "wrong" }')
    unauthorized = page.evaluate('() => call("GET", "/api/v1/datasets")')
    assert (unauthorized["status"], unauthorized["body"]["code"]) == (401, "unauthorized")


def test_a_page_of_another_origin_reads_nothing(browser: Browser, appliance: Appliance, origins: list[str]) -> None:
    page = open_page(browser, origins[1], appliance)
    failure = "(path) => call('GET', path).then(() => 'read', (error) => error.name)"
    assert page.evaluate(failure, "/api/v1/datasets") == "TypeError"
    # Without a preflight the request is sent, but the page cannot read the answer.
    plain = "(url) => fetch(url).then(() => 'read', (error) => error.name)"
    assert page.evaluate(plain, f"{appliance.url}/readyz") == "TypeError"
