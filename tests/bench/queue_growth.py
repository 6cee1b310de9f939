"""What the queue costs as it grows.

Each size is a new database with N files queued, in one job or spread over 1,000 jobs, and as many webhooks put off. The
list by status is of 10,000 jobs. A time is the median of 50 calls in ms, without commits.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

from appliance.services.kind import PoolName
from appliance.state import inference_files, inference_jobs, tenants, work
from appliance.state.database import Database
from tests.bench.figures import Figure

CALLS = 50
JOBS = 10_000
GROWTH = ("claim, 1 job", "claim, 1,000 jobs", "poll of a job")


def measure(folder: Path, *, quick: bool) -> Iterator[Figure]:
    """Yield the times at each size, and the growth from the smallest to the largest."""
    sizes = (10, 1_000, 100_000) if quick else (10, 1_000, 100_000, 1_000_000)
    times: dict[int, dict[str, float]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            times[size] = times_at(Path(place), size)
        for name, value in times[size].items():
            target = "≤ 2" if name.startswith("list") else "≤ 5" if name.startswith("claim") else ""
            yield Figure(f"{name}, {size:,} files queued, ms", [value], target)
    for name in GROWTH:
        growth = times[sizes[-1]][name] / times[sizes[0]][name]
        yield Figure(f"{name}: {sizes[-1]:,} ÷ {sizes[0]:,} files", [growth], "≤ 2")


def times_at(folder: Path, size: int) -> dict[str, float]:
    """Return the median times with ``size`` files queued, in ms."""
    db, many = (filled(folder / name, size, jobs) for name, jobs in (("one", 1), ("many", 1_000)))
    with db.transaction() as tx:  # as many webhooks wait for a retry
        tx.change(
            """
            INSERT INTO work (kind, subject_id, pool, tenant_id, group_id, run_after)
            SELECT 'webhook', id, 'courier', 1, 'host', unixepoch('subsec') + 86400 FROM inference_files
            """
        )
    return {
        "claim, 1 job": claims(db),
        "claim, 1,000 jobs": claims(many),
        "look of an idle pool": median(lambda: work.is_ready(db, "courier")),
        "oldest work of each pool": median(lambda: work.oldest_ready(db, get_args(PoolName))),
        "poll of a job": median(lambda: inference_jobs.get_job(db, 1, "job-0")),
        "page of 100 files": median(lambda: inference_files.list_files(db, "job-0", after=size // 2, limit=100)),
        "list of 10,000 jobs by status": median(
            lambda: inference_jobs.list_jobs(
                many, 1, model_name=None, model_version=None, status="failed", before=None, limit=20
            )
        ),
    }


def filled(folder: Path, size: int, jobs: int, all_jobs: int = JOBS) -> Database:
    """Return a new database with ``size`` queued files of one tenant, spread over ``jobs`` of ``all_jobs`` jobs."""
    folder.mkdir()
    db = Database(folder / "appliance.db")
    db.migrate()
    with db.transaction() as tx:
        tenant_id = tenants.ensure_tenant(tx, "one")
        for number in range(all_jobs):
            inference_jobs.insert_job(tx, f"job-{number}", tenant_id, "m", "m", "1", {}, {})
        numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :size)"
        values = {"size": size, "jobs": jobs, "tenant": tenant_id}
        tx.change(
            f"""
            {numbers} INSERT INTO inference_files (id, job_id, original_filename, content_type, declared_size_bytes,
                object_key, upload_expires_at, etag, status, created_at, updated_at)
            SELECT 'file-' || i, 'job-' || (i % :jobs), 'a.wav', 'audio/wav', 1, 'key-' || i, 0, 'tag', 'queued', 0, 0
            FROM n
            """,
            values,
        )
        tx.change(
            f"""
            {numbers} INSERT INTO work (kind, subject_id, pool, tenant_id, group_id)
            SELECT 'inference', 'file-' || i, 'lanes', :tenant, 'job-' || (i % :jobs) FROM n
            """,
            values,
        )
    return db


def claims(db: Database) -> float:
    """Return the median time of a claim in ms. Each is put back, so that every claim meets the same queue."""
    times = []
    with db.transaction() as tx:
        for _ in range(CALLS):
            started = time.perf_counter()
            item = work.claim(tx, "worker", 60.0, "lanes")
            times.append(time.perf_counter() - started)
            assert item is not None
            work.release(tx, item, attempts=0, delay_seconds=0.0)
    return 1000 * statistics.median(times)


def median(action: Callable[[], object]) -> float:
    """Return the median time of the action in ms."""
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)
