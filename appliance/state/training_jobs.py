"""Training jobs. ``moves.TRAINING`` lists their statuses. One that is completed is also a model of its tenant."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from appliance.state import work
from appliance.state.database import Reader, Row, Transaction, columns
from appliance.state.moves import TRAINING, TrainingStatus

PHASES: tuple[TrainingStatus, ...] = ("preparing", "fitting", "evaluating", "exporting")
OPEN: tuple[TrainingStatus, ...] = ("queued", *PHASES)


@dataclass(frozen=True)
class TrainedModel:
    """A model that a tenant trained and has not deleted."""

    training_job_id: str
    model_name: str
    model_version: str
    retired_at: float | None

    @property
    def id(self) -> str:
        """``<name>@<version>``."""
        return f"{self.model_name}@{self.model_version}"


@dataclass(frozen=True)
class TrainingJob:
    """A training job as it is now, without the annotations that it froze."""

    sequence: int
    id: str
    tenant_id: int
    model_name: str  # of the model that it makes
    model_version: str
    base_model: str  # ``<name>@<version>``
    choices: dict[str, Any]  # what the client asked for
    counts: dict[str, Any]  # of what it learns from
    annotations_sha256: str
    callback_url: str | None
    status: TrainingStatus
    progress: float  # of its phase, 0 to 1
    report: dict[str, Any] | None
    error_code: str | None
    error_message: str | None
    created_at: float
    updated_at: float
    model_deleted_at: float | None

    @property
    def model_id(self) -> str:
        """``<name>@<version>`` of the model that it makes."""
        return f"{self.model_name}@{self.model_version}"


SELECT = f"SELECT {columns(TrainingJob)} FROM training_jobs"
_PLACES = ", ".join("?" for _ in OPEN)
_MODEL = columns(TrainedModel, training_job_id="id", retired_at="model_retired_at")


def insert_job(
    tx: Transaction,
    job_id: str,
    tenant_id: int,
    *,
    model_name: str,
    base_model: str,
    choices: dict[str, Any],
    counts: dict[str, Any],
    annotations: bytes,
    annotations_sha256: str,
    callback_url: str | None,
) -> None:
    """Store a queued job. Its model gets the next version of its name: 1.0.0, 2.0.0 and so on, and none twice."""
    sql = "SELECT count(*) FROM training_jobs WHERE tenant_id = ? AND model_name = ?"
    earlier = int(tx.all(sql, [tenant_id, model_name])[0][0])
    tx.insert(
        "training_jobs",
        id=job_id,
        tenant_id=tenant_id,
        model_name=model_name,
        model_version=f"{earlier + 1}.0.0",
        base_model=base_model,
        choices=json.dumps(choices, ensure_ascii=False),
        counts=json.dumps(counts, ensure_ascii=False),
        annotations=annotations,
        annotations_sha256=annotations_sha256,
        callback_url=callback_url,
        status="queued",
    )


def get_job(db: Reader, job_id: str) -> TrainingJob | None:
    """Return the job of this id, of any tenant, or None."""
    row = db.one(f"{SELECT} WHERE id = ?", [job_id])
    return row and _job(row)


def get_annotations(db: Reader, job_id: str) -> bytes:
    """Return the annotations that the job froze, compressed."""
    return bytes(db.all("SELECT annotations FROM training_jobs WHERE id = ?", [job_id])[0][0])


def list_jobs(
    db: Reader, tenant_id: int, *, status: str | None, before: int | None, limit: int, offset: int
) -> list[TrainingJob]:
    """Return the tenant's jobs, newest first; with ``before`` only those with a smaller sequence."""
    rows = db.all(
        f"""
        {SELECT} WHERE tenant_id = ?1 AND (?2 IS NULL OR status = ?2) AND (?3 IS NULL OR sequence < ?3)
        ORDER BY sequence DESC LIMIT ?4 OFFSET ?5
        """,
        [tenant_id, status, before, limit, offset],
    )
    return [_job(row) for row in rows]


