"""Files of an inference job: ask for an upload, confirm it, look at it, download it."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from appliance.errors import (
    Conflict,
    FileTooLarge,
    InvalidRequest,
    JobCancelled,
    NotFound,
    NotUploaded,
    ObjectMissing,
    SizeMismatch,
)
from appliance.services.box import Box
from appliance.services.formats import EXTENSIONS, canonical_content_type
from appliance.services.inference_jobs import FileReport, find_job
from appliance.state import files, work
from appliance.state.files import InferenceFile
from appliance.storage.objects import ObjectInfo, UploadForm

KIND = "inference"


@dataclass(frozen=True)
class Upload:
    """A form that takes one file, and the id to confirm it by."""

    file_id: str
    form: UploadForm
    expires_seconds: int


def request_upload(
    box: Box, tenant_id: int, job_id: str, *, filename: str, content_type: str, size_bytes: int, origin: str
) -> Upload:
    """Make a pending file and the form that uploads it to ``origin``, as the client reaches it.

    Raises NotFound, JobCancelled, UnsupportedContentType, InvalidRequest, FileTooLarge.
    """
    content_type = canonical_content_type(content_type)
    check_size(size_bytes, box.settings.max_upload_bytes, "file_size_bytes")
    file_id = str(uuid.uuid4())
    expires_seconds = box.settings.upload_expires_seconds
    file = InferenceFile(
        id=file_id,
        job_id=job_id,
        original_filename=filename,
        content_type=content_type,
        declared_size_bytes=size_bytes,
        object_key=f"tenant-{tenant_id}/inference-{job_id}/{file_id}/original",
        upload_expires_at=time.time() + expires_seconds,
        etag=None,
        status="pending",
        error_code=None,
        error_message=None,
        duration_ms=None,
    )
    _open_job(box, tenant_id, job_id)
    form = box.objects.upload_form(
        file.object_key,
        content_type=content_type,
        origin=origin,
        max_bytes=box.settings.max_upload_bytes,
        expires_seconds=expires_seconds,
    )
    with box.db.transaction():
        _open_job(box, tenant_id, job_id)
        files.insert_file(box.db, file)
    return Upload(file_id, form, expires_seconds)


def confirm_upload(box: Box, tenant_id: int, job_id: str, file_id: str) -> None:
    """Queue an uploaded file; a file that was confirmed before stays as it is.

    Raises NotFound, JobCancelled, NotUploaded, SizeMismatch, and Conflict where the upload came too late.
    """
    _open_job(box, tenant_id, job_id)
    file = find_file(box, job_id, file_id)
    if file.error_code == NotUploaded.code:
        raise Conflict("The upload form expired unused; ask for a new one.")
    if file.status != "pending":
        return
    try:
        stored = box.objects.stat(file.object_key)
    except ObjectMissing as error:
        raise NotUploaded("The file has not been uploaded yet.") from error
    check_stored(file, stored)
    with box.db.transaction():
        enqueue(box, file, stored)


def enqueue(box: Box, file: InferenceFile, stored: ObjectInfo) -> None:
    """pending → queued, with the work that it causes; nothing where it left pending meanwhile. In a transaction."""
    if files.mark_queued(box.db, file.id, stored.etag):
        work.enqueue(box.db, KIND, file.id, file.job_id)


def get_file(box: Box, tenant_id: int, job_id: str, file_id: str) -> FileReport:
    """A file and its detections. Raises NotFound."""
    find_job(box, tenant_id, job_id)
    file = find_file(box, job_id, file_id)
    return FileReport(file, files.list_detections(box.db, job_id, file_id).get(file_id, []))


def download_url(box: Box, tenant_id: int, job_id: str, file_id: str, origin: str) -> tuple[str, int]:
    """A URL of the original under its own name, and how many seconds it is valid.

    Raises NotFound, and NotUploaded where there is nothing to download.
    """
    find_job(box, tenant_id, job_id)
    file = find_file(box, job_id, file_id)
    try:
        box.objects.stat(file.object_key)
    except ObjectMissing as error:
        raise NotUploaded("The file has not been uploaded.") from error
    expires_seconds = box.settings.upload_expires_seconds
    url = box.objects.download_url(
        file.object_key,
        filename=file.original_filename or f"{file.id}{EXTENSIONS[file.content_type]}",
        content_type=file.content_type,
        origin=origin,
        expires_seconds=expires_seconds,
    )
    return url, expires_seconds


def check_size(size_bytes: int, max_bytes: int, field: str) -> None:
    """Raises InvalidRequest for an empty file, FileTooLarge for one over the limit."""
    if size_bytes <= 0:
        raise InvalidRequest(f"{field}: must be at least 1.")
    if size_bytes > max_bytes:
        raise FileTooLarge(f"{field}: {size_bytes} is over the limit of {max_bytes} bytes.")


def check_stored(file: InferenceFile, stored: ObjectInfo) -> None:
    """Raises SizeMismatch where the object has another size than was declared."""
    if stored.size_bytes != file.declared_size_bytes:
        raise SizeMismatch(
            f"The uploaded file has {stored.size_bytes} bytes, {file.declared_size_bytes} were declared; "
            "upload it again with the same form, or ask for a new one."
        )


def find_file(box: Box, job_id: str, file_id: str) -> InferenceFile:
    """The job's file. Raises NotFound."""
    file = files.get_file(box.db, job_id, file_id)
    if file is None:
        raise NotFound("There is no such file in this inference job.")
    return file


def _open_job(box: Box, tenant_id: int, job_id: str) -> None:
    if find_job(box, tenant_id, job_id).status == "cancelled":
        raise JobCancelled("The job was cancelled; it takes no further files.")
