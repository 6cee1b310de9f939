"""A new database, and fixtures that insert rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.state import inference_files, inference_jobs, tenants
from appliance.state.database import Database


@pytest.fixture
def db(tmp_path: Path, migrated: Path) -> Database:
    """A migrated database with the tenant 1."""
    shutil.copy(migrated, tmp_path)
    database = Database(tmp_path / "appliance.db")
    database.migrate()
    with database.transaction() as tx:
        assert tenants.ensure_tenant(tx, "one") == 1
    return database


@pytest.fixture
def make_job(db: Database) -> Callable[[str], None]:
    """Inserts a job."""

    def make(job_id: str, tenant: int = 1) -> None:
        with db.transaction() as tx:
            inference_jobs.insert_job(tx, job_id, tenant, "m", "m", "1", {"threshold": 0.5}, {})

    return make


@pytest.fixture
def make_file(db: Database) -> Callable[..., None]:
    """Inserts a file of a job and moves it to a status."""

    def make(job_id: str, file_id: str, status: str = "pending", expires_at: float = 1e12) -> None:
        with db.transaction() as tx:
            inference_files.insert_file(
                tx,
                file_id,
                job_id,
                original_filename="a.wav",
                content_type="audio/wav",
                declared_size_bytes=1,
                object_key=f"{job_id}/{file_id}",
                upload_expires_at=expires_at,
            )
            if status in ("queued", "processing", "completed", "failed"):
                assert inference_files.mark_queued(tx, file_id, "pending", f"{job_id}/{file_id}", "tag")
            if status in ("processing", "completed", "failed"):
                assert inference_files.mark_processing(tx, file_id)
            if status == "completed":
                assert inference_files.mark_completed(tx, file_id, 1000, [])
            if status == "failed":
                assert inference_files.mark_failed(tx, file_id, "processing", "code", "Why.")
            if status == "cancelled":
                tx.change("UPDATE inference_files SET status = 'cancelled' WHERE id = ?", [file_id])

    return make
