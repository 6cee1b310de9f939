"""A long run without faults, at 80 % of what the machine can do: what grows?

``python -m tests.chaos.soak --minutes N`` (``scripts/soak``). First the clients send without pause; the limit is the
number of recordings that are done per second meanwhile. Then they send at 80 % of it. The page of metrics is scraped
all the time, and drawn at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from appliance.state.database import Database
from tests.chaos.audit import GOOD_ENDS, Audit, audit
from tests.chaos.clients import Ledger
from tests.chaos.gauges import Gauges, read_gauges, sockets_of_seaweedfs
from tests.chaos.run import PATIENCE_SECONDS, Box, sending
from tests.chaos.scraped import SCRAPE_SECONDS, Scraped, scraping
from tests.support.appliances import ROOT, make_models
from tests.support.receivers import receiving

SHARE = 0.8
NUM_CLIENTS = 8  # enough that the machine is the limit
READ_EVERY_SECONDS = 10.0
MIB = 1024**2


class Pace:
    """Lets ``per_second`` recordings start in a second, however many clients share it. 0 is no limit."""

    def __init__(self) -> None:
        self.per_second = 0.0
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Wait for the turn of the next recording. One that comes late is not made up for."""
        if not self.per_second:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + 1 / self.per_second
        time.sleep(turn - now)


@dataclass
class Soak:
    """A finished run. ``readings`` are under load; ``idle`` is after all work has ended."""

    minutes: float
    limit_per_second: float
    done_per_second: float
    readings: list[Gauges]
    idle: Gauges
    api_seconds: list[float]
    leftover_sockets: int
    audit: Audit
    scraped: Scraped

    def table(self) -> str:
        """The figures, a line each."""
        lines = [
            ("minutes", f"{self.minutes:.1f}"),
            ("limit, recordings/s", f"{self.limit_per_second:.1f}"),
            ("done, recordings/s", f"{self.done_per_second:.1f}"),
            ("", "start / most / end / idle"),
        ]
        for name in self.idle.memory_bytes:
            lines += [self._line(f"memory of {name}, MiB", "memory_bytes", name, MIB)]
        for name in self.idle.open_files:
            lines += [self._line(f"open files of {name}", "open_files", name)]
        lines += [
            self._line("temporary files", "temporary_files"),
            self._line("database, MiB", "database_bytes", unit=MIB),
            self._line("write-ahead log, MiB", "wal_bytes", unit=MIB),
            ("sockets until next start", str(self.leftover_sockets)),
            ("scrapes, and those that failed", f"{len(self.scraped.scrapes)}, {self.scraped.misses}"),
            ("calls of the API", str(len(self.api_seconds))),
        ]
        if len(self.api_seconds) > 1:
            percentiles = quantiles(self.api_seconds, n=100)
            lines += [("API p50, p99, ms", f"{1000 * percentiles[49]:.0f}, {1000 * percentiles[98]:.0f}")]
        return "\n".join(f"{name:30} {value}" for name, value in [*lines, *self.audit.row().items()])

    def _line(self, label: str, gauge: str, name: str = "", unit: int = 1) -> tuple[str, str]:
        """One gauge in the four columns. ``name`` is a process, if the gauge has a value for each."""
        values = [getattr(reading, gauge) for reading in [*self.readings, self.idle]]
        numbers = [(value[name] if name else value) / unit for value in values]
        return label, " / ".join(f"{one:.0f}" for one in (numbers[0], max(numbers), numbers[-2], numbers[-1]))


def done(database: Database) -> int:
    """How many recordings have come to their good end."""
    counts = [
        database.all(f"SELECT count(*) FROM {table} WHERE status = ?", [status])[0][0]
        for table, status in GOOD_ENDS.items()
    ]
    return sum(counts)


def rate(database: Database, seconds: float) -> float:
    """Recordings done per second in the next ``seconds``."""
    before, started = done(database), time.monotonic()
    time.sleep(seconds)
    return (done(database) - before) / (time.monotonic() - started)


def run(folder: Path, models: Path, minutes: float, measure_seconds: float, storage: str) -> Soak:
    """Measure the limit for ``measure_seconds``, then send at a share of it and read the gauges."""
    tmp, before = folder / "tmp", sockets_of_seaweedfs()
    tmp.mkdir()
    os.environ["TMPDIR"] = str(tmp)  # of the processes that are started from here on
    ledger, pace, readings = Ledger(), Pace(), list[Gauges]()
    with (
        receiving() as receiver,
        contextlib.closing(Box(folder / "data", models, storage_server=storage)) as box,
        scraping(box.appliance) as scraped,
    ):
        database = Database(box.appliance.data_dir / "appliance.db")
        with sending(box, receiver, ledger, 0, NUM_CLIENTS, pace.wait):
            rate(database, measure_seconds / 4)  # until all models are loaded
            limit = rate(database, measure_seconds)
            pace.per_second = SHARE * limit
            wait_until_idle(database, measure_seconds)
            ledger.api_seconds.clear()
            started, done_before = time.monotonic(), done(database)
            while time.monotonic() < started + 60 * minutes:
                readings.append(read_gauges(box.appliance, tmp))
                time.sleep(READ_EVERY_SECONDS)
            done_per_second = (done(database) - done_before) / (time.monotonic() - started)
            api_seconds = list(ledger.api_seconds)
        end = audit(ledger, receiver, box.appliance, PATIENCE_SECONDS)
        idle = read_gauges(box.appliance, tmp)
    left = len(sockets_of_seaweedfs() - before)
    return Soak(minutes, limit, done_per_second, readings, idle, api_seconds, left, end, scraped)


def wait_until_idle(database: Database, patience_seconds: float) -> None:
    """Wait until the work that the measurement left has almost ended, at most for ``patience_seconds``."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline and database.all("SELECT count(*) FROM work")[0][0] > 10:
        time.sleep(1.0)


def main() -> int:
    """Run and print the table. Returns 1 if the audit found a defect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long the load is 80 %% of the limit (60)")
    parser.add_argument("--measure-seconds", type=float, default=120.0, help="how long the limit is measured (120)")
    parser.add_argument("--storage", choices=["minio", "seaweedfs"], default="minio", help="the storage server (minio)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "var" / "soak", help="folder for what was scraped (var/soak)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        models = make_models(Path(folder) / "models")
        result = run(Path(folder), models, options.minutes, options.measure_seconds, options.storage)
    print(result.table())
    options.out.mkdir(parents=True, exist_ok=True)
    result.scraped.write_csv(options.out / "metrics.csv")
    result.scraped.write_svg(options.out / "metrics.svg")
    print(f"What was scraped every {SCRAPE_SECONDS:.0f} s is in {options.out}.")
    for name, value in vars(result.audit).items():
        for line in value if isinstance(value, list) else []:
            print(f"{name}: {line}")
    return 0 if result.audit.faultless else 1


if __name__ == "__main__":
    sys.exit(main())
