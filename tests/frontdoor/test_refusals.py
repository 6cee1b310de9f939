"""Which requests the front door passes on to storage, and which it refuses."""

from __future__ import annotations

import http.client
import json
import uuid
from email.message import Message
from urllib.parse import urlsplit

import pytest
import requests

from tests.frontdoor.test_uploads import assert_problem, form_of, new_key, url_of
from tests.support.appliances import PATIENCE_SECONDS, wait_for
from tests.support.servers import RunningDoor

AUDIO = {"Content-Type": "audio/wav"}
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}


def send(
    door: RunningDoor, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> tuple[int, Message, bytes]:
    """Send a request line unchanged, which no HTTP library does. Returns status, headers and body of the response."""
    connection = http.client.HTTPConnection(urlsplit(door.origin).netloc, timeout=PATIENCE_SECONDS)
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def assert_refused(door: RunningDoor, method: str, target: str, headers: dict[str, str] | None = None) -> None:
    status, response_headers, body = send(door, method, target, headers)
    assert status == 403, (method, target, status, body)
    assert response_headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["code"] == "forbidden"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/audio"),
        ("GET", "/audio/"),
        ("GET", "/audio?list-type=2"),
        ("GET", "/audio?location"),
        ("PUT", "/audio"),
        ("DELETE", "/audio"),
        ("DELETE", "/audio/tenant-1/a"),
        ("PATCH", "/audio/tenant-1/a"),
        ("POST", "/audio/tenant-1/a"),
        ("POST", "/audio/tenant-1/a?uploads"),
        ("POST", "/audio?delete"),
        ("GET", "/audio/a?acl"),
        ("GET", "/audio/a?tagging"),
        ("GET", "/audio/a?policy="),
        ("GET", "/audio/a?X-Amz-Date=1&uploadId=2"),
        ("GET", "/audio/a?x-minio-source-etag=1"),
        ("GET", "/audio/a?X-MINIO-Extract=true"),
        ("PUT", "/audio/a?x-amz-content-sha256=STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("PUT", "/audio/a?X-Amz-Meta-Snowball-Auto-Extract=true"),
        ("GET", "/audio/a?%78-amz-date=1"),
        ("GET", "/audio/../minio/admin/v3/info"),
        ("GET", "/audio/%2e%2e/minio/health/live"),
        ("GET", "/audio/a%2f..%2f..%2fother/b"),
        ("GET", "/audio//a"),
        ("GET", "//audio/a"),
        ("GET", "/audio/a\\..\\b"),
        ("GET", "/audio/a%5c..%5cb"),
        ("GET", "/audio/.minio.sys/config"),
        ("GET", "/%61udio/a"),
        ("GET", "/AUDIO/a"),
        ("GET", "/x/../audio/a"),
        ("GET", "/audio/a%00b"),
    ],
)
def test_calls_beyond_forms_and_presigned_urls_are_refused(minio_door: RunningDoor, method: str, target: str) -> None:
    assert_refused(minio_door, method, target, AUDIO)


@pytest.mark.parametrize(
    "target", ["/minio/admin/v3/info", "/minio/health/live", "/other/key", "/", "/?Action=AssumeRole"]
)
def test_paths_outside_the_bucket_never_reach_storage(minio_door: RunningDoor, target: str) -> None:
    status, _, body = send(minio_door, "GET", target)
    assert status == 200
    assert json.loads(body)["RAW_URI"] == target


@pytest.mark.parametrize(
    "header",
    [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("X-Amz-Content-SHA256", "streaming-aws4-hmac-sha256-payload"),
        ("x-amz-meta-snowball-auto-extract", "true"),
        ("X-Minio-Extract", "true"),
        ("x-minio-source-mtime", "2026-01-01T00:00:00Z"),
    ],
)
def test_headers_that_reach_known_flaws_are_refused(minio_door: RunningDoor, header: tuple[str, str]) -> None:
    name, value = header
    assert_refused(minio_door, "PUT", "/audio/a", {name: value})
    assert_refused(minio_door, "POST", "/audio", FORM | {name: value})


def test_only_multipart_forms_are_posted(minio_door: RunningDoor) -> None:
    assert_refused(minio_door, "POST", "/audio", {"Content-Type": "application/x-www-form-urlencoded"})
    assert_refused(minio_door, "POST", "/audio", {})


def test_the_known_attack_on_a_forms_key_is_refused(minio_door: RunningDoor) -> None:
    form = form_of(minio_door, new_key())
    for key in attack_keys(form.fields):
        target, headers, body = attack(f"/audio/{new_key()}", key)
        assert_refused(minio_door, "PUT", target, headers)
        del headers["x-amz-content-sha256"]
        status, _, _ = send(minio_door, "PUT", target, headers, body)
        assert status in (400, 403)


