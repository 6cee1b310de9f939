"""What a server refuses only for now: it has another time, as a clock was set, or it has not loaded its users yet."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import minio.time
import pytest

from appliance.errors import StorageUnavailable
from appliance.storage.access import Credentials
from appliance.storage.grants import assume_role
from appliance.storage.seam import connection_pool
from tests.support.servers import RunningStorage


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_was_set_makes_storage_unavailable_and_fails_no_file(
    storage: RunningStorage, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    store = storage.store
    store.put("clocks/a", io.BytesIO(b"bytes"), size_bytes=5, content_type="audio/wav")
    info = store.stat("clocks/a")
    monkeypatch.setattr(minio.time, "utcnow", lambda: datetime.now(UTC) + timedelta(days=days))
    with pytest.raises(StorageUnavailable):
        store.fetch("clocks/a", info.etag, io.BytesIO())
    with pytest.raises(StorageUnavailable):
        store.stat("clocks/a")
    with pytest.raises(StorageUnavailable):
        store.put("clocks/a", io.BytesIO(b"bytes"), size_bytes=5, content_type="audio/wav")
    assert not store.ready()


def test_a_user_that_is_not_known_yet_makes_storage_unavailable(minio_storage: RunningStorage) -> None:
    """MinIO answers so for a moment after it was killed and started again."""
    unknown = Credentials("unknown", "no-such-secret")
    with pytest.raises(StorageUnavailable, match="403"):
        assume_role(minio_storage.access, unknown, "s3:PutObject", "arn:aws:s3:::audio/a", 60, connection_pool())
