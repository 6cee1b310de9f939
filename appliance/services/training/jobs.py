"""Training jobs: what a client asks for is checked, its annotations are frozen, and it is queued, read or cancelled."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from appliance.engine.models.manifest import Manifest
from appliance.engine.training import limits
from appliance.engine.training.request import Mode
from appliance.errors import ModelNotFound, NotFound, NotReady, TrainingRefused
from appliance.services import audit, quotas
from appliance.services.box import Box
from appliance.services.datasets.datasets import find_dataset
from appliance.services.models import choose
from appliance.services.paging import split_page
from appliance.services.training import counts
from appliance.services.training.endings import job_ended
from appliance.services.training.snapshot import Heard, freeze, gather
from appliance.services.training.work import TRAINING
from appliance.services.webhooks.reports import newest_reports
from appliance.services.webhooks.urls import check_callback
from appliance.state import annotation_sets as set_rows
from appliance.state import training_jobs
from appliance.state.training_jobs import TrainingJob


@dataclass(frozen=True)
class TrainingChoices:
    """What a client asks for. Either a share of the groups is held out, or all of some datasets."""

    name: str
    dataset_ids: list[str]
    labels: list[str]
    base_model: str
    mode: Mode
    holdout_share: float | None
    holdout_dataset_ids: list[str] | None
    max_false_alarms_per_hour: float
    seed: int
    annotation_set_ids: list[str] = field(default_factory=list)  # published sets of these datasets, to be read too


@dataclass(frozen=True)
class Plan:
    """What a training would learn from, and why it would be refused; ``base_model`` is empty if there is none."""

    base_model: str
    recordings: list[Heard]
    counts: dict[str, Any]
    refusals: list[str]
    warnings: list[str]


@dataclass(frozen=True)
class TrainingReport:
    """A training job, and the delivery of its newest webhook."""

    job: TrainingJob
    callback: dict[str, Any] | None


def plan(box: Box, tenant_id: int, choices: TrainingChoices) -> Plan:
    """Return what a training would learn from, and all reasons to refuse it. Raises NotFound for a dataset or a set."""
    for name, dataset_ids in (("dataset_ids", choices.dataset_ids), ("holdout", choices.holdout_dataset_ids or [])):
        for dataset_id in dataset_ids:
            try:
                find_dataset(box, tenant_id, dataset_id)
            except NotFound as error:
                raise NotFound(f"{name}: There is no dataset {dataset_id!r}.") from error
    base_model, refusals = _base_model(box, tenant_id, choices)
    refusals += _name_and_labels(box, choices)
    held_out, set_ids = choices.holdout_dataset_ids, choices.annotation_set_ids
    refusals += _drafts(box, choices)
    fitted_ids = [i for i in dict.fromkeys(choices.dataset_ids) if i not in (held_out or [])]
    side = None if held_out is None else False
    recordings = gather(box.db, fitted_ids, choices.labels, held_out=side, set_ids=set_ids)
    recordings += gather(box.db, dict.fromkeys(held_out or []), choices.labels, held_out=True, set_ids=set_ids)
    seconds = sum(recording.duration_ms for recording in recordings) / 1000
    if seconds > limits.MAX_AUDIO_SECONDS:
        hours = limits.MAX_AUDIO_SECONDS / 3600
        refusals.append(f"dataset_ids: there are {seconds / 3600:.0f} hours of audio; {hours:g} can be learned from.")
    refusals += counts.lacks(recordings, choices.labels, 60 * box.settings.training_clean_minutes)
    summary = {
        "recordings": len(recordings),
        "groups": len({recording.group for recording in recordings}),
        "audio_seconds": seconds,
        "labels": [{"name": label} | asdict(counts.count(recordings, label)) for label in choices.labels],
    }
    return Plan(base_model, recordings, summary, refusals, counts.warnings(recordings, choices.labels))


def create_job(box: Box, tenant_id: int, choices: TrainingChoices, callback_url: str | None = None) -> TrainingReport:
    """Freeze the annotations and queue the training.

    Raises NotFound for a dataset or an annotation set, TrainingRefused with every reason, InvalidRequest for a URL that
    may not be called, and QuotaExceeded.
    """
    check_callback(box, callback_url, "callback_url")
    planned = plan(box, tenant_id, choices)
    if planned.refusals:
        raise TrainingRefused(" ".join(planned.refusals))
    frozen, sha256 = freeze(planned.recordings)
    job_id = str(uuid.uuid4())
    with box.db.transaction() as tx:
        quotas.check_work(box, tx, tenant_id)
        training_jobs.insert_job(
            tx,
            job_id,
            tenant_id,
            model_name=choices.name,
            base_model=planned.base_model,
            choices=asdict(choices),
            counts=planned.counts | {"warnings": planned.warnings},
            annotations=frozen,
            annotations_sha256=sha256,
            callback_url=callback_url,
        )
        TRAINING.enqueue(tx, tenant_id, job_id, job_id)
        audit.note(tx, "training requested", f"{job_id} of the model {choices.name}")
    return get_job(box, tenant_id, job_id)


def find_job(box: Box, tenant_id: int, job_id: str) -> TrainingJob:
    """Return the tenant's training job. Raises NotFound."""
    job = training_jobs.get_job(box.db, job_id)
    if job is None or job.tenant_id != tenant_id:
        raise NotFound("There is no such training job.")
    return job


