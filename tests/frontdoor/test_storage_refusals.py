"""Storage's own refusals, which are XML, reach the client as problems."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import requests

from appliance.errors import ObjectMissing
from tests.frontdoor.test_refusals import send
from tests.frontdoor.test_uploads import assert_problem, form_of, new_key, url_of
from tests.support.appliances import wait_for
from tests.support.servers import ORIGIN, RunningDoor

KIBIBYTE = 1024
SMALL = {"file": b"RIFF"}


def put_url(door: RunningDoor, key: str, seconds: int = 60) -> str:
    return door.storage.store.upload_url(key, origin=door.origin, expires_seconds=seconds)


def first_refusal(call: Callable[[], requests.Response]) -> requests.Response:
    """Repeat a call until it fails. Returns its answer."""
    return wait_for(lambda: None if (response := call()).ok else [response])[0]  # a refusal itself counts as false


def test_an_expired_form_is_a_403_that_asks_for_a_new_one(door: RunningDoor) -> None:
    form = form_of(door, new_key(), seconds=1)
    response = first_refusal(lambda: requests.post(form.url, data=form.fields, files=SMALL))
    assert_problem(response, 403, "forbidden")
    assert "Request a new one" in response.json()["detail"]
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("field", ["key", "x-amz-signature", "policy"])
def test_a_changed_form_is_a_403(door: RunningDoor, field: str) -> None:
    form = form_of(door, new_key())
    response = requests.post(form.url, data=form.fields | {field: "changed"}, files=SMALL)
    assert_problem(response, 403, "forbidden")


def test_an_expired_url_is_a_403(door: RunningDoor) -> None:
    key = new_key()
    download, upload = url_of(door, key, seconds=1), put_url(door, new_key(), seconds=1)
    door.storage.store.put(key, b"abc", content_type="audio/wav")
    assert_problem(first_refusal(lambda: requests.get(download)), 403, "forbidden")
    assert_problem(first_refusal(lambda: requests.put(upload, data=b"abc")), 403, "forbidden")


def test_a_url_of_another_key_or_method_is_a_403(door: RunningDoor) -> None:
    key = new_key()
    url = url_of(door, key)
    assert_problem(requests.get(url.replace(key, new_key())), 403, "forbidden")
    assert_problem(requests.put(url, data=b"abc"), 403, "forbidden")
    assert_problem(requests.get(url.partition("?")[0]), 403, "forbidden")
    head = requests.head(url)
    assert (head.status_code, head.content, head.headers["Content-Type"]) == (403, b"", "application/problem+json")


def test_a_missing_object_is_a_404(door: RunningDoor) -> None:
    assert_problem(requests.get(url_of(door, new_key())), 404, "not_found")


@pytest.mark.parametrize("body", [b"--edge\r\nhello", b""], ids=["no part", "empty"])
def test_a_malformed_form_is_a_400(door: RunningDoor, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    assert_problem(requests.post(f"{door.origin}/audio", data=body, headers=headers), 400, "invalid_request")


def test_a_form_without_its_file_is_a_400(door: RunningDoor) -> None:
    form = form_of(door, new_key())
    response = requests.post(form.url, data=form.fields, files={"other": b"RIFF"})
    assert_problem(response, 400, "invalid_request")
    assert "the file as the last field" in response.json()["detail"]


@pytest.mark.parametrize("size", [0, 999, 1001])
def test_a_file_of_another_size_than_declared_is_a_400(door: RunningDoor, size: int) -> None:
    key = new_key()
    form = form_of(door, key, size_bytes=1000)
    response = requests.post(form.url, data=form.fields, files={"file": b"x" * size})
    assert_problem(response, 400, "invalid_request")
    assert "declared size" in response.json()["detail"]
    with pytest.raises(ObjectMissing):
        door.storage.store.stat(key)


@pytest.mark.parametrize("extra_bytes", [1, 1000, 15 * KIBIBYTE, 17 * KIBIBYTE])
def test_a_file_over_the_limit_is_a_413_from_the_first_byte(door: RunningDoor, extra_bytes: int) -> None:
    limit = door.door.max_upload_bytes
    form = form_of(door, new_key(), size_bytes=limit)
    response = requests.post(form.url, data=form.fields, files={"file": b"x" * (limit + extra_bytes)})
    assert_problem(response, 413, "file_too_large")
    assert str(limit) in response.json()["detail"]
    response = requests.put(put_url(door, new_key()), data=b"x" * (limit + extra_bytes))
    assert_problem(response, 413, "file_too_large")


def test_a_file_of_the_largest_size_is_stored(door: RunningDoor) -> None:
    content = os.urandom(door.door.max_upload_bytes)
    for name in ("take.wav", "Ä" * 340 + ".wav"):
        form = form_of(door, new_key(), size_bytes=len(content))
        response = requests.post(form.url, data=form.fields, files={"file": (name, content)})
        assert response.status_code == 204, response.text
    assert requests.put(put_url(door, new_key()), data=content).status_code == 200


def test_a_large_file_is_refused_before_it_is_read(minio_door: RunningDoor) -> None:
    """A client that sends 3 MB with a form for 10 bytes reads the refusal, not a broken connection."""
    for _ in range(5):
        form = form_of(minio_door, new_key(), size_bytes=10)
        response = requests.post(form.url, data=form.fields, files={"file": b"x" * 3_000_000})
        assert_problem(response, 400, "invalid_request")


def test_conditions_and_ranges_that_do_not_fit(door: RunningDoor) -> None:
    key = new_key()
    door.storage.store.put(key, b"0123456789", content_type="audio/wav")
    url = url_of(door, key)
    assert_problem(requests.get(url, headers={"If-Match": '"other"'}), 412, "precondition_failed")
    assert_problem(requests.get(url, headers={"Range": "bytes=10-20"}), 416, "range_not_satisfiable")
    unchanged = requests.get(url, headers={"If-None-Match": requests.get(url).headers["ETag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_minio_takes_no_upload_without_a_length(minio_door: RunningDoor) -> None:
    response = requests.put(put_url(minio_door, new_key()), data=iter([b"abc"]))
    assert_problem(response, 411, "length_required")


def test_a_malformed_url_is_a_400(door: RunningDoor) -> None:
    url = url_of(door, new_key()).replace("X-Amz-Date=2", "X-Amz-Date=x")
    response = requests.get(url)
    assert_problem(response, 400, "invalid_request")
    assert "presigned URL" in response.json()["detail"]


def test_a_page_can_read_a_refusal_of_storage(door: RunningDoor) -> None:
    response = requests.get(url_of(door, new_key()), headers={"Origin": ORIGIN})
    assert_problem(response, 404, "not_found")
    assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_a_refusal_names_nothing_of_the_storage_server(door: RunningDoor) -> None:
    status, headers, body = send(door, "GET", "/audio/a")
    names = {name.lower() for name in headers}
    assert status == 403
    assert not [name for name in names if name.startswith(("x-amz", "x-minio", "seaweed"))]
    assert b"<" not in body
