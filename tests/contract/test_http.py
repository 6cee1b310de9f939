"""Rules for every call: keys, errors as problems, request ids. Also health, the OpenAPI document and the docs page."""

from __future__ import annotations

import re
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from appliance import ROOT
from tests.support.appliances import PATIENCE_SECONDS, Api, Appliance, wait_for

JOBS = "/api/v1/inference-jobs"
CALLS = [
    ("POST", JOBS),
    ("GET", JOBS),
    ("GET", f"{JOBS}/x"),
    ("DELETE", f"{JOBS}/x"),
    ("POST", f"{JOBS}/x/files/upload-url"),
    ("POST", f"{JOBS}/x/files/confirm"),
    ("GET", f"{JOBS}/x/files/y"),
    ("GET", f"{JOBS}/x/files/y/download-url"),
    ("GET", "/api/v1/models"),
    ("GET", "/api/v1/models/loud-frames"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_without_a_live_key_every_call_is_a_401(appliance: Appliance, method: str, path: str) -> None:
    for key in (None, "", "wrong", appliance.key[:-1], appliance.key + "x", "ak_é", "x" * 5000):
        headers = {} if key is None else {"X-API-Key": key.encode()}
        response = requests.request(method, appliance.url + path, headers=headers, json={})
        assert response.status_code == 401, (key, response.text)
        assert response.json()["code"] == "unauthorized"
    bearer = requests.request(method, appliance.url + path, headers={"Authorization": f"Bearer {appliance.key}"})
    assert bearer.status_code == 401


@pytest.mark.parametrize("path", ["/v2/upload", "/transcribe/files/upload"])
def test_an_upload_with_a_wrong_key_is_always_a_401(appliance: Appliance, path: str) -> None:
    """The answer comes while the body is sent, and the front door was told of the closed connection first."""
    for _ in range(40):
        response = requests.post(appliance.url + path, headers={"Authorization": "wrong"}, data=bytes(3_000_000))
        assert response.status_code == 401, response.text


def test_a_revoked_key_is_refused_at_once(appliance: Appliance) -> None:
    api = appliance.api_of("short-lived", "default")
    api.get(JOBS)
    appliance.command("keys", "revoke", "short-lived", "--data-dir", str(appliance.data_dir))
    api.get(JOBS, 401)


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/v2/inference-jobs", f"{JOBS}/", "/api/v1/audio"])
def test_an_unknown_path_is_a_404(api: Api, path: str) -> None:
    assert api.get(path, 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", JOBS, {"GET", "POST"}),
        ("PATCH", f"{JOBS}/x", {"GET", "DELETE"}),
        ("POST", f"{JOBS}/x", {"GET", "DELETE"}),
        ("GET", f"{JOBS}/x/files/confirm/y", None),
        ("DELETE", "/healthz", {"GET"}),
        ("POST", "/api/v1/models", {"GET"}),
    ],
)
def test_a_wrong_method_is_a_405_that_lists_the_allowed_ones(
    api: Api, method: str, path: str, allowed: set[str] | None
) -> None:
    response = api.response(method, path)
    if allowed is None:
        assert response.status_code == 404
        return
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert allowed <= set(re.split(r",\s*", response.headers["Allow"]))


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", None])
def test_a_body_that_is_not_json_is_refused(api: Api, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = api.response("POST", JOBS, data=b'{"model_id": "loud-frames"}', headers=headers)
    assert response.status_code in (400, 415)
    assert "application/json" in response.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"model_id": "loud-frames"', b"nul", b"[" * 10_000])
def test_malformed_json_is_a_400(api: Api, body: bytes) -> None:
    api.call("POST", JOBS, 400, data=body, headers={"Content-Type": "application/json"})


def test_json_with_a_charset_of_utf_8_is_accepted(api: Api) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    api.call("POST", JOBS, 201, data=b'{"model_id": "loud-frames"}', headers=headers)


def test_a_lone_surrogate_is_a_400(api: Api) -> None:
    body = b'{"model_id": "\\ud800"}'
    api.call("POST", JOBS, 400, data=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("name", ["\0", "\0takes", "ta\0kes"])
def test_text_with_nul_is_a_400_that_names_the_field(api: Api, name: str) -> None:
    assert api.post("/api/v1/datasets", {"name": name}, 400)["detail"] == "name: contains NUL, which is not allowed."
    types = [{"name": name}]
    assert "NUL" in api.post("/api/v1/datasets", {"name": "takes", "artifact_types": types}, 400)["detail"]
    assert api.get(f"{JOBS}/%00", 400)["detail"] == "job_id: contains NUL, which is not allowed."


def test_a_body_over_the_cap_is_a_413(api: Api) -> None:
    response = api.response("POST", JOBS, json={"model_id": "x" * 1_100_000})
    assert (response.status_code, response.json()["code"]) == (413, "request_too_large")
    assert response.json()["title"] == "Content Too Large"


@pytest.mark.parametrize("length", [5_000, 20_000, 50_000])
def test_a_long_query_or_header_reaches_the_api(api: Api, length: int) -> None:
    assert "cursor" in api.get(JOBS, 400, params={"cursor": "x" * length})["detail"]
    api.get(f"/api/v1/models/{'x' * length}", 404)
    api.get(JOBS, 401, headers={"X-API-Key": "x" * length})
    api.get(JOBS, headers={"X-Long": "x" * length})
    api.get(JOBS, headers={f"X-Many-{number}": "x" for number in range(300)})


def test_storage_refuses_other_requests_with_a_problem(appliance: Appliance) -> None:
    for path in ("/audio/", "/audio", "/audio/tenant-1/x?list-type=2", "/minio/health/live"):
        response = requests.get(appliance.url + path)
        assert response.status_code in (403, 404), path
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code


def test_bytes_that_are_not_http_are_a_400(appliance: Appliance) -> None:
    address = urlsplit(appliance.url)
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(b"hello\r\n\r\n")
        assert b" 400 " in connection.recv(1000)


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/nothing", JOBS, "/audio/x"])
def test_a_request_id_is_returned(appliance: Appliance, path: str) -> None:
    response = requests.get(appliance.url + path, headers={"X-Request-ID": "my-id_1.2"})
    assert response.headers["X-Request-ID"] == "my-id_1.2"
    generated = [requests.get(appliance.url + path).headers["X-Request-ID"] for _ in range(2)]
    assert generated[0] != generated[1]
    assert all(re.fullmatch(r"[0-9a-f-]{36}", request_id) for request_id in generated)


@pytest.mark.parametrize("bad", ["a b", "x" * 200, "<script>", "a;b"])
def test_an_unsafe_request_id_is_replaced(appliance: Appliance, bad: str) -> None:
    answer = requests.get(f"{appliance.url}/healthz", headers={"X-Request-ID": bad}).headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f-]{36}", answer)


def test_healthz_says_that_the_process_is_alive(anonymous: Api) -> None:
    assert anonymous.get("/healthz") == {"status": "ok"}


def ready_answer(api: Api) -> Any:
    """The answer once the appliance is ready: on a busy machine a check may fail for a moment."""
    return wait_for(lambda: answer.json() if (answer := api.response("GET", "/readyz")).ok else None)


def test_readyz_reports_each_part(api: Api) -> None:
    body = ready_answer(api)
    assert body["status"] == "ready"
    assert set(body["checks"]) == {"database", "storage", "bucket", "model", "worker", "disk", "queue", "sweep"}
    assert all(check["ok"] and check["detail"] for check in body["checks"].values())
    assert "loud-frames@1.0.0" in body["checks"]["model"]["detail"]
    assert "cpu" in body["checks"]["worker"]["detail"]


@pytest.mark.parametrize("key", [None, "wrong"])
def test_readyz_tells_nobody_without_a_key_more_than_which_part_fails(appliance: Appliance, key: str | None) -> None:
    body = ready_answer(Api(appliance.url, key))
    assert body["status"] == "ready"
    assert all(check == {"ok": True, "detail": None} for check in body["checks"].values())


def test_the_document_is_openapi_3_1_and_names_every_call(anonymous: Api) -> None:
    document = anonymous.get("/api/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    for method, path in [*CALLS, ("GET", "/healthz"), ("GET", "/readyz")]:
        template = path.replace("/x", "/{job_id}").replace("/y", "/{file_id}").replace("loud-frames", "{model_id}")
        operation = document["paths"][template][method.lower()]
        assert operation["summary"]
        assert operation["responses"]
        assert bool(operation.get("security")) == path.startswith("/api/")
        for status, answer in operation["responses"].items():
            assert status in ("204", "304") or answer["content"]


def test_the_document_has_every_webhook(anonymous: Api) -> None:
    webhooks = anonymous.get("/api/v1/openapi.json")["webhooks"]
    page = (ROOT / "docs" / "webhooks.md").read_text()
    assert sorted(webhooks) == sorted(re.findall(r"^\| `(\w+\.\w+)` \|", page, re.MULTILINE))
    assert all(webhook["post"]["summary"] for webhook in webhooks.values())


def test_the_docs_page_needs_no_internet(appliance: Appliance) -> None:
    page = requests.get(f"{appliance.url}/docs")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page.text)
    links = re.findall(r"""(?:src|href)=["']([^"']+\.(?:js|css))""", page.text)
    assert len(links) >= 2
    for link in links:
        assert requests.get(appliance.url + link).status_code == 200, link
    assert "/api/v1/openapi.json" in page.text
    assert '"validatorUrl": null' in page.text  # otherwise the page sends its address to a validator on the internet


def test_models_are_listed_newest_first(api: Api) -> None:
    models = api.get("/api/v1/models")["models"]
    ids = [model["id"] for model in models]
    assert ids == sorted(ids, key=lambda i: i.partition("@")[0])
    assert ids.index("loud-frames@1.0.0") < ids.index("loud-frames@0.9.0")
    assert {model["provider"] for model in models} == {"cpu"}
    for model in models:
        labels = [label["name"] for label in model["labels"]]
        if model["task"] == "transcription":
            assert (model["language"], model["defaults"], labels) == ("en", None, [])
            continue
        assert model["language"] is None
        assert model["defaults"] == {"threshold": 0.5, "merge_window_ms": 200, "min_duration_ms": 50}
        detected = ["dropout"] if model["id"].startswith("loud-gaps@") else ["loud"]
        assert labels == (detected if model["task"] == "detection" else [])
        assert all(label | model["defaults"] == label for label in model["labels"])
    assert {model["task"] for model in models} >= {"detection", "embedding"}


def test_a_model_is_found_by_name_and_by_version(api: Api) -> None:
    newest = api.get("/api/v1/models/loud-frames")
    assert (newest["id"], newest["sample_rate_hz"], newest["task"]) == ("loud-frames@1.0.0", 22_050, "detection")
    assert api.get("/api/v1/models/loud-frames@1.0.0") == newest
    assert api.get("/api/v1/models/loud-frames@0.9.0")["version"] == "0.9.0"
    for unknown in ("nothing", "loud-frames@3", "loud", "%2e%2e%2fetc"):
        api.get(f"/api/v1/models/{unknown}", 404)


def test_responses_do_not_name_the_server(appliance: Appliance) -> None:
    for path in ("/healthz", "/nothing", "/audio/x"):
        headers = requests.get(appliance.url + path).headers
        assert not {"Server", "Via", "X-Powered-By"} & set(headers)
