"""Trainings as rows, without their work."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from appliance.state import tenants, training_jobs
from appliance.state.database import Database
from appliance.state.moves import TrainingStatus

# As the trainer writes it, of the example in docs/training.md.
REPORT: dict[str, Any] = {
    "split": {
        "fit": {"recordings": 30, "groups": 18, "hours": 0.5},
        "held_out": {"recordings": 10, "groups": 6, "hours": 0.1667},
    },
    "per_label": [
        {
            "label": "knock",
            "threshold": 0.62,
            "hits": 24,
            "misses": 16,
            "false_alarms": 0,
            "precision": 1.0,
            "recall": 0.6,
            "f1": 0.75,
            "f1_interval": [0.4, 0.94],
            "reviewed_hours": 0.1667,
            "false_alarms_per_hour": 0.0,
            "false_alarms_per_hour_at_most": 17.97,
            "use": "detector",
            "warnings": ["False alarms were counted in 0.17 h; less than 3 h tell little of them."],
        }
    ],
    "controls": {"shuffled_f1": 0.0, "base_scores_identical": True},
}


def begin_training(
    data_dir: Path, tenant_id: int, name: str, *, phase: TrainingStatus = "exporting", **choices: Any
) -> str:
    """Store a training that is in the middle of a phase and that nobody works on. Returns its id."""
    job_id = str(uuid.uuid4())
    with Database(data_dir / "appliance.db").transaction() as tx:
        training_jobs.insert_job(
            tx,
            job_id,
            tenant_id,
            model_name=name,
            base_model="loud-frames@1.0.0",
            choices=choices,
            counts={},
            annotations=b"",
            annotations_sha256="",
            callback_url=None,
        )
        training_jobs.reach(tx, job_id, phase, 0.5)
    return job_id


def add_training(
    data_dir: Path, tenant_id: int, name: str, report: dict[str, Any] | None = None, **choices: Any
) -> str:
    """Store a completed training of a model, which the caller puts into the tenant's store. Returns its id."""
    job_id = begin_training(data_dir, tenant_id, name, **choices)
    with Database(data_dir / "appliance.db").transaction() as tx:
        assert training_jobs.mark_completed(tx, job_id, report or {})
    return job_id


def tenant_of(data_dir: Path, name: str) -> int:
    """Return the id of the tenant of this name."""
    return next(
        tenant.id for tenant in tenants.list_tenants(Database(data_dir / "appliance.db")) if tenant.name == name
    )
