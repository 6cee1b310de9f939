"""The batch route: transcripts of many files at once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from appliance.errors import InvalidRequest, NotFound
from appliance.services import quotas
from appliance.services.box import Box
from appliance.services.speech import transcripts
from appliance.services.speech.batch_uploads import find_batch as find_upload_batch
from appliance.services.speech.batch_uploads import find_file
from appliance.services.speech.fetch import check_sources, filename_of, request_fetch
from appliance.state import media as media_rows
from appliance.state import transcripts as transcript_rows
from appliance.state.media import Media
from appliance.state.moves import TranscriptStatus
from appliance.state.transcripts import Transcript


@dataclass(frozen=True)
class BatchReport:
    """A batch: each transcript with its media, in the order in which they were requested."""

    id: str
    items: list[tuple[Transcript, Media]]

    @property
    def status(self) -> str:
        """pending until one begins, processing until all end, then completed, or failed if all failed."""
        return status_of({transcript.status for transcript, _ in self.items})


def status_of(statuses: set[TranscriptStatus]) -> str:
    """Return the status of a batch whose transcripts have these statuses."""
    if statuses <= {"waiting", "queued"}:
        return "pending"
    if statuses <= {"completed", "failed"}:
        return "failed" if statuses == {"failed"} else "completed"
    return "processing"


@dataclass(frozen=True)
class Source:
    """A recording that is fetched from another machine. Without a name it has that of the URL."""

    url: str
    filename: str | None = None


def create_batch(
    box: Box,
    tenant_id: int,
    batch_upload_id: str | None,
    file_ids: list[str] | None,
    model: str | None,
    sources: list[Source] | None = None,
) -> BatchReport:
    """Create a transcript of each URL, each file of an upload that did not fail, and each named file, of each once.

    The files need not be in storage yet. Raises NotFound, and InvalidRequest if the model is not for transcription,
    the upload of a named file failed, a URL may not be fetched, or nothing is named.
    """
    if sources:
        check_sources(box, [source.url for source in sources], "sources")
    model_id = transcripts.resolve_model(box, tenant_id, model or box.settings.transcription_model, "model")
    batch_id = str(uuid.uuid4())
    with box.db.transaction() as tx:
        recordings = _media(box, tenant_id, batch_upload_id, file_ids)
        for source in sources or []:
            name = source.filename or filename_of(source.url)
            recordings.append(request_fetch(tx, tenant_id, "batch", source.url, name, batch_id))
        if not recordings:
            raise InvalidRequest("batch_upload_id, file_ids, sources: name an upload that has files, files or URLs.")
        quotas.check_work(box, tx, tenant_id, len(recordings))
        for media in recordings:
            transcripts.create_transcript(tx, media, model=model_id, options={}, batch_id=batch_id)
    return find_batch(box, tenant_id, batch_id)


def find_batch(box: Box, tenant_id: int, batch_id: str) -> BatchReport:
    """Return the tenant's batch. Raises NotFound."""
    rows = transcript_rows.list_batch(box.db, tenant_id, batch_id)
    media = {row.media_id: media_rows.find_media(box.db, row.media_id) for row in rows}
    items = [(row, recording) for row in rows if (recording := media[row.media_id])]
    if not items:
        raise NotFound("There is no such batch.")
    return BatchReport(batch_id, items)


def _media(box: Box, tenant_id: int, batch_upload_id: str | None, file_ids: list[str] | None) -> list[Media]:
    recordings: dict[str, Media] = {}
    if batch_upload_id is not None:
        upload = find_upload_batch(box, tenant_id, batch_upload_id)
        recordings = {media.id: media for media in upload if media.status != "failed"}
    for file_id in file_ids or []:
        media = find_file(box, tenant_id, file_id)
        if media.status == "failed":
            raise InvalidRequest(f"{media.id}: its upload failed: {media.error_message}")
        recordings[media.id] = media
    return list(recordings.values())