def get_job(box: Box, tenant_id: int, job_id: str) -> TrainingReport:
    """Return the tenant's training job with its newest webhook. Raises NotFound."""
    return TrainingReport(find_job(box, tenant_id, job_id), newest_reports(box, [job_id]).get(job_id))


def get_report(box: Box, tenant_id: int, job_id: str) -> dict[str, Any]:
    """Return what a completed training found. Raises NotFound, and NotReady before it is completed."""
    job = find_job(box, tenant_id, job_id)
    if job.report is None:
        raise NotReady(f"The training is {job.status}; only a completed one has a report.")
    return job.report


def list_jobs(
    box: Box, tenant_id: int, *, status: str | None, before: int | None, limit: int, offset: int = 0
) -> tuple[list[TrainingReport], int | None]:
    """Return a page of jobs, newest first, and the sequence before which the next page starts."""
    rows = training_jobs.list_jobs(box.db, tenant_id, status=status, before=before, limit=limit + 1, offset=offset)
    page, next_before = split_page(rows, limit)
    callbacks = newest_reports(box, [job.id for job in page])
    return [TrainingReport(job, callbacks.get(job.id)) for job in page], next_before


def count_jobs(box: Box, tenant_id: int, status: str | None) -> int:
    """Return the number of the tenant's jobs."""
    return training_jobs.count_jobs(box.db, tenant_id, status)


def cancel_job(box: Box, tenant_id: int, job_id: str) -> TrainingReport:
    """Stop a training. One at its end stays as it is. Raises NotFound."""
    with box.db.transaction() as tx:
        find_job(box, tenant_id, job_id)
        if training_jobs.cancel_job(tx, job_id):
            audit.note(tx, "training cancelled", job_id)
            job_ended(tx, job_id)
    return get_job(box, tenant_id, job_id)


def _base_model(box: Box, tenant_id: int, choices: TrainingChoices) -> tuple[str, list[str]]:
    """Return the id of the model to begin with, and why it cannot be that."""
    try:
        manifest = choose(box, tenant_id, choices.base_model).manifest
    except ModelNotFound as error:
        return "", [f"base_model: {error}"]
    if not isinstance(manifest, Manifest) or manifest.output.features is None:
        return manifest.id, [f"base_model: {manifest.id} gives no features to learn from."]
    known = [label.name for label in manifest.labels] if choices.mode == "append" else []
    return manifest.id, [
        f"labels: {label!r} is a label of {manifest.id} already; choose another name, or the mode replace."
        for label in choices.labels
        if label in known
    ]


def _drafts(box: Box, choices: TrainingChoices) -> list[str]:
    """Return a sentence for each annotation set that is a draft. Raises NotFound for one of no dataset of these."""
    sentences = []
    for set_id in choices.annotation_set_ids:
        dataset_ids = [*choices.dataset_ids, *(choices.holdout_dataset_ids or [])]
        rows = [row for dataset_id in dataset_ids if (row := set_rows.get_set(box.db, dataset_id, set_id))]
        if not rows:
            raise NotFound(f"annotation_set_ids: There is no annotation set {set_id!r} in these datasets.")
        if rows[0].status == "draft":
            sentences.append(f"annotation_set_ids: {set_id!r} is a draft; publish it first.")
    return sentences


def _name_and_labels(box: Box, choices: TrainingChoices) -> list[str]:
    refusals = []
    if any(model.manifest.name == choices.name for model in box.models.models()):
        refusals.append(f"name: {choices.name!r} is the name of a model of all; choose another one.")
    twice = _twice(choices.labels)
    if twice is not None:
        refusals.append(f"labels: {twice!r} occurs more than once.")
    if len(choices.labels) > limits.MAX_LABELS:
        refusals.append(f"labels: there are {len(choices.labels)}; a training takes {limits.MAX_LABELS}.")
    return refusals


def _twice(names: Sequence[str]) -> str | None:
    return next((name for name in names if names.count(name) > 1), None)
