"""The work on a file of an inference job."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from appliance.engine.scoring.events import Detection, DetectionConfig
from appliance.errors import LeaseLost
from appliance.services.box import Box
from appliance.services.inference.endings import file_ended
from appliance.state import inference_files, inference_jobs, work
from appliance.state.inference_files import FileDetection, InferenceFile
from appliance.state.work import Work


@dataclass(frozen=True)
class InferenceTask:
    """A file in progress, and how it is to be scored."""

    file: InferenceFile
    model: str
    config: DetectionConfig


def load_task(box: Box, claimed: Work) -> InferenceTask:
    """What is to be done. Raises LeaseLost where it is gone."""
    file = inference_files.find_file(box.db, claimed.subject_id)
    job = inference_jobs.find_job(box.db, file.job_id) if file else None
    if file is None or job is None:
        raise LeaseLost(f"File {claimed.subject_id} is gone.")
    return InferenceTask(file, job.model, DetectionConfig(**job.client_config))


def complete(box: Box, claimed: Work, duration_ms: int, detections: Iterable[Detection]) -> None:
    """processing → completed with its detections. Raises LeaseLost, and then nothing is written."""
    with box.db.transaction():
        work.finish(box.db, claimed)
        found = [FileDetection(**asdict(detection)) for detection in detections]
        if not inference_files.mark_completed(box.db, claimed.subject_id, duration_ms, found):
            raise LeaseLost(f"File {claimed.subject_id} is not in progress.")
        file_ended(box.db, claimed.subject_id)
