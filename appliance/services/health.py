"""Whether the appliance can take work: its database, storage, model and worker, each checked by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.errors import ApplianceError
from appliance.services.box import Box
from appliance.state import workers


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    ok: bool
    detail: str


def check_all(box: Box) -> dict[str, Check]:
    """Run every check. Returns the results by name."""
    checks = {"database": _database, "storage": _storage, "model": _model, "worker": _worker}
    return {name: _guarded(check, box) for name, check in checks.items()}


def _guarded(check: Callable[[Box], Check], box: Box) -> Check:
    try:
        return check(box)
    except ApplianceError as error:
        return Check(False, str(error))


def _database(box: Box) -> Check:
    box.db.one("SELECT 1 FROM inference_jobs")
    return Check(True, "answers")


def _storage(box: Box) -> Check:
    return Check(True, "answers") if box.objects.ready() else Check(False, "does not answer")


def _model(box: Box) -> Check:
    return Check(True, f"{box.models.resolve(box.settings.default_model).manifest.id}")


def _worker(box: Box) -> Check:
    worker = workers.current(box.db)
    if worker is None:
        return Check(False, "has not started yet")
    if worker.silent_seconds > box.settings.lease_seconds:
        return Check(False, f"has been silent for {worker.silent_seconds:.0f} s")
    return Check(True, f"runs on {worker.provider}")
