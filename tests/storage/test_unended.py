"""Uploads in parts that were begun and never ended, and long lists, on each storage server."""

from __future__ import annotations

import time

from tests.support.servers import RunningStorage


def test_an_upload_that_was_never_ended_is_listed_and_aborted(storage: RunningStorage) -> None:
    """As after a kill in the middle of a copy in parts."""
    key, bucket = "tenant-1/media/unended/original", storage.access.bucket
    client = storage.store._client
    upload_id = client._create_multipart_upload(bucket_name=bucket, object_name=key, headers={})
    client._upload_part(
        bucket_name=bucket, object_name=key, data=b"part", headers=None, upload_id=upload_id, part_number=1
    )
    assert storage.store.list_unended(time.time() - 3600) == []
    [unended] = [one for one in storage.store.list_unended(time.time() + 3600) if one.key == key]
    storage.store.abort(unended)
    assert key not in [one.key for one in storage.store.list_unended(time.time() + 3600)]


def test_a_long_list_is_read_page_by_page(storage: RunningStorage) -> None:
    keys = {f"pages/{name}" for name in ("a-b/c", "a/b", "a.b", "b/a", "b/b", "c")}
    for key in keys:
        storage.store.put(key, b"x", content_type="audio/wav")
    listed: list[str] = []
    while page := storage.store.list("pages/", 2, listed[-1] if listed else ""):
        listed += [stored.key for stored in page]
    assert len(listed) == len(keys)
    assert set(listed) == keys
