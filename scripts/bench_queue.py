"""Prints what the queue costs as it grows: ``.venv/bin/python scripts/bench_queue.py [--max N] [--folder F]``.

Each row is a new database with N files queued, in one job or spread over 1,000 jobs, and as many webhooks put off. The
list by status is of 10,000 jobs. A figure is the median of 50 calls in ms, without commits.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from appliance.services.kind import PoolName
from appliance.state import inference_files, inference_jobs, tenants, work
from appliance.state.database import Database

SIZES = (10, 1_000, 100_000, 1_000_000)
CALLS = 50
JOBS = 10_000
HEADS = (
    "files queued",
    "claim, 1 job",
    "claim, 1,000 jobs",
    "idle poll",
    "oldest work",
    "find job",
    "page of files",
    "list by status",
)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max", type=int, default=SIZES[-1], help="largest number of files")
    parser.add_argument("--folder", type=Path, help="folder for the databases, on the disk to measure")
    options = parser.parse_args()
    print("| " + " | ".join(HEADS) + " |")
    print("|---" * len(HEADS) + "|")
    for size in SIZES:
        if size <= options.max:
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                figures = measure(Path(folder), size)
            print(f"| {size:,} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |", flush=True)


def measure(folder: Path, size: int) -> list[float]:
    """Return the medians of a row, in ms."""
    db, many = (filled(folder / name, size, jobs) for name, jobs in (("one", 1), ("many", 1_000)))
    with db.transaction() as tx:  # as many webhooks wait for a retry
        tx.change(
            """
            INSERT INTO work (kind, subject_id, pool, tenant_id, group_id, run_after)
            SELECT 'webhook', id, 'courier', 1, 'host', unixepoch('subsec') + 86400 FROM inference_files
            """
        )
    return [
        claims(db),
        claims(many),
        median(lambda: work.is_ready(db, "courier")),
        median(lambda: work.oldest_ready(db, get_args(PoolName))),
        median(lambda: inference_jobs.get_job(db, 1, "job-0")),
        median(lambda: inference_files.list_files(db, "job-0", after=size // 2, limit=100)),
        median(
            lambda: inference_jobs.list_jobs(
                many, 1, model_name=None, model_version=None, status="failed", before=None, limit=20
            )
        ),
    ]


def filled(folder: Path, size: int, jobs: int) -> Database:
    """Return a new database with ``size`` queued files of one tenant, spread over ``jobs`` of its jobs."""
    folder.mkdir()
    db = Database(folder / "appliance.db")
    db.migrate()
    with db.transaction() as tx:
        tenant_id = tenants.ensure_tenant(tx, "one")
        for number in range(JOBS):
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


if __name__ == "__main__":
    main()
