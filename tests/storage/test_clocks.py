"""The clock of a process was set, and the server has another time: it refuses signed requests for now."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import minio.time
import pytest

from appliance.errors import StorageUnavailable
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
