"""Failures in a row are logged once, and are waited for longer and longer."""

from __future__ import annotations

import errno

import pytest
from structlog.testing import capture_logs

from appliance.errors import StorageFull, StorageUnavailable
from appliance.worker.outage import LONGEST_SECONDS, Outage


def test_one_line_for_each_change_and_growing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    outage = Outage("claim", first_seconds=0.5)
    with capture_logs() as lines:
        waits = [outage.failed(OSError(errno.ENOSPC, "No space left on device")) for _ in range(10)]
        outage.failed(StorageFull("The disk is full."))
        assert outage.failed(StorageUnavailable("no answer")) == 0.5
        outage.ended()
        outage.ended()
    assert waits[:4] == [0.5, 1, 2, 4]
    assert waits[-1] == LONGEST_SECONDS
    assert [line.get("code", line["event"]) for line in lines] == [
        "storage_full",
        "storage_unavailable",
        "step works again",
    ]
    assert not any(line.get("exc_info") for line in lines)