def test_the_known_attack_on_storage_itself_stays_within_the_bucket(minio_door: RunningDoor) -> None:
    """Even without the front door (a second flaw, a wrong host), the keys that a form shows open nothing but audio."""
    storage = minio_door.storage
    form = form_of(minio_door, new_key())
    granted, parent = attack_keys(form.fields)
    assert parent == storage.access.writer.access_key
    root = storage.server._identities["root"]  # type: ignore[attr-defined]
    assert root.access_key not in (granted, parent)
    bucket = f"b{uuid.uuid4().hex}"
    for key in (granted, parent):
        target, headers, body = attack(f"/{bucket}/planted", key)
        response = requests.put(storage.access.endpoint + target, data=body, headers=headers)
        assert response.status_code in (403, 404), response.text
    target, headers, body = attack(f"/audio/{new_key()}", granted)
    response = requests.put(storage.access.endpoint + target, data=body, headers=headers)
    assert response.status_code == 403, response.text


def attack_keys(fields: dict[str, str]) -> list[str]:
    """Return the access keys that a form shows: the temporary one, and its parent's in the token."""
    import base64

    claims = fields["x-amz-security-token"].split(".")[1]
    parent = json.loads(base64.urlsafe_b64decode(claims + "=="))["parent"]
    return [fields["x-amz-credential"].split("/")[0], parent]


def attack(path: str, access_key: str) -> tuple[str, dict[str, str], bytes]:
    """CVE-2026-41145: an unsigned streaming upload whose query names a credential."""
    credential = f"{access_key}%2F20261120%2Fus-east-1%2Fs3%2Faws4_request"
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Signature=0"
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "3",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "Content-Encoding": "aws-chunked",
    }
    body = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n"
    return f"{path}?{query}", headers, body


def test_headers_that_the_api_receives(minio_door: RunningDoor) -> None:
    received = requests.get(f"{minio_door.origin}/api/v1/x?y=1", headers={"Host": "box.example:81"}).json()
    assert received["HTTP_HOST"] == "box.example:81"
    assert received["HTTP_X_FORWARDED_PROTO"] == "http"
    assert received["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    tunnel = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    received = requests.get(f"{minio_door.origin}/", headers=tunnel).json()
    assert received["HTTP_X_FORWARDED_PROTO"] == "https"
    assert received["HTTP_X_FORWARDED_FOR"] == "203.0.113.9, 127.0.0.1"
    odd = requests.get(f"{minio_door.origin}/", headers={"X-Forwarded-Proto": "javascript"}).json()
    assert odd["HTTP_X_FORWARDED_PROTO"] == "http"


def test_request_ids(minio_door: RunningDoor) -> None:
    sane = requests.get(f"{minio_door.origin}/", headers={"X-Request-ID": "abc-1"})
    assert sane.headers["X-Request-ID"] == sane.json()["HTTP_X_REQUEST_ID"] == "abc-1"
    for odd in ("a b", "x" * 200, '"}', "a,b"):
        response = requests.get(f"{minio_door.origin}/", headers={"X-Request-ID": odd})
        uuid.UUID(response.headers["X-Request-ID"])
        assert response.headers["X-Request-ID"] == response.json()["HTTP_X_REQUEST_ID"]
    assert "Server" not in sane.headers
    assert "Via" not in sane.headers


def test_api_bodies_are_capped(minio_door: RunningDoor) -> None:
    accepted = requests.post(f"{minio_door.origin}/api", data=b"x" * 2**20)
    assert accepted.json()["body_bytes"] == 2**20
    assert_problem(requests.post(f"{minio_door.origin}/api", data=b"x" * (2**20 + 1)), 413, "request_too_large")
    chunks = (b"x" * 65536 for _ in range(40))
    assert_problem(requests.post(f"{minio_door.origin}/api", data=chunks), 413, "request_too_large")


def test_logs_hold_no_secrets(minio_door: RunningDoor) -> None:
    key = new_key()
    minio_door.storage.store.put(key, b"abc", content_type="audio/wav")
    headers = {"X-API-Key": "s3cret-key", "Authorization": "Bearer s3cret-token", "Cookie": "s3cret-cookie"}
    requests.get(url_of(minio_door, key), headers=headers)
    requests.get(f"{minio_door.origin}/audio/{(refused := new_key())}?s3cret-query", headers=headers)
    for logged in (key, refused):  # a little late
        wait_for(lambda: f"/audio/{logged}" in minio_door.log.read_text())  # noqa: B023
    log = minio_door.log.read_text()
    assert "s3cret" not in log
    assert "X-Amz" not in log
