"""Batch uploads: files that are written to the local disk as they arrive, and copied to storage in the background."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.errors import EmptyFile, InvalidRequest, LeaseLost, NotFound, SubjectGone
from appliance.services import audit, quotas
from appliance.services.box import Box
from appliance.services.content_types import known_content_type
from appliance.services.kind import Kind
from appliance.services.quotas import Meter
from appliance.services.speech import spool
from appliance.services.speech.durations import Durations
from appliance.services.speech.media import delete_media, fail_media, media_stored, object_key_of
from appliance.state import media as media_rows
from appliance.state import transcripts as transcript_rows
from appliance.state import work as queue
from appliance.state.database import Transaction
from appliance.state.media import Media
from appliance.state.moves import Route
from appliance.state.work import Work
from appliance.text import check_text

ROUTE: Route = "batch"
MAX_NAME_LENGTH = 1024

STORE = Kind(
    "store",
    fail=lambda tx, media_id, code, message: fail_media(tx, media_id, "spooled", code, message),
    pool="storage",
)


class IncomingFile(Protocol):
    """A file as it arrives."""

    @property
    def filename(self) -> str:
        """The client's name for it."""
        ...

    @property
    def content_type(self) -> str:
        """Its declared type, which may be anything."""
        ...

    @property
    def blocks(self) -> Iterable[bytes]:
        """Its bytes, which can be read once."""
        ...


@dataclass(frozen=True)
class BatchUpload:
    """A batch whose files are all on disk, and how many seconds that took."""

    id: str
    files: list[Media]
    spool_seconds: float


@dataclass(frozen=True)
class DeletedFiles:
    """Files that were deleted, how many objects storage loses by that, and how many transcripts there were."""

    file_ids: list[str]
    objects: int
    transcripts: int


@dataclass(frozen=True)
class _SpooledFile:
    media_id: str
    filename: str
    content_type: str
    size_bytes: int
    duration_seconds: float | None


def accept(box: Box, durations: Durations, tenant_id: int, files: Iterable[IncomingFile]) -> BatchUpload:
    """Write the files of a request to disk and queue their copy to storage: all of them, or none.

    An empty file among others becomes media that failed. Raises FileTooLarge, QuotaExceeded, StorageFull, and
    InvalidRequest if there is no file, or no file with bytes.
    """
    started = time.monotonic()
    batch_id = str(uuid.uuid4())
    quotas.check_upload(box, box.db, tenant_id)
    meter = Meter(box, tenant_id)
    with spool.folder_for(box, batch_id) as folder:
        spooled = [_spool(box, durations, folder, file, meter) for file in files]
        if not spooled:
            raise InvalidRequest("files: send one or more files, each as a part named files.")
        if not any(file.size_bytes for file in spooled):
            raise InvalidRequest(f"files: {spooled[0].filename!r} is empty.")
        spool.sync(folder)
        with box.db.transaction() as tx:
            quotas.check_bytes(box, tx, tenant_id, sum(file.size_bytes for file in spooled))
            for file in spooled:
                _insert(tx, tenant_id, batch_id, file)
    return BatchUpload(batch_id, media_rows.list_batch(box.db, tenant_id, batch_id), time.monotonic() - started)


def find_batch(box: Box, tenant_id: int, batch_id: str) -> list[Media]:
    """Return the media of the tenant's batch, in its order. Raises NotFound."""
    batch = media_rows.list_batch(box.db, tenant_id, batch_id)
    if not batch:
        raise NotFound("There is no such batch of uploads.")
    return batch


def find_file(box: Box, tenant_id: int, file_id: str) -> Media:
    """Return a file of the tenant's batch uploads. Raises NotFound."""
    media = media_rows.get_media(box.db, tenant_id, ROUTE, file_id)
    if media is None:
        raise NotFound(f"There is no file {file_id}.")
    return media


def list_files(
    box: Box, tenant_id: int, statuses: tuple[str, ...], *, offset: int, limit: int
) -> tuple[list[Media], int]:
    """Return files of the tenant's batch uploads in ``statuses``, newest first, and the number of all of them."""
    files = media_rows.list_route(box.db, tenant_id, ROUTE, statuses, offset=offset, limit=limit)
    return files, media_rows.count_route(box.db, tenant_id, ROUTE, statuses)


def delete_files(box: Box, tenant_id: int, file_ids: Iterable[str]) -> DeletedFiles:
    """Delete files with their bytes and their transcripts: all of them, or none. Raises NotFound."""
    with box.db.transaction() as tx:
        files = [find_file(box, tenant_id, file_id) for file_id in dict.fromkeys(file_ids)]
        jobs = sum(len(transcript_rows.list_of_media(tx, media.id)) for media in files)
        for media in files:
            delete_media(tx, tenant_id, media.id)
            audit.note(tx, "file deleted", media.id)
    for media in files:
        spool.discard(box, media)
    return DeletedFiles([media.id for media in files], sum(media.status == "stored" for media in files), jobs)


def store(box: Box, work: Work) -> None:
    """Copy a file from the disk to storage, and queue the transcripts that wait for it.

    Raises LeaseLost, SubjectGone, ObjectMissing.
    """
    media = media_rows.find_media(box.db, work.subject_id)
    if media is None or media.size_bytes is None:
        raise SubjectGone(f"The media {work.subject_id} was deleted.")
    with spool.path_of(box, media).open("rb") as file:
        info = box.objects.put(media.object_key, file, size_bytes=media.size_bytes, content_type=media.content_type)
    try:
        with box.db.transaction() as tx:
            queue.finish(tx, work)
            media_stored(tx, media.id, "spooled", info.size_bytes, info.etag)
    except LeaseLost:
        if media_rows.find_media(box.db, media.id) is None:
            box.objects.delete(media.object_key)
        raise
    spool.discard(box, media)


def _spool(box: Box, durations: Durations, folder: Path, file: IncomingFile, meter: Meter) -> _SpooledFile:
    if len(file.filename) > MAX_NAME_LENGTH:
        raise InvalidRequest(f"files: a file name may have up to {MAX_NAME_LENGTH} characters.")
    try:
        check_text(file.filename)
    except ValueError as error:
        raise InvalidRequest(f"files: a file name {error}.") from error
    media_id = str(uuid.uuid4())
    path = folder / media_id
    size_bytes = spool.write(path, _metered(file.blocks, meter), box.settings.max_upload_bytes)
    if not size_bytes:
        path.unlink()
    content_type = known_content_type(file.content_type)
    seconds = durations.estimate_seconds(path) if size_bytes else None
    return _SpooledFile(media_id, file.filename, content_type, size_bytes, seconds)


def _metered(blocks: Iterable[bytes], meter: Meter) -> Iterator[bytes]:
    for block in blocks:
        meter.add(len(block))
        yield block


def _insert(tx: Transaction, tenant_id: int, batch_id: str, file: _SpooledFile) -> None:
    media_rows.insert_media(
        tx,
        file.media_id,
        tenant_id,
        route=ROUTE,
        status="spooled" if file.size_bytes else "pending",
        object_key=object_key_of(tenant_id, file.media_id),
        original_filename=file.filename,
        content_type=file.content_type,
        size_bytes=file.size_bytes or None,
        batch_id=batch_id,
        estimated_duration_seconds=file.duration_seconds,
    )
    if file.size_bytes:
        STORE.enqueue(tx, tenant_id, batch_id, file.media_id)
    else:
        fail_media(tx, file.media_id, "pending", EmptyFile.code, "The file has no bytes.")
