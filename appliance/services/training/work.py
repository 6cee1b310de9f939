"""The work of a training: the request that is made of the frozen annotations, its progress, and its end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from appliance.engine.decode.parent import DecodeLimits
from appliance.engine.training.request import Phase, Read, TrainingRecording, TrainingRequest
from appliance.errors import LeaseLost, ObjectMissing, SubjectGone, TrainingRefused
from appliance.services.box import Box
from appliance.services.damage import damage_noticed
from appliance.services.kind import Kind
from appliance.services.models import resolve
from appliance.services.trained_models import discard_model, register_model
from appliance.services.training.endings import fail_job, job_ended
from appliance.services.training.snapshot import Heard, thaw
from appliance.state import audio as audio_rows
from appliance.state import training_jobs
from appliance.state import work as queue
from appliance.state.training_jobs import TrainingJob
from appliance.state.work import Work

TRAINING = Kind("training", fail=fail_job, start=training_jobs.is_open, release=training_jobs.is_open, pool="training")
CACHE = "features"  # folder beside the workspaces


def load_job(box: Box, job_id: str) -> TrainingJob:
    """Return the job. Raises SubjectGone if there is none."""
    job = training_jobs.get_job(box.db, job_id)
    if job is None:
        raise SubjectGone(f"The training {job_id} is gone.")
    return job


def workspace_of(box: Box, job_id: str) -> Path:
    """Return the folder for the files of a training, which outlive the process that makes them."""
    return _root(box) / job_id


def request_of(box: Box, job: TrainingJob) -> TrainingRequest:
    """Return what the engine is to do. Raises ModelNotFound, and TrainingRefused if a recording was deleted."""
    choices = job.choices
    recordings = thaw(training_jobs.get_annotations(box.db, job.id))
    return TrainingRequest(
        name=job.model_name,
        version=job.model_version,
        labels=tuple(choices["labels"]),
        mode=choices["mode"],
        base_model=resolve(box, job.tenant_id, job.base_model).folder,
        recordings=tuple(_recording(box, heard) for heard in recordings),
        limits=DecodeLimits.from_settings(box.settings),
        seed=choices["seed"],
        max_false_alarms_per_hour=choices["max_false_alarms_per_hour"],
        holdout_share=choices["holdout_share"] or 0.0,
        min_reviewed_seconds=60 * box.settings.training_clean_minutes,
        cache=_root(box) / CACHE,
        cache_bytes=box.settings.training_cache_bytes,
    )


def note_progress(box: Box, work: Work, phase: Phase, share: float) -> None:
    """Note how far a training is. Raises LeaseLost if it was cancelled."""
    with box.db.transaction() as tx:
        if not training_jobs.reach(tx, work.subject_id, phase, min(max(share, 0.0), 1.0)):
            raise LeaseLost(f"The training {work.subject_id} has ended.")


def complete(box: Box, work: Work, report: dict[str, Any], model: Path) -> None:
    """Give the model to its tenant and complete the job. If this raises LeaseLost, the job stays as it is.

    Raises InvalidManifest and ModelExists too.
    """
    job = load_job(box, work.subject_id)
    register_model(box, job.tenant_id, model)
    try:
        with box.db.transaction() as tx:
            queue.finish(tx, work)
            training_jobs.reach(tx, job.id, "exporting", 1.0)
            training_jobs.mark_completed(tx, job.id, report)
            job_ended(tx, job.id)
    except LeaseLost:
        if load_job(box, job.id).status == "cancelled":
            discard_model(box, job.tenant_id, job.model_id)
        raise


def tidy(box: Box) -> None:
    """Remove the workspaces of trainings that have ended."""
    if not _root(box).is_dir():
        return
    open_ids = training_jobs.list_open_ids(box.db)
    for folder in _root(box).iterdir():
        if folder.name not in open_ids and folder.name != CACHE:
            shutil.rmtree(folder, ignore_errors=True)


def _root(box: Box) -> Path:
    return box.settings.data_dir.absolute() / "training"


def _recording(box: Box, heard: Heard) -> TrainingRecording:
    return TrainingRecording(
        id=heard.audio_id,
        read=_reader(box, heard.audio_id),
        sha256=heard.sha256,
        group=heard.group,
        duration_ms=heard.duration_ms,
        events=tuple(heard.events),
        absents=tuple(heard.absents),
        unsures=tuple(heard.unsures),
        reviewed=tuple(heard.reviewed),
        held_out=heard.held_out,
    )


def _reader(box: Box, audio_id: str) -> Read:
    @contextmanager
    def read() -> Iterator[BinaryIO]:
        recording = audio_rows.find_audio(box.db, audio_id)
        if recording is None or recording.etag is None:
            raise TrainingRefused(f"The recording {audio_id} was deleted after the training was requested.")
        with tempfile.TemporaryFile(dir=box.settings.data_dir / "tmp") as file:
            try:
                with damage_noticed(box, recording.object_key):
                    box.objects.fetch(recording.object_key, recording.etag, file)
            except ObjectMissing as error:
                raise TrainingRefused(f"The recording {audio_id} is no longer stored.") from error
            file.seek(0)
            yield file

    return read
