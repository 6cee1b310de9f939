"""Pages of the configured origins may call the API and storage; pages of other origins may not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import requests
from pydantic import ValidationError

from appliance.config import Settings
from appliance.frontdoor import caddy
from appliance.storage.local_server import free_ports
from tests.frontdoor.test_uploads import assert_problem, form_of, new_key, url_of
from tests.support.servers import ORIGIN, RunningDoor, listens, running

ELSEWHERE = "https://elsewhere.example"
PAGE = {"Origin": ORIGIN}
# What browsers ask for on behalf of the clients of the reference pages.
ASKED = ["x-api-key,content-type", "authorization", "if-none-match,x-request-id", "assemblyai-agent,user-agent"]


def preflight(url: str, method: str = "POST", headers: str = "x-api-key", origin: str = ORIGIN) -> requests.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return requests.options(url, headers=asked)


def cors_headers(response: requests.Response) -> set[str]:
    return {name for name in response.headers if name.lower().startswith("access-control-")}


def words(response: requests.Response, name: str) -> set[str]:
    return {word.strip().lower() for word in response.headers[name].split(",")}


@pytest.mark.parametrize("path", ["/api/v1/inference-jobs", "/v2/transcript/1", "/transcribe/batch", "/audio/a/b"])
def test_a_preflight_is_answered_before_anything_else(minio_door: RunningDoor, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for headers in ASKED:
            response = preflight(minio_door.origin + path, method, headers)
            assert (response.status_code, response.content) == (204, b"")
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert method.lower() in words(response, "Access-Control-Allow-Methods")
            assert set(headers.split(",")) <= words(response, "Access-Control-Allow-Headers")
            assert "Access-Control-Allow-Credentials" not in response.headers
            assert words(response, "Vary") >= {"origin"}


def test_a_preflight_from_another_origin_goes_where_it_went(minio_door: RunningDoor) -> None:
    assert preflight(f"{minio_door.origin}/audio", origin=ELSEWHERE).status_code == 403
    passed_on = preflight(f"{minio_door.origin}/api/v1/models", origin=ELSEWHERE)
    assert passed_on.json()["REQUEST_METHOD"] == "OPTIONS"
    assert not cors_headers(passed_on)
    not_a_preflight = requests.options(f"{minio_door.origin}/api/v1/models", headers=PAGE)
    assert not_a_preflight.json()["REQUEST_METHOD"] == "OPTIONS"


def test_a_page_reads_the_answers_of_the_api(minio_door: RunningDoor) -> None:
    response = requests.get(f"{minio_door.origin}/api/v1/models", headers=PAGE)
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert {"etag", "x-request-id", "retry-after"} <= words(response, "Access-Control-Expose-Headers")
    assert "origin" in words(response, "Vary")
    other = requests.get(f"{minio_door.origin}/api/v1/models", headers={"Origin": ELSEWHERE})
    assert not cors_headers(other)
    assert "origin" in words(other, "Vary")


def test_a_page_reads_the_refusals_of_the_front_door(minio_door: RunningDoor) -> None:
    too_large = requests.post(f"{minio_door.origin}/api", data=b"x" * (2**20 + 1), headers=PAGE)
    assert_problem(too_large, 413, "request_too_large")
    plain = requests.post(f"{minio_door.origin}/v2/transcript", data=b"x" * (2**20 + 1), headers=PAGE)
    not_allowed = requests.get(f"{minio_door.origin}/audio", headers=PAGE)
    assert_problem(not_allowed, 403, "forbidden")
    for response in (too_large, plain, not_allowed):
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert response.headers["Vary"] == "Origin"


def test_a_page_may_use_storage(minio_door: RunningDoor) -> None:
    key = new_key()
    form = form_of(minio_door, key)
    posted = requests.post(form.url, data=form.fields, files={"file": b"RIFF"}, headers=PAGE)
    read = requests.get(url_of(minio_door, key), headers=PAGE | {"Range": "bytes=0-1"})
    assert (posted.status_code, read.status_code) == (204, 206)
    for response in (posted, read):
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "content-range" in words(response, "Access-Control-Expose-Headers")


def test_a_star_lets_every_page_in_without_credentials(minio_door: RunningDoor, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    door = dataclasses.replace(minio_door.door, port=port, folder=tmp_path / "door", cors_origins=("*",))
    origin = f"http://127.0.0.1:{port}"
    with running(caddy.command(door), caddy.environment(door), tmp_path / "door.log", lambda: listens(port)):
        for response in (
            preflight(f"{origin}/api/v1/models", origin=ELSEWHERE),
            requests.get(f"{origin}/api/v1/models", headers={"Origin": "null"}),
            requests.get(f"{origin}/audio", headers={"Origin": ELSEWHERE}),
        ):
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in response.headers


def test_a_setting_that_is_no_origin_is_refused_with_a_reason() -> None:
    assert Settings(cors_origins=["HTTPS://Pages.example:8443", "*"]).cors_origins == [
        "https://pages.example:8443",
        "*",
    ]
    for text in ("pages.example", "https://pages.example/", "https://*.example", "https://a@b", "null", ""):
        with pytest.raises(ValidationError, match="is not an origin; write scheme, host and port alone"):
            Settings(cors_origins=[text])
