"""The end of a training, and the webhook that reports it, in one transaction."""

from __future__ import annotations

from appliance.services.webhooks.events import announce
from appliance.state import training_jobs
from appliance.state.database import Transaction


def fail_job(tx: Transaction, job_id: str, code: str, message: str) -> bool:
    """Move a training to failed and queue its webhook. Returns False if it has ended."""
    if not training_jobs.mark_failed(tx, job_id, code, message):
        return False
    job_ended(tx, job_id)
    return True


def job_ended(tx: Transaction, job_id: str) -> None:
    """Queue the webhook ``training.completed``, ``training.failed`` or ``training.cancelled``."""
    job = training_jobs.get_job(tx, job_id)
    if job is None or job.callback_url is None:
        return
    data = {"training_job_id": job.id, "status": job.status, "model_id": None}
    if job.status == "completed":
        data["model_id"] = job.model_id
    elif job.status == "failed":
        data |= {"error_code": job.error_code, "error_message": job.error_message}
    announce(tx, job.tenant_id, job.id, job.callback_url, f"training.{job.status}", data)
