"""Inference jobs. Triggers keep the counts of their files, and SQL derives their status from the counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from appliance.errors import NotFound
from appliance.state import inference_files, webhooks, work
from appliance.state.database import Reader, Row, Transaction, columns, where
from appliance.state.moves import FILE, JobStatus
from appliance.state.tenants import EVERYBODY, Whose


@dataclass(frozen=True)
class JobSettings:
    """What a job was created with."""

    id: str
    tenant_id: int
    model_name: str
    model_version: str
    client_config: dict[str, Any]  # what the client set
    config: dict[str, Any]  # in effect
    callback_url: str | None
    cancelled_at: float | None

    @property
    def model(self) -> str:
        """``<name>@<version>`` of the model that scores this job."""
        return f"{self.model_name}@{self.model_version}"


@dataclass(frozen=True)
class Job:
    """An inference job as it is now."""

    sequence: int
    id: str
    tenant_id: int
    model_id: str  # as the client named it
    model_version: str
    config: dict[str, Any]  # in effect
    status: JobStatus
    total_files: int
    processed_files: int
    failed_files: int
    version: int  # grows with every change of the job and its files
    created_at: float
    updated_at: float
    callback_url: str | None


SELECT = f"SELECT {columns(Job)} FROM inference_jobs"
_HAS_TEXT = """(
    instr(lower(id), lower(:text)) OR instr(lower(model_id), lower(:text)) OR EXISTS (
        SELECT 1 FROM inference_files f
        WHERE f.job_id = inference_jobs.id AND instr(lower(f.original_filename), lower(:text))
    )
)"""


def insert_job(
    tx: Transaction,
    job_id: str,
    tenant_id: int,
    model_id: str,
    model_name: str,
    model_version: str,
    config: dict[str, Any],
    client_config: dict[str, Any],
    callback_url: str | None = None,
) -> None:
    """Store a new job."""
    tx.insert(
        "inference_jobs",
        id=job_id,
        tenant_id=tenant_id,
        model_id=model_id,
        model_name=model_name,
        model_version=model_version,
        config=json.dumps(config),
        client_config=json.dumps(client_config),
        callback_url=callback_url,
    )


def get_settings(db: Reader, job_id: str) -> JobSettings | None:
    """Return the settings of the job of this id, of any tenant, or None."""
    row = db.one(f"SELECT {columns(JobSettings)} FROM inference_jobs WHERE id = ?", [job_id])
    if row is None:
        return None
    configs = {name: json.loads(row[name]) for name in ("client_config", "config")}
    return JobSettings(**dict(row) | configs)


def tenant_of(db: Reader, job_id: str) -> int:
    """Return the id of the tenant that owns the job. Raises NotFound."""
    row = db.one("SELECT tenant_id FROM inference_jobs WHERE id = ?", [job_id])
    if row is None:
        raise NotFound("There is no such inference job.")
    return int(row["tenant_id"])


def get_job(db: Reader, tenant_id: int, job_id: str) -> Job | None:
    """Return the tenant's job of this id, or None."""
    row = db.one(f"{SELECT} WHERE id = ? AND tenant_id = ?", [job_id, tenant_id])
    return row and _job(row)


def list_jobs(
    db: Reader,
    tenant_id: int,
    *,
    model_name: str | None,
    model_version: str | None,
    status: str | None,
    text: str | None = None,
    before: int | None,
    limit: int,
    offset: int = 0,
) -> list[Job]:
    """Return the tenant's jobs, newest first; with ``before`` only those with a smaller sequence.

    With ``text`` only those that have it in their id, in their model or in the name of a file, in whatever case.
    """
    filters = {"tenant_id": tenant_id, "model_name": model_name, "model_version": model_version, "status": status}
    rows = db.all(
        f"""
        {SELECT} WHERE {where(**filters)} AND {_has(text)} AND (:before IS NULL OR sequence < :before)
        ORDER BY sequence DESC LIMIT :limit OFFSET :offset
        """,
        filters | {"text": text, "before": before, "limit": limit, "offset": offset},
    )
    return [_job(row) for row in rows]


