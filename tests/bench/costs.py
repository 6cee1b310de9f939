"""What programs cost: wall time, CPU time and memory, on a machine that other programs may use meanwhile."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from appliance import ROOT
from appliance.engine.models.session import num_cores
from tests.support.appliances import descendants

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    """Seconds of wall time, of CPU time, and of the CPU time that other programs used meanwhile."""

    wall: float = 0.0
    cpu: float = 0.0
    others: float = 0.0

    @property
    def own_wall(self) -> float:
        """Wall seconds without the share that other programs took. Cores that stood idle count."""
        return max(self.cpu / num_cores(), self.wall - self.others / num_cores())


@contextmanager
def measured(cpu_seconds: Callable[[], float]) -> Iterator[Cost]:
    """Measure a block. ``cpu_seconds`` returns the CPU time that its programs have used so far."""
    cost = Cost()
    wall, cpu, machine = time.perf_counter(), cpu_seconds(), _machine_seconds()
    try:
        yield cost
    finally:
        cost.wall = time.perf_counter() - wall
        cost.cpu = cpu_seconds() - cpu
        cost.others = _machine_seconds() - machine - cost.cpu


def run(*command: str | Path) -> Cost:
    """Run a program to its end and return what it and its children cost."""
    with measured(_ended_children) as cost:
        subprocess.run([*map(str, command)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return cost


def _ended_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def tree_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants so far, also of those that ended and were waited for."""
    return sum(_process_seconds(member) for member in (pid, *descendants(pid)))


def _process_seconds(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS
    return 0.0


def _machine_seconds() -> float:
    """Return the time that all cores have been busy so far."""
    user, nice, system, _idle, _iowait, *rest = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + sum(rest)) / TICKS


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """Watch the memory of a process and its descendants. The list gets the highest sum of PSS, in bytes."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            peak[0] = max(peak[0], sum(map(_pss_bytes, (pid, *descendants(pid)))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def _pss_bytes(pid: int) -> int:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0
