"""Inference jobs. Their status and counts are derived from their files by SQL, never kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from appliance.state.database import Database, Row


@dataclass(frozen=True)
class Job:
    """An inference job as it stands."""

    sequence: int
    id: str
    tenant_id: int
    model_id: str  # as the client named it
    model_name: str
    model_version: str
    config: dict[str, Any]  # in effect
    client_config: dict[str, Any]  # what the client set
    status: str
    total_files: int
    processed_files: int
    created_at: float
    updated_at: float
    callback_url: str | None

    @property
    def model(self) -> str:
        """``<name>@<version>`` of the weights that score this job."""
        return f"{self.model_name}@{self.model_version}"


SELECT = """
    SELECT sequence, id, tenant_id, model_id, model_name, model_version, config, client_config, status,
        total_files, processed_files, created_at, last_updated_at AS updated_at, callback_url
    FROM inference_job_states
"""


def insert_job(
    db: Database,
    job_id: str,
    tenant_id: int,
    model_id: str,
    model_name: str,
    model_version: str,
    config: dict[str, Any],
    client_config: dict[str, Any],
    callback_url: str | None = None,
) -> None:
    """Store a new job. Inside a transaction."""
    db.change(
        """
        INSERT INTO inference_jobs
            (id, tenant_id, model_id, model_name, model_version, config, client_config, callback_url, created_at,
            updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, unixepoch('subsec'), unixepoch('subsec'))
        """,
        [
            job_id,
            tenant_id,
            model_id,
            model_name,
            model_version,
            json.dumps(config),
            json.dumps(client_config),
            callback_url,
        ],
    )


def get_job(db: Database, tenant_id: int, job_id: str) -> Job | None:
    """The tenant's job of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND tenant_id = ?", [job_id, tenant_id])
    return row and _job(row)


def find_job(db: Database, job_id: str) -> Job | None:
    """The job of this id, whoever's it is, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [job_id])
    return row and _job(row)


def list_jobs(
    db: Database,
    tenant_id: int,
    *,
    model_name: str | None,
    model_version: str | None,
    status: str | None,
    before: int | None,
    limit: int,
) -> list[Job]:
    """The tenant's jobs, newest first, from the one before sequence ``before`` on."""
    rows = db.all(
        f"""
        {SELECT} WHERE tenant_id = :tenant
            AND (:name IS NULL OR model_name = :name)
            AND (:version IS NULL OR model_version = :version)
            AND (:status IS NULL OR status = :status)
            AND (:before IS NULL OR sequence < :before)
        ORDER BY sequence DESC LIMIT :limit
        """,
        {
            "tenant": tenant_id,
            "name": model_name,
            "version": model_version,
            "status": status,
            "before": before,
            "limit": limit,
        },
    )
    return [_job(row) for row in rows]


def cancel_job(db: Database, job_id: str) -> None:
    """Cancel the job and its unfinished files, and drop their work. Inside a transaction."""
    db.change(
        """
        UPDATE inference_jobs SET cancelled_at = unixepoch('subsec'), updated_at = unixepoch('subsec')
        WHERE id = ? AND cancelled_at IS NULL
        """,
        [job_id],
    )
    db.change(
        """
        UPDATE inference_files SET status = 'cancelled', updated_at = unixepoch('subsec')
        WHERE job_id = ? AND status IN ('pending', 'queued', 'processing')
        """,
        [job_id],
    )
    db.change("DELETE FROM work WHERE kind = 'inference' AND group_id = ?", [job_id])


def _job(row: Row) -> Job:
    fields = dict(row)
    return Job(**fields | {"config": json.loads(row["config"]), "client_config": json.loads(row["client_config"])})
