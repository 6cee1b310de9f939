"""The parts of ``scripts/soak`` that can be tried in a moment."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.chaos.audit import Audit
from tests.chaos.gauges import Gauges
from tests.chaos.soak import MIB, Pace, Soak


def test_clients_share_a_pace() -> None:
    pace, started = Pace(), time.monotonic()
    pace.per_second = 200.0
    with ThreadPoolExecutor(4) as clients:
        list(clients.map(lambda _: pace.wait(), range(41)))
    assert time.monotonic() - started >= 0.2  # the first starts at once, the others 5 ms after each other


def test_the_table_shows_what_grew() -> None:
    readings = [
        Gauges({"api": size * MIB}, {"api": 2 * size}, temporary_files=size, database_bytes=0, wal_bytes=0)
        for size in (3, 9, 5, 4)
    ]
    soak = Soak(60.0, 10.0, 8.0, readings[:3], readings[3], [0.1] * 99 + [1.0], 0, Audit())
    lines = {line[:30].strip(): line[30:].strip() for line in soak.table().splitlines()}
    assert lines["memory of api, MiB"] == "3 / 9 / 5 / 4"
    assert lines["open files of api"] == "6 / 18 / 10 / 8"
    assert lines["API p50, p99, ms"].startswith("100, ")