def count_jobs(
    db: Reader,
    tenant_id: int,
    *,
    model_name: str | None,
    model_version: str | None,
    status: str | None,
    text: str | None = None,
) -> int:
    """Return the number of the tenant's jobs."""
    filters = {"tenant_id": tenant_id, "model_name": model_name, "model_version": model_version, "status": status}
    rows = db.all(
        f"SELECT count(*) FROM inference_jobs WHERE {where(**filters)} AND {_has(text)}", filters | {"text": text}
    )
    return int(rows[0][0])


def list_ended(db: Reader, seconds: float, limit: int, whose: Whose = EVERYBODY) -> list[tuple[int, str]]:
    """Return the tenant and the id of jobs at an end that have not changed for ``seconds``, oldest first."""
    rows = db.all(
        f"""
        SELECT tenant_id, id FROM inference_jobs
        WHERE updated_at < unixepoch('subsec') - ? AND status IN ('completed', 'failed', 'cancelled')
            AND {whose.condition("tenant_id")}
        ORDER BY updated_at LIMIT ?
        """,
        [seconds, limit],
    )
    return [(int(row["tenant_id"]), str(row["id"])) for row in rows]


def _has(text: str | None) -> str:
    """Return a condition for SQL: the job's id, model or one of its files has the text. Without a text, all jobs."""
    return _HAS_TEXT if text is not None else "1"


def set_config(tx: Transaction, job_id: str, config: dict[str, Any], client_config: dict[str, Any]) -> None:
    """Change the settings of a job, in effect and as the client set them."""
    tx.change(
        """
        UPDATE inference_jobs SET config = ?, client_config = ?, updated_at = unixepoch('subsec'), version = version + 1
        WHERE id = ?
        """,
        [json.dumps(config), json.dumps(client_config), job_id],
    )


def count_open_files(db: Reader, model_name: str, model_version: str, tenant_id: int | None = None) -> int:
    """Return how many files of jobs with this model are not at an end, or are to be analyzed again.

    With a tenant only those of its jobs.
    """
    unfinished = FILE.leaving_for("cancelled")
    rows = db.all(
        f"""
        SELECT count(*) FROM inference_jobs j JOIN inference_files f ON f.job_id = j.id
        WHERE j.model_name = ? AND j.model_version = ? AND j.tenant_id = coalesce(?, j.tenant_id) AND (
            f.status IN ({", ".join("?" for _ in unfinished)})
            OR f.id IN (SELECT subject_id FROM work WHERE kind = 'redetect')
        )
        """,
        [model_name, model_version, tenant_id, *unfinished],
    )
    return int(rows[0][0])


def cancel_job(tx: Transaction, job_id: str) -> None:
    """Cancel the job and its unfinished files, and discard their work."""
    tx.change(
        """
        UPDATE inference_jobs SET cancelled_at = unixepoch('subsec'), updated_at = unixepoch('subsec'),
            version = version + 1
        WHERE id = ? AND cancelled_at IS NULL
        """,
        [job_id],
    )
    inference_files.cancel_files(tx, job_id)
    tx.change("DELETE FROM redetections WHERE file_id IN (SELECT id FROM inference_files WHERE job_id = ?)", [job_id])
    work.forget_group(tx, job_id)


def delete_job(tx: Transaction, job_id: str) -> None:
    """Remove a job with its files, their detections, their work and the webhooks about them."""
    work.forget_group(tx, job_id)
    webhooks.delete_of(tx, job_id)
    tx.change("DELETE FROM inference_files WHERE job_id = ?", [job_id])  # first: their use is found by their job
    tx.change("DELETE FROM inference_jobs WHERE id = ?", [job_id])


def _job(row: Row) -> Job:
    return Job(**dict(row) | {"config": json.loads(row["config"])})
