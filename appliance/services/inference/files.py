"""Files of an inference job: ask for an upload, confirm it, look at it, download it."""

from __future__ import annotations

import uuid

from appliance.errors import Conflict, JobCancelled, NotFound, NotUploaded
from appliance.services import uploads
from appliance.services.box import Box
from appliance.services.inference.jobs import FileReport, find_job
from appliance.services.uploads import Upload
from appliance.state import inference_files, work
from appliance.state.inference_files import InferenceFile
from appliance.storage.objects import ObjectInfo


def request_upload(
    box: Box, tenant_id: int, job_id: str, *, filename: str, content_type: str, size_bytes: int, origin: str
) -> Upload:
    """Make a pending file and the form that uploads it to ``origin``, as the client reaches it.

    Raises NotFound, JobCancelled, UnsupportedContentType, InvalidRequest, FileTooLarge.
    """
    declared = uploads.declare(box, filename, content_type, size_bytes, "file_size_bytes")
    _open_job(box, tenant_id, job_id)
    file_id = str(uuid.uuid4())
    key = f"tenant-{tenant_id}/inference-{job_id}/{file_id}/original"
    upload = uploads.make_upload(box, file_id, key, declared, origin)
    with box.db.transaction():
        _open_job(box, tenant_id, job_id)
        inference_files.insert_file(
            box.db,
            file_id,
            job_id,
            original_filename=declared.filename,
            content_type=declared.content_type,
            declared_size_bytes=declared.size_bytes,
            object_key=key,
            upload_expires_at=upload.expires_at,
        )
    return upload


def confirm_upload(box: Box, tenant_id: int, job_id: str, file_id: str) -> None:
    """Queue an uploaded file; a file that was confirmed before stays as it is.

    Raises NotFound, JobCancelled, NotUploaded, SizeMismatch, and Conflict where the upload came too late.
    """
    _open_job(box, tenant_id, job_id)
    file = find_file(box, job_id, file_id)
    if file.error_code == NotUploaded.code:
        raise Conflict("The upload form expired unused; ask for a new one.")
    if file.status == "pending":
        accept(box, file, uploads.arrived(box, file))


def accept(box: Box, file: InferenceFile, stored: ObjectInfo) -> None:
    """pending → queued, with the work that it causes; nothing where it left pending meanwhile."""
    with box.db.transaction():
        if inference_files.mark_queued(box.db, file.id, stored.etag):
            work.enqueue(box.db, "inference", file.id, file.job_id)


def get_file(box: Box, tenant_id: int, job_id: str, file_id: str) -> FileReport:
    """A file and its detections. Raises NotFound."""
    find_job(box, tenant_id, job_id)
    file = find_file(box, job_id, file_id)
    return FileReport(file, inference_files.list_detections(box.db, job_id, file_id).get(file_id, []))


def download_url(box: Box, tenant_id: int, job_id: str, file_id: str, origin: str) -> tuple[str, int]:
    """A URL of the original under its own name, and how many seconds it is valid.

    Raises NotFound, and NotUploaded where there is nothing to download.
    """
    find_job(box, tenant_id, job_id)
    return uploads.download_url(box, find_file(box, job_id, file_id), origin)


def find_file(box: Box, job_id: str, file_id: str) -> InferenceFile:
    """The job's file. Raises NotFound."""
    file = inference_files.get_file(box.db, job_id, file_id)
    if file is None:
        raise NotFound("There is no such file in this inference job.")
    return file


def _open_job(box: Box, tenant_id: int, job_id: str) -> None:
    if find_job(box, tenant_id, job_id).status == "cancelled":
        raise JobCancelled("The job was cancelled; it takes no further files.")
