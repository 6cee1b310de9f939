"""Uploads in parts of the files of a job: request, resume, complete, abort.

The appliance begins the upload under the key at which the original stays, so that nothing is copied. A client gets URLs
that take one part each, of exactly its size, and nothing else: when the upload is complete, they are of no use. Parts
that are missing get new URLs, which also lets the upload go on for longer.
"""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from dataclasses import dataclass

from appliance.errors import Conflict, FileTooLarge, InvalidRequest, ObjectMissing
from appliance.services import quotas
from appliance.services.box import Box
from appliance.services.content_types import canonical_content_type
from appliance.services.damage import going_on
from appliance.services.inference import files
from appliance.services.parts import part_sizes
from appliance.state import inference_files
from appliance.storage.access import IN_PARTS
from appliance.storage.objects import UnendedUpload
from appliance.storage.parts import MAX_PARTS, MOST_PART_BYTES, PartInfo

URLS = 100  # in one answer
ABANDONED_SECONDS = 3600.0  # a sweep leaves younger uploads alone: their rows may be about to be written


@dataclass(frozen=True)
class PartUrl:
    """A part that is missing: where it lies in the file, and the URL that takes it by PUT."""

    number: int
    offset: int
    size_bytes: int
    url: str


@dataclass(frozen=True)
class PartsReport:
    """What arrived of an upload in parts, and URLs for the first parts that are missing."""

    file_id: str
    part_bytes: int
    num_parts: int
    arrived: list[PartInfo]
    missing: list[PartUrl]
    num_missing: int
    expires_seconds: int


def request(
    box: Box, tenant_id: int, job_id: str, *, filename: str, content_type: str, size_bytes: int, origin: str
) -> PartsReport:
    """Create a pending file that is uploaded in parts. Raises as ``files.request_upload``."""
    content_type = canonical_content_type(content_type)
    if size_bytes <= 0:
        raise InvalidRequest("file_size_bytes: must be at least 1.")
    limit = min(box.settings.max_multipart_bytes, MAX_PARTS * min(box.settings.max_upload_bytes, MOST_PART_BYTES))
    if size_bytes > limit:
        raise FileTooLarge(f"file_size_bytes: {size_bytes} is over the limit of {limit} bytes.")
    files.require_open_job(box, tenant_id, job_id)
    quotas.check_upload(box, box.db, tenant_id, size_bytes)
    file_id = str(uuid.uuid4())
    key = f"tenant-{tenant_id}/inference-{job_id}/{file_id}/{IN_PARTS}{uuid.uuid4().hex[:8]}"
    multipart_id = box.objects.parts.create(key, content_type)
    with box.db.transaction() as tx:  # if this fails, the sweep aborts the upload
        files.require_open_job(box, tenant_id, job_id)
        quotas.check_upload(box, tx, tenant_id, size_bytes)
        inference_files.insert_file(
            tx,
            file_id,
            job_id,
            original_filename=filename,
            content_type=content_type,
            declared_size_bytes=size_bytes,
            object_key=key,
            upload_expires_at=_expires_at(box),
            multipart_id=multipart_id,
        )
    return report(box, tenant_id, job_id, file_id, origin)


def report(box: Box, tenant_id: int, job_id: str, file_id: str, origin: str) -> PartsReport:
    """Return what arrived and URLs for what is missing, and let the upload go on.

    Raises NotFound, JobCancelled, Conflict if the file is not uploaded in parts or its upload has ended.
    """
    files.require_open_job(box, tenant_id, job_id)
    file = files.find_file(box, job_id, file_id)
    if file.multipart_id is None:
        raise Conflict("The file is not uploaded in parts.")
    try:
        if file.status != "pending":
            raise ObjectMissing
        arrived = box.objects.parts.arrived(file.object_key, file.multipart_id)
    except ObjectMissing:
        raise Conflict("The upload has ended; its file has a status that says how.") from None
    with box.db.transaction() as tx:
        inference_files.extend_upload(tx, file.id, _expires_at(box))
    sizes = part_sizes(file.declared_size_bytes)
    good = {part.number for part in arrived if sizes.get(part.number) == part.size_bytes}
    missing = [number for number in sizes if number not in good]
    seconds = box.settings.upload_expires_seconds
    urls = box.objects.parts.urls(
        file.object_key,
        file.multipart_id,
        {number: sizes[number] for number in missing[:URLS]},
        origin=origin,
        expires_seconds=seconds,
    )
    size = sizes[1]
    return PartsReport(
        file.id,
        size,
        len(sizes),
        [part for part in arrived if part.number in good],
        [PartUrl(number, (number - 1) * size, sizes[number], url) for number, url in urls.items()],
        len(missing),
        seconds,
    )


def abort_abandoned(box: Box) -> None:
    """Abort uploads in parts that no pending file waits for."""
    for upload in box.objects.list_unended(time.time() - ABANDONED_SECONDS):
        if upload.key.rpartition("/")[2].startswith(IN_PARTS):
            with going_on(box, upload.key):
                abort_unless_awaited(box, upload)


def abort_unless_awaited(box: Box, upload: UnendedUpload) -> None:
    """Abort an upload in parts, unless a pending file waits for it."""
    file = inference_files.find_by_multipart_id(box.db, upload.upload_id)
    if file is None or file.status != "pending":
        with suppress(ObjectMissing):
            box.objects.abort(upload)


def _expires_at(box: Box) -> float:
    return time.time() + box.settings.upload_expires_seconds
