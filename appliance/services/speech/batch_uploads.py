"""Batch uploads: files that are written to the local disk as they arrive, and copied to storage in the background."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.errors import InvalidRequest, LeaseLost, NotFound, SubjectGone
from appliance.services.box import Box
from appliance.services.content_types import known_content_type
from appliance.services.kind import Kind
from appliance.services.speech import spool
from appliance.services.speech.durations import Durations
from appliance.services.speech.media import fail_media, media_stored, object_key_of
from appliance.state import media as media_rows
from appliance.state import work as queue
from appliance.state.database import Transaction
from appliance.state.media import Media
from appliance.state.work import Work

MAX_NAME_LENGTH = 1024

STORE = Kind(
    "store",
    fail=lambda tx, media_id, code, message: fail_media(tx, media_id, "spooled", code, message),
    threads="storage",
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
class _SpooledFile:
    media_id: str
    filename: str
    content_type: str
    size_bytes: int
    duration_seconds: float | None


def accept(box: Box, durations: Durations, tenant_id: int, files: Iterable[IncomingFile]) -> BatchUpload:
    """Write the files of a request to disk and queue their copy to storage: all of them, or none.

    Raises InvalidRequest if there is no file or an empty one, FileTooLarge.
    """
    started = time.monotonic()
    batch_id = str(uuid.uuid4())
    with spool.folder_for(box, batch_id) as folder:
        spooled = [_spool(box, durations, folder, file) for file in files]
        if not spooled:
            raise InvalidRequest("files: send one or more files, each as a part named files.")
        spool.sync(folder)
        with box.db.transaction() as tx:
            for file in spooled:
                _insert(tx, tenant_id, batch_id, file)
    return BatchUpload(batch_id, media_rows.list_batch(box.db, tenant_id, batch_id), time.monotonic() - started)


def find_batch(box: Box, tenant_id: int, batch_id: str) -> list[Media]:
    """Return the media of the tenant's batch, in its order. Raises NotFound."""
    batch = media_rows.list_batch(box.db, tenant_id, batch_id)
    if not batch:
        raise NotFound("There is no such batch of uploads.")
    return batch


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


def _spool(box: Box, durations: Durations, folder: Path, file: IncomingFile) -> _SpooledFile:
    if len(file.filename) > MAX_NAME_LENGTH:
        raise InvalidRequest(f"files: a file name may have up to {MAX_NAME_LENGTH} characters.")
    media_id = str(uuid.uuid4())
    path = folder / media_id
    size_bytes = spool.write(path, file.blocks, box.settings.max_upload_bytes)
    if not size_bytes:
        raise InvalidRequest(f"files: {file.filename!r} is empty.")
    content_type, seconds = known_content_type(file.content_type), durations.estimate_seconds(path)
    return _SpooledFile(media_id, file.filename, content_type, size_bytes, seconds)


def _insert(tx: Transaction, tenant_id: int, batch_id: str, file: _SpooledFile) -> None:
    media_rows.insert_media(
        tx,
        file.media_id,
        tenant_id,
        status="spooled",
        object_key=object_key_of(tenant_id, file.media_id),
        original_filename=file.filename,
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        batch_id=batch_id,
        estimated_duration_seconds=file.duration_seconds,
    )
    queue.enqueue(tx, STORE.name, file.media_id, batch_id)
