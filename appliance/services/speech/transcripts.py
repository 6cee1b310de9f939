"""Transcripts of media, or its detections if the model is for detection. All three speech routes use these."""

from __future__ import annotations

import uuid
from typing import Any

from appliance.errors import InvalidRequest, ModelNotFound, NotFound
from appliance.services.box import Box
from appliance.services.speech.work import TRANSCRIPTION
from appliance.state import transcripts as transcript_rows
from appliance.state import work as queue
from appliance.state.database import Transaction
from appliance.state.media import Media
from appliance.state.transcripts import Transcript


def resolve_model(box: Box, model_id: str, field: str, tasks: tuple[str, ...] = ("transcription",)) -> str:
    """Return ``<name>@<version>`` of a model that is for one of ``tasks``. Raises InvalidRequest naming ``field``."""
    try:
        manifest = box.models.resolve(model_id).manifest
    except ModelNotFound as error:
        raise InvalidRequest(f"{field}: {error}") from error
    if manifest.task not in tasks:
        raise InvalidRequest(f"{field}: {manifest.id} is for {manifest.task}, not for {' or '.join(tasks)}.")
    return manifest.id


def create_transcript(
    tx: Transaction,
    media: Media,
    *,
    model: str,
    options: dict[str, Any],
    batch_id: str | None = None,
    callback_url: str | None = None,
) -> str:
    """Create a transcript of media and return its id. It waits if the media is not stored yet."""
    transcript_id = str(uuid.uuid4())
    is_stored = media.status == "stored"
    transcript_rows.insert_transcript(
        tx,
        transcript_id,
        media.tenant_id,
        media.id,
        model=model,
        options=options,
        status="queued" if is_stored else "waiting",
        batch_id=batch_id,
        callback_url=callback_url,
    )
    if is_stored:
        queue.enqueue(tx, TRANSCRIPTION.name, transcript_id, batch_id or transcript_id)
    return transcript_id


def find_transcript(box: Box, tenant_id: int, transcript_id: str) -> Transcript:
    """Return the tenant's transcript. Raises NotFound."""
    transcript = transcript_rows.get_transcript(box.db, tenant_id, transcript_id)
    if transcript is None:
        raise NotFound("There is no such transcript.")
    return transcript


def find_completed(box: Box, tenant_id: int, transcript_id: str) -> Transcript:
    """Return the tenant's transcript with its result. Raises NotFound, and InvalidRequest if it is not completed."""
    transcript = find_transcript(box, tenant_id, transcript_id)
    if transcript.status != "completed":
        raise InvalidRequest(f"The transcript is {transcript.status}; this is available once it is completed.")
    return transcript


def list_page(
    box: Box,
    tenant_id: int,
    *,
    statuses: tuple[str, ...],
    created_on: str | None,
    before_id: str | None,
    after_id: str | None,
    limit: int,
) -> list[Transcript]:
    """Return up to ``limit`` of the tenant's transcripts, newest first, before or after another transcript.

    An empty ``statuses`` means any status. Raises InvalidRequest for an unknown id.
    """
    return transcript_rows.list_page(
        box.db,
        tenant_id,
        statuses=statuses,
        created_on=created_on,
        before=_sequence(box, tenant_id, "before_id", before_id),
        after=_sequence(box, tenant_id, "after_id", after_id),
        limit=limit,
    )


def _sequence(box: Box, tenant_id: int, field: str, transcript_id: str | None) -> int | None:
    if transcript_id is None:
        return None
    transcript = transcript_rows.get_transcript(box.db, tenant_id, transcript_id)
    if transcript is None:
        raise InvalidRequest(f"{field}: there is no such transcript.")
    return transcript.sequence
