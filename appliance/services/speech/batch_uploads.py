"""Batches of files through the API: spooled as they arrive, taken to storage in the background."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.errors import InvalidRequest, LeaseLost, NotFound
from appliance.services.box import Box
from appliance.services.content_types import known_content_type
from appliance.services.speech import spool, transcripts
from appliance.services.speech.durations import Durations
from appliance.services.speech.raw import folder_of
from appliance.state import media, work
from appliance.state.media import Media
from appliance.state.work import Work

LONGEST_NAME = 1024


class IncomingFile(Protocol):
    """A file as it arrives."""

    @property
    def filename(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def blocks(self) -> Iterable[bytes]: ...


@dataclass(frozen=True)
class BatchUpload:
    """The receipt of a batch: its media, all on disk, and how long that took."""

    id: str
    files: list[Media]
    spool_seconds: float


@dataclass(frozen=True)
class _Spooled:
    media_id: str
    filename: str
    content_type: str
    size_bytes: int
    seconds: float | None


def accept(box: Box, durations: Durations, tenant_id: int, incoming: Iterable[IncomingFile]) -> BatchUpload:
    """Spool the files of a request and queue their way to storage: all of them, or none.

    Raises InvalidRequest for an empty file or none at all, FileTooLarge.
    """
    started = time.monotonic()
    batch_id = str(uuid.uuid4())
    with spool.folder_for(box, batch_id) as folder:
        spooled = [_spool(box, durations, folder, file) for file in incoming]
        if not spooled:
            raise InvalidRequest("files: send one or more files, each as a part named files.")
        spool.sync(folder)
        with box.db.transaction():
            for each in spooled:
                _insert(box, tenant_id, batch_id, each)
    return BatchUpload(batch_id, media.list_batch(box.db, tenant_id, batch_id), time.monotonic() - started)


def find_batch(box: Box, tenant_id: int, batch_id: str) -> list[Media]:
    """The media of the tenant's batch, in their order. Raises NotFound."""
    found = media.list_batch(box.db, tenant_id, batch_id)
    if not found:
        raise NotFound("There is no such batch of uploads.")
    return found


def store(box: Box, claimed: Work) -> None:
    """spooled → stored; what waits for the media is queued with it. Raises LeaseLost, ObjectMissing."""
    source = media.find_media(box.db, claimed.subject_id)
    if source is None or source.size_bytes is None:
        raise LeaseLost(f"Media {claimed.subject_id} is gone.")
    with spool.path_of(box, source).open("rb") as file:
        made = box.objects.put(source.object_key, file, size_bytes=source.size_bytes, content_type=source.content_type)
    try:
        with box.db.transaction():
            work.finish(box.db, claimed)
            transcripts.media_stored(box, source.id, "spooled", made.size_bytes, made.etag)
    except LeaseLost:
        if media.find_media(box.db, source.id) is None:
            box.objects.delete(source.object_key)
        raise
    spool.discard(box, source)


def _spool(box: Box, durations: Durations, folder: Path, file: IncomingFile) -> _Spooled:
    if len(file.filename) > LONGEST_NAME:
        raise InvalidRequest(f"files: a file name may have {LONGEST_NAME} characters.")
    media_id = str(uuid.uuid4())
    path = folder / media_id
    size_bytes = spool.write(path, file.blocks, box.settings.max_upload_bytes)
    if not size_bytes:
        raise InvalidRequest(f"files: {file.filename!r} is empty.")
    content_type, seconds = known_content_type(file.content_type), durations.estimate_seconds(path)
    return _Spooled(media_id, file.filename, content_type, size_bytes, seconds)


def _insert(box: Box, tenant_id: int, batch_id: str, spooled: _Spooled) -> None:
    media.insert_media(
        box.db,
        spooled.media_id,
        tenant_id,
        status="spooled",
        object_key=f"{folder_of(tenant_id, spooled.media_id)}/original",
        original_filename=spooled.filename,
        content_type=spooled.content_type,
        size_bytes=spooled.size_bytes,
        batch_id=batch_id,
        estimated_duration_seconds=spooled.seconds,
    )
    work.enqueue(box.db, "store", spooled.media_id, batch_id)
