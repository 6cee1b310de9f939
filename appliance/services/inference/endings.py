"""The end of a file or a job of inference, and the webhooks that report it, in one transaction.

A job ends when its last open file ends. A job that takes further files ends again, and its webhook is sent again.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from appliance.services.webhooks.events import announce
from appliance.state import inference_files, inference_jobs
from appliance.state.database import Transaction
from appliance.state.inference_files import InferenceFile
from appliance.state.moves import FileStatus


def fail_file(tx: Transaction, file_id: str, leaving: FileStatus, code: str, message: str) -> bool:
    """Move a file from ``leaving`` to failed and queue the webhooks of its end."""
    if not inference_files.mark_failed(tx, file_id, leaving, code, message):
        return False
    file_ended(tx, file_id)
    return True


def lose_file(tx: Transaction, file_id: str, code: str, message: str) -> bool:
    """Note that a confirmed upload cannot be copied: move its file from queued to failed and queue the webhooks."""
    if not inference_files.mark_lost(tx, file_id, code, message):
        return False
    file_ended(tx, file_id)
    return True


def file_ended(tx: Transaction, file_id: str) -> None:
    """Queue the webhook ``file.completed`` or ``file.failed``, and ``job.completed`` if no file of the job is left."""
    file = inference_files.find_file(tx, file_id)
    settings = inference_jobs.get_settings(tx, file.job_id) if file else None
    if file is None or settings is None or settings.callback_url is None:
        return
    announce(tx, settings.tenant_id, file.job_id, settings.callback_url, f"file.{file.status}", _file_data(tx, file))
    if not inference_files.has_unfinished(tx, file.job_id):
        job_ended(tx, settings.tenant_id, file.job_id)


def verdict_changed(tx: Transaction, file_id: str) -> None:
    """Queue the webhook ``file.verdict_changed`` of a file whose result was announced before."""
    file = inference_files.find_file(tx, file_id)
    settings = inference_jobs.get_settings(tx, file.job_id) if file else None
    if file and settings and settings.callback_url:
        url, data = settings.callback_url, _file_data(tx, file)
        announce(tx, settings.tenant_id, file.job_id, url, "file.verdict_changed", data)


def job_ended(tx: Transaction, tenant_id: int, job_id: str) -> None:
    """Queue the webhook ``job.completed`` of a job at its end; its ``status`` says which end."""
    job = inference_jobs.get_job(tx, tenant_id, job_id)
    if job is None or job.callback_url is None:
        return
    data = {
        "job_id": job.id,
        "model_id": job.model_id,
        "model_version": job.model_version,
        "status": job.status,
        "total_files": job.total_files,
        "processed_files": job.processed_files,
        "failed_files": job.failed_files,
    }
    announce(tx, tenant_id, job.id, job.callback_url, "job.completed", data)


def _file_data(tx: Transaction, file: InferenceFile) -> dict[str, Any]:
    data: dict[str, Any] = {
        "job_id": file.job_id,
        "file_id": file.id,
        "original_filename": file.original_filename,
        "status": file.status,
    }
    if file.status == "failed":
        return data | {"error_code": file.error_code, "error_message": file.error_message}
    detections = inference_files.list_detections(tx, [file]).get(file.id, [])
    return data | {
        "duration_ms": file.duration_ms,
        "verdict": file.verdict,
        "verdict_reasons": file.verdict_reasons,
        "detection_count": len(detections),
        "detections_truncated": file.detections_truncated,
        "detections": [asdict(detection) for detection in detections],
    }
