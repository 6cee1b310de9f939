"""Transcripts of many files at once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from appliance.errors import InvalidRequest, NotFound
from appliance.services.box import Box
from appliance.services.speech import transcripts as requests
from appliance.services.speech.batch_uploads import find_batch
from appliance.state import media, transcripts
from appliance.state.media import Media
from appliance.state.transcripts import Transcript


@dataclass(frozen=True)
class BatchReport:
    """A batch: each transcript with the media that it is of, in the order in which they were asked for."""

    id: str
    items: list[tuple[Transcript, Media]]

    @property
    def status(self) -> str:
        """pending until one begins, processing until all ended, then completed, or failed where all failed."""
        found = {transcript.status for transcript, _ in self.items}
        if found <= {"waiting", "queued"}:
            return "pending"
        if found <= {"completed", "failed"}:
            return "failed" if found == {"failed"} else "completed"
        return "processing"


def create_batch(
    box: Box, tenant_id: int, batch_upload_id: str | None, file_ids: list[str] | None, model: str | None
) -> BatchReport:
    """Ask for a transcript of every file of an upload, or of the files named; they may still be on their way.

    Raises NotFound, and InvalidRequest for another model than one for transcription, or a file whose upload failed.
    """
    resolved = requests.resolve_model(box, model or box.settings.transcription_model, "model")
    batch_id = str(uuid.uuid4())
    with box.db.transaction():
        for source in _sources(box, tenant_id, batch_upload_id, file_ids):
            if source.status == "failed":
                raise InvalidRequest(f"{source.id}: its upload failed: {source.error_message}")
            requests.request(box, source, model=resolved, options={}, batch_id=batch_id)
    return find(box, tenant_id, batch_id)


def find(box: Box, tenant_id: int, batch_id: str) -> BatchReport:
    """The tenant's batch. Raises NotFound."""
    found = transcripts.list_transcripts(box.db, tenant_id, batch_id=batch_id)[::-1]
    sources = {each.media_id: media.find_media(box.db, each.media_id) for each in found}
    items = [(each, source) for each in found if (source := sources[each.media_id])]
    if not items:
        raise NotFound("There is no such batch.")
    return BatchReport(batch_id, items)


def _sources(box: Box, tenant_id: int, batch_upload_id: str | None, file_ids: list[str] | None) -> list[Media]:
    if (batch_upload_id is None) == (not file_ids):
        raise InvalidRequest("batch_upload_id, file_ids: give one of the two.")
    if batch_upload_id is not None:
        return find_batch(box, tenant_id, batch_upload_id)
    sources = []
    for file_id in dict.fromkeys(file_ids or []):
        source = media.get_media(box.db, tenant_id, file_id)
        if source is None:
            raise NotFound(f"There is no file {file_id}.")
        sources.append(source)
    return sources
