"""Whether the appliance can take work and does it: each part is checked by itself."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from appliance.errors import ApplianceError
from appliance.frontdoor.certificate import seconds_left
from appliance.services.box import Box
from appliance.services.kind import PoolName
from appliance.state import chores, nodes, workers
from appliance.state import work as queue
from appliance.text import counted

KEPT_SECONDS = 1.0  # probes in quick succession share one result
POOLS = tuple(pool for pool in get_args(PoolName) if pool != "training")
STUCK_SECONDS = 300.0
LATE_SWEEPS = 20
LATEST_SWEEP_SECONDS = 600.0
CERTIFICATE_SECONDS = 600.0  # between two looks at the certificate
# The certificate of the own CA is valid for 12 hours, and renewed when 4 are left.
LEAST_VALID_SECONDS = {"certificate": 21 * 86_400.0, "internal": 2 * 3600.0}
NEEDED_TO_START = ("database", "storage", "model", "worker")
START_SECONDS = 120.0

StatusName = Literal["Initializing", "Ready", "Degraded", "Critical"]
STATUSES: tuple[StatusName, ...] = get_args(StatusName)


@dataclass(frozen=True)
class Check:
    """The result of one check. One that is ok may still warn."""

    ok: bool
    detail: str
    is_warning: bool = False


@dataclass(frozen=True)
class Status:
    """How the appliance is as a whole, and the checks that are the reason."""

    name: StatusName
    reasons: dict[str, Check]


class Health:
    """The checks of one box. Threads may share it; it keeps each result for a second."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._lock = threading.Lock()
        self._results: dict[str, Check] = {}
        self._kept_until = 0.0
        self._started_at = time.monotonic()
        self._started: set[str] = set()  # the parts that were up at least once
        self._waiting: tuple[int, float] | None = None  # the oldest ready work, and since when this has seen it
        self._valid_until = 0.0  # of the certificate, on the monotonic clock
        self._look_at = 0.0  # when to look at the certificate again

    def check_all(self) -> dict[str, Check]:
        """Return the results of all checks by name."""
        checks = {
            "database": self._database,
            "storage": self._storage,
            "model": self._model,
            "worker": self._worker,
            "disk": self._disk,
            "queue": self._queue,
            "sweep": self._sweep,
            "bucket": self._bucket,
        }
        if self._box.settings.executor == "ray":
            checks["cluster"] = self._cluster
        if self._box.settings.tls != "off":
            checks["certificate"] = self._certificate
        with self._lock:
            if time.monotonic() >= self._kept_until:
                self._results = {name: _guarded(check) for name, check in checks.items()}
                self._kept_until = time.monotonic() + KEPT_SECONDS
            return self._results

    def status(self) -> Status:
        """Return the status.

        Initializing: a part that all work needs has not come up yet, for up to START_SECONDS. Critical: such a part
        fails. Degraded: all of them work, and another check fails or warns.
        """
        checks = self.check_all()
        failing = {name: check for name, check in checks.items() if not check.ok}
        self._started |= {name for name in NEEDED_TO_START if name not in failing}
        broken = {name: check for name, check in failing.items() if name in NEEDED_TO_START}
        if broken:
            is_new = not self._started & broken.keys() and time.monotonic() < self._started_at + START_SECONDS
            return Status("Initializing" if is_new else "Critical", failing)
        reasons = failing | {name: check for name, check in checks.items() if check.is_warning}
        return Status("Degraded" if reasons else "Ready", reasons)

    def _database(self) -> Check:
        self._box.db.check_writable()
        self._box.db.one("SELECT 1 FROM inference_jobs")
        last = chores.last(self._box.db, "database check")
        return Check(False, last.fault) if last and last.fault else Check(True, "takes writes")

    def _storage(self) -> Check:
        return Check(True, "answers") if self._box.objects.ready() else Check(False, "does not answer")

    def _model(self) -> Check:
        return Check(True, f"{self._box.models.resolve(self._box.settings.default_model).manifest.id}")

    def _worker(self) -> Check:
        everyone = workers.everyone(self._box.db)
        numbers = range(1, 1 + max((worker.count for worker in everyone), default=1))
        missing = [str(number) for number in numbers if number not in {worker.number for worker in everyone}]
        if missing:
            return Check(False, f"{_which(missing, len(numbers))}has not started yet")
        silent = [worker for worker in everyone if worker.silent_seconds > self._box.settings.lease_seconds]
        if silent:
            which = _which([str(worker.number) for worker in silent], len(everyone))
            return Check(False, f"{which}has been silent for {silent[0].silent_seconds:.0f} s")
        return Check(True, f"runs on {', '.join(worker.provider for worker in everyone)}")

    def _disk(self) -> Check:
        free = shutil.disk_usage(self._box.settings.data_dir).free
        least, warn = self._box.settings.least_free_bytes, self._box.settings.warn_free_bytes
        gibibytes = [size / 1024**3 for size in (free, warn, least)]
        limits = "{:.1f} GiB free; warn_free_bytes is {:.1f} GiB, least_free_bytes is {:.1f} GiB".format(*gibibytes)
        return Check(free >= least, limits, is_warning=least <= free < warn)

    def _queue(self) -> Check:
        """Check that the oldest work gets a turn. A long queue is no fault, as long as something is in progress."""
        oldest, busy = queue.oldest_ready(self._box.db, POOLS), queue.is_busy(self._box.db)
        if oldest is None or busy:
            self._waiting = None
            return Check(True, "in progress" if busy else "empty")
        if self._waiting is None or self._waiting[0] != oldest:
            self._waiting = (oldest, time.monotonic())
        seconds = time.monotonic() - self._waiting[1]
        return Check(seconds < STUCK_SECONDS, f"nothing is in progress; the oldest work has waited for {seconds:.0f} s")

    def _bucket(self) -> Check:
        last = chores.last(self._box.db, "bucket check")
        return Check(True, last.fault, is_warning=True) if last and last.fault else Check(True, "nothing is missing")

    def _certificate(self) -> Check:
        """Check that the certificate is valid for long enough to replace it. If not, this warns: all goes on."""
        settings, now = self._box.settings, time.monotonic()
        if now >= self._look_at:
            self._valid_until = now + seconds_left(settings.own_host, settings.port)
            self._look_at = now + CERTIFICATE_SECONDS
        left = max(0.0, self._valid_until - now)
        hours = left / 3600
        state = f"expires in {hours / 24:.0f} days" if hours > 48 else f"expires in {hours:.0f} hours"
        return Check(True, state if left else "has expired", is_warning=left < LEAST_VALID_SECONDS[settings.tls])

    def _cluster(self) -> Check:
        """Check that a node takes work, and that every node could."""
        everyone = nodes.list_nodes(self._box.db)
        engines = sum(node.engines for node in everyone)
        detail = (
            f"{counted(engines, 'engine')} on {sum(node.engines > 0 for node in everyone)} of {len(everyone)} nodes"
        )
        faults = [f"{node.name} is {node.state}: {node.reason}" for node in everyone if node.reason]
        return Check(engines > 0, "; ".join([detail, *faults]), is_warning=bool(faults))

    def _sweep(self) -> Check:
        worker, last = workers.first(self._box.db), chores.last(self._box.db, "sweep")
        if worker is None or last is None:
            return Check(True, "has not ended yet")
        seconds = min(last.seconds_ago, worker.running_seconds)  # a worker that starts has yet to sweep
        latest = max(LATE_SWEEPS * self._box.settings.sweep_seconds, LATEST_SWEEP_SECONDS)
        return Check(seconds < latest, f"ended {last.seconds_ago:.0f} s ago")


def _which(numbers: list[str], count: int) -> str:
    """Return which workers of several are meant; nothing needs to be said of one."""
    return f"number {', '.join(numbers)} of {count} " if count > 1 else ""


def _guarded(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except (ApplianceError, OSError) as error:
        return Check(False, str(error))
