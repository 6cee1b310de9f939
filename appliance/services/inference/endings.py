"""What ends, and whom it is told to. Every ending of a subject that has a callback passes here.

Each function is called inside the transaction of the change, so that the event commits with its cause. A job ends
when its last open file does; one that takes further files ends again, and is told again.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from appliance.services.webhooks.events import announce
from appliance.state import inference_files, inference_jobs
from appliance.state.database import Database
from appliance.state.inference_files import InferenceFile
from appliance.state.inference_jobs import Job


def fail_file(db: Database, file_id: str, leaving: str, code: str, message: str) -> bool:
    """``leaving`` → failed, told to the job's callback."""
    if not inference_files.mark_failed(db, file_id, leaving, code, message):
        return False
    file_ended(db, file_id)
    return True


def file_ended(db: Database, file_id: str) -> None:
    """Tell of a file that is completed or failed, and of its job where that was the last one."""
    file = inference_files.find_file(db, file_id)
    job = inference_jobs.find_job(db, file.job_id) if file else None
    if file is None or job is None or job.callback_url is None:
        return
    announce(db, job.tenant_id, job.callback_url, f"file.{file.status}", _file_data(db, file))
    if job.processed_files == job.total_files:
        job_ended(db, job)


def job_ended(db: Database, job: Job) -> None:
    """Tell of a job that reached its end, whichever: ``status`` says."""
    if job.callback_url is None:
        return
    data = {
        "job_id": job.id,
        "model_id": job.model_id,
        "model_version": job.model_version,
        "status": job.status,
        "total_files": job.total_files,
        "processed_files": job.processed_files,
    }
    announce(db, job.tenant_id, job.callback_url, "job.completed", data)


def _file_data(db: Database, file: InferenceFile) -> dict[str, Any]:
    data: dict[str, Any] = {
        "job_id": file.job_id,
        "file_id": file.id,
        "original_filename": file.original_filename,
        "status": file.status,
    }
    if file.status == "failed":
        return data | {"error_code": file.error_code, "error_message": file.error_message}
    found = inference_files.list_detections(db, file.job_id, file.id).get(file.id, [])
    detections = [asdict(detection) for detection in found]
    return data | {"duration_ms": file.duration_ms, "detection_count": len(found), "detections": detections}
