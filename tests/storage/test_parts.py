"""Uploads in parts on each storage server, as a client sends them through the front door's Host."""

from __future__ import annotations

import builtins
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from appliance.errors import ObjectMissing
from appliance.services.inference import files, multipart
from appliance.storage.objects import UnendedUpload
from appliance.storage.parts import PartInfo
from tests.support.boxes import DictionaryStore, make_box, new_job
from tests.support.servers import RunningStorage

SIZES = {1: 5 * 1024**2, 2: 1000}


def put(storage: RunningStorage, url: str, content: bytes) -> int:
    return requests.put(url, data=content, headers={"Host": storage.access.signing_host}).status_code


def test_parts_in_any_order_become_one_object_and_the_urls_end_with_it(storage: RunningStorage) -> None:
    key, parts = "tenant-1/inference-1/a/parts-1", storage.store.parts
    upload_id = parts.create(key, "audio/wav")
    urls = parts.urls(key, upload_id, SIZES, origin=storage.access.endpoint, expires_seconds=600)
    contents = {number: bytes([number]) * size for number, size in SIZES.items()}
    for number in (2, 1, 2):
        assert put(storage, urls[number], contents[number]) == 200
    assert put(storage, urls[2], contents[2] + b"more") == 403
    arrived = parts.arrived(key, upload_id)
    assert {part.number: part.size_bytes for part in arrived} == SIZES
    parts.complete(key, upload_id, arrived)
    info = storage.store.stat(key)
    assert info.size_bytes == sum(SIZES.values())
    assert storage.store.read(key, info.etag, SIZES[1] - 1, 3) == b"\1\2\2"
    assert put(storage, urls[1], contents[1]) in (403, 404)
    with suppress(ObjectMissing):  # SeaweedFS answers with an empty list
        assert parts.arrived(key, upload_id) == []
    assert storage.store.stat(key).etag == info.etag


class PartsOfFiles(DictionaryStore):
    """A dictionary in which uploads in parts can be begun, listed and aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.unended: dict[str, UnendedUpload] = {}
        self.parts = self

    def create(self, key: str, content_type: str) -> str:
        """Begin an upload in parts."""
        name = f"id-{len(self.unended) + 1}"
        self.unended[name] = UnendedUpload(key, name)
        return name

    def arrived(self, key: str, upload_id: str) -> builtins.list[PartInfo]:
        """Return nothing: no part ever arrives."""
        return []

    def urls(self, key: str, upload_id: str, sizes: dict[int, int], **_: object) -> dict[int, str]:
        """Return a URL for each part."""
        return {number: f"http://x/{key}?partNumber={number}" for number in sizes}

    def list_unended(self, before: float) -> builtins.list[UnendedUpload]:
        """Return what was begun."""
        return [*self.unended.values()]

    def abort(self, upload: UnendedUpload) -> None:
        """Forget an upload."""
        del self.unended[upload.upload_id]


def test_the_sweep_aborts_what_no_pending_file_waits_for(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = make_box(tmp_path, models, store := PartsOfFiles())
    monkeypatch.setattr(multipart, "ABANDONED_SECONDS", -60.0)
    job_id = new_job(box)
    kept = multipart.request(
        box, 1, job_id, filename="a.wav", content_type="audio/wav", size_bytes=5, origin="http://x"
    ).file_id
    store.unended["other"] = UnendedUpload("tenant-1/inference-1/f/parts-2", "other")
    store.unended["copy"] = UnendedUpload("tenant-1/inference-1/f/original-2", "copy")  # of the appliance itself
    multipart.abort_abandoned(box)
    assert set(store.unended) == {"id-1", "copy"}
    files.delete_file(box, 1, job_id, kept)
    multipart.abort_abandoned(box)
    assert set(store.unended) == {"copy"}