def count_jobs(db: Reader, tenant_id: int, status: str | None) -> int:
    """Return the number of the tenant's jobs."""
    sql = "SELECT count(*) FROM training_jobs WHERE tenant_id = ?1 AND (?2 IS NULL OR status = ?2)"
    return int(db.all(sql, [tenant_id, status])[0][0])


def list_open_ids(db: Reader) -> set[str]:
    """Return the ids of all jobs that have not ended."""
    return {row["id"] for row in db.all(f"SELECT id FROM training_jobs WHERE status IN ({_PLACES})", [*OPEN])}


def is_open(tx: Transaction, job_id: str) -> bool:
    """Whether the job has not ended: then its work may be claimed, and goes on where it was."""
    return tx.one(f"SELECT 1 FROM training_jobs WHERE id = ? AND status IN ({_PLACES})", [job_id, *OPEN]) is not None


def reach(tx: Transaction, job_id: str, phase: TrainingStatus, progress: float) -> bool:
    """Move to a phase by way of those before it, and note its progress. A phase that is over is not entered again.

    Returns False if the job has ended.
    """
    row = tx.one("SELECT status FROM training_jobs WHERE id = ?", [job_id])
    if row is None or row["status"] not in OPEN:
        return False
    for entering in OPEN[OPEN.index(row["status"]) + 1 : OPEN.index(phase) + 1]:
        tx.move(TRAINING, job_id, OPEN[OPEN.index(entering) - 1], entering, progress=0.0)
    tx.update(TRAINING, job_id, phase, progress=progress)
    return True


def mark_completed(tx: Transaction, job_id: str, report: dict[str, Any]) -> bool:
    """Move from exporting to completed, with the report."""
    text = json.dumps(report, ensure_ascii=False)
    return tx.move(TRAINING, job_id, "exporting", "completed", progress=1.0, report=text)


def mark_failed(tx: Transaction, job_id: str, code: str, message: str) -> bool:
    """Move to failed from whatever phase the job is in. Returns False if it has ended."""
    row = tx.one("SELECT status FROM training_jobs WHERE id = ?", [job_id])
    return row is not None and _end(tx, job_id, row["status"], "failed", error_code=code, error_message=message)


def cancel_job(tx: Transaction, job_id: str) -> bool:
    """Move to cancelled from whatever phase the job is in, and remove its work. Returns False if it has ended."""
    row = tx.one("SELECT status FROM training_jobs WHERE id = ?", [job_id])
    work.forget(tx, job_id)
    return row is not None and _end(tx, job_id, row["status"], "cancelled")


def list_models(db: Reader, tenant_id: int) -> list[TrainedModel]:
    """Return the models that the tenant trained and has not deleted."""
    sql = f"""
        SELECT {_MODEL} FROM training_jobs
        WHERE tenant_id = ? AND status = 'completed' AND model_deleted_at IS NULL ORDER BY sequence
        """
    return [TrainedModel(**dict(row)) for row in db.all(sql, [tenant_id])]


def count_open_uses(db: Reader, tenant_id: int, base_model: str) -> int:
    """Return how many unfinished trainings of the tenant begin with this model."""
    sql = f"SELECT count(*) FROM training_jobs WHERE tenant_id = ? AND base_model = ? AND status IN ({_PLACES})"
    return int(db.all(sql, [tenant_id, base_model, *OPEN])[0][0])


def mark_model(tx: Transaction, job_id: str, *, deleted: bool) -> None:
    """Note that the model was retired, or deleted."""
    column = "model_deleted_at" if deleted else "model_retired_at"
    tx.change(f"UPDATE training_jobs SET {column} = coalesce({column}, unixepoch('subsec')) WHERE id = ?", [job_id])


def _end(tx: Transaction, job_id: str, status: TrainingStatus, entering: str, **values: Any) -> bool:
    return status in OPEN and tx.move(TRAINING, job_id, status, entering, **values)


def _job(row: Row) -> TrainingJob:
    parsed = {name: row[name] and json.loads(row[name]) for name in ("choices", "counts", "report")}
    return TrainingJob(**dict(row) | parsed)
