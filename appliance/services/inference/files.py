"""Files of an inference job: request an upload, confirm it, read the results, download the original, delete."""

from __future__ import annotations

import uuid

from appliance.errors import Conflict, JobCancelled, NotFound, NotUploaded
from appliance.services import audit, parts, quotas, uploads
from appliance.services.box import Box
from appliance.services.inference import work as inference_work
from appliance.services.inference.endings import job_ended
from appliance.services.inference.jobs import FileReport, find_job, find_settings, page_of_files, reports_of
from appliance.services.purge import enqueue_purge
from appliance.services.uploads import KeptObject, Upload
from appliance.state import inference_files, inference_jobs
from appliance.state.database import Transaction
from appliance.state.inference_files import InferenceFile
from appliance.state.moves import FILE, FileStatus
from appliance.state.verdicts import FileVerdict
from appliance.storage.objects import ObjectInfo


def request_upload(
    box: Box, tenant_id: int, job_id: str, *, filename: str, content_type: str, size_bytes: int, origin: str
) -> Upload:
    """Create a pending file and return the form that uploads it to ``origin``, as the client reaches it.

    Raises NotFound, JobCancelled, UnsupportedContentType, InvalidRequest, FileTooLarge, QuotaExceeded, StorageFull.
    """
    declaration = uploads.declare(box, filename, content_type, size_bytes, "file_size_bytes")
    require_open_job(box, tenant_id, job_id)
    quotas.check_upload(box, box.db, tenant_id, declaration.size_bytes)
    file_id = str(uuid.uuid4())
    key = f"tenant-{tenant_id}/inference-{job_id}/{file_id}/original"
    upload_key = uploads.upload_key_of(tenant_id, file_id)
    upload = uploads.make_upload(box, file_id, upload_key, declaration, origin)
    with box.db.transaction() as tx:
        require_open_job(box, tenant_id, job_id)
        quotas.check_upload(box, tx, tenant_id, declaration.size_bytes)  # again: now nothing else can be added
        inference_files.insert_file(
            tx,
            file_id,
            job_id,
            original_filename=declaration.filename,
            content_type=declaration.content_type,
            declared_size_bytes=declaration.size_bytes,
            object_key=key,
            upload_key=upload_key,
            upload_expires_at=upload.expires_at,
        )
    return upload


def confirm_upload(box: Box, tenant_id: int, job_id: str, file_id: str) -> None:
    """Queue an uploaded file. A file that was confirmed before stays as it is, unless it failed.

    Raises NotFound, JobCancelled, NotUploaded, SizeMismatch, and Conflict with the file's own error if it failed.
    """
    require_open_job(box, tenant_id, job_id)
    file = find_file(box, job_id, file_id)
    if file.status == "pending" or uploads.is_late(file.error_code):
        if file.multipart_id:
            parts.complete(box, file.object_key, file.multipart_id, file.declared_size_bytes)
        try:
            accept(box, file, uploads.uploaded_object(box, file))
        except NotUploaded:
            if find_file(box, job_id, file_id).status == file.status:
                raise  # otherwise another call accepted it at this moment, and the upload is deleted
    elif file.status == "failed":
        raise Conflict(f"The file failed: {file.error_message}")


def accept(box: Box, file: InferenceFile, info: ObjectInfo) -> None:
    """Queue an uploaded file with its work. Does nothing if it was accepted meanwhile."""

    def mark(tx: Transaction, kept: KeptObject) -> bool:
        accepted = inference_files.mark_queued(
            tx, file.id, file.status, kept.key, kept.etag, awaits_copy=kept.awaits_copy
        )
        if accepted:
            tenant_id = inference_jobs.tenant_of(tx, file.job_id)
            inference_work.enqueue(tx, tenant_id, file.job_id, file.id, kept)
        return accepted

    uploads.accept(box, file, info, mark)


def list_files(
    box: Box,
    tenant_id: int,
    job_id: str,
    *,
    status: FileStatus | None,
    verdict: FileVerdict | None = None,
    text: str | None = None,
    after: int | None,
    limit: int,
) -> tuple[list[FileReport], int | None]:
    """Return a page of the job's files as ``page_of_files`` does. Raises NotFound."""
    job = find_settings(box, tenant_id, job_id)
    return page_of_files(box, job, status=status, verdict=verdict, text=text, after=after, limit=limit)


def delete_file(box: Box, tenant_id: int, job_id: str, file_id: str) -> None:
    """Remove a file with its results, whatever its status; the worker then deletes its objects. Raises NotFound."""
    with box.db.transaction() as tx:
        find_settings(box, tenant_id, job_id)
        file = find_file(box, job_id, file_id)
        was_unfinished = file.status in FILE.leaving_for("cancelled")
        inference_files.delete_file(tx, file_id)
        enqueue_purge(tx, tenant_id, file.object_key.rpartition("/")[0])
        audit.note(tx, "file deleted", f"{file_id} of the job {job_id}")
        if was_unfinished and find_job(box, tenant_id, job_id).status in ("completed", "failed"):
            job_ended(tx, tenant_id, job_id)


def get_file(box: Box, tenant_id: int, job_id: str, file_id: str) -> FileReport:
    """Return a file and its detections. Raises NotFound."""
    job = find_settings(box, tenant_id, job_id)
    (report,) = reports_of(box, job, [find_file(box, job_id, file_id)])
    return report


def download_url(box: Box, tenant_id: int, job_id: str, file_id: str, origin: str) -> tuple[str, int]:
    """Return a URL that downloads the original under its own name, and how many seconds the URL is valid.

    Raises NotFound, NotUploaded if there is nothing to download, and NotReady if the original awaits its copy.
    """
    find_settings(box, tenant_id, job_id)
    return uploads.download_url(box, find_file(box, job_id, file_id), origin)


def find_file(box: Box, job_id: str, file_id: str) -> InferenceFile:
    """Return the job's file. Raises NotFound."""
    file = inference_files.get_file(box.db, job_id, file_id)
    if file is None:
        raise NotFound("There is no such file in this inference job.")
    return file


def require_open_job(box: Box, tenant_id: int, job_id: str) -> None:
    """Raise NotFound, or JobCancelled, if the job takes no files."""
    if find_settings(box, tenant_id, job_id).cancelled_at is not None:
        raise JobCancelled("The job was cancelled; it takes no further files.")
