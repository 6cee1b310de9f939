"""What a long run could let grow: memory and open files of each process, leftovers in folders, the database."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.faults import pids_of
from tests.support.appliances import Appliance

PROCESSES = ("arbiter", "api", "worker", "decoder", "frontdoor")
SHARED_TMP = Path("/tmp")


@dataclass(frozen=True)
class Gauges:
    """One reading. Memory and open files are those of all processes of a name, added up."""

    memory_bytes: dict[str, int]
    open_files: dict[str, int]
    temporary_files: int
    database_bytes: int
    wal_bytes: int


def read_gauges(appliance: Appliance, tmp: Path) -> Gauges:
    """Read all gauges. ``tmp`` is the appliance's folder for temporary files."""
    pids = {name: [pid for pid in pids_of(appliance, name) if pid] for name in PROCESSES}
    pids["storage"] = [pid for pid in (appliance.pid("storage"), appliance.pid("weed")) if pid]
    pids["supervisor"] = [appliance.process.pid]
    data_dir = appliance.data_dir
    return Gauges(
        {name: sum(map(_memory_bytes, numbers)) for name, numbers in pids.items()},
        {name: sum(map(_open_files, numbers)) for name, numbers in pids.items()},
        sum(1 for folder in (tmp, data_dir / "tmp", data_dir / "spool") for _ in folder.rglob("*")),
        _size(data_dir / "appliance.db"),
        _size(data_dir / "appliance.db-wal"),
    )


def sockets_of_seaweedfs() -> set[Path]:
    """The sockets that SeaweedFS makes outside every folder that it is told."""
    return set(SHARED_TMP.glob("seaweedfs-*.sock"))


def _memory_bytes(pid: int) -> int:
    """Resident memory; 0 if the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return 1024 * int(line.split()[1])
    return 0


def _open_files(pid: int) -> int:
    with contextlib.suppress(OSError):
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return 0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
