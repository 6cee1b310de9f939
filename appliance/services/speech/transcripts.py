"""Transcripts of media, or its detections if the model is for detection. All three speech routes use these."""

from __future__ import annotations

import uuid
from typing import Any

from appliance.errors import Conflict, InvalidRequest, ModelNotFound, NotFound
from appliance.log import current_request_id
from appliance.services.box import Box
from appliance.services.models import choose
from appliance.services.speech.work import TRANSCRIPTION
from appliance.state import media as media_rows
from appliance.state import transcripts as transcript_rows
from appliance.state.database import Transaction
from appliance.state.media import Media
from appliance.state.moves import Route
from appliance.state.transcripts import Transcript


def resolve_model(
    box: Box, tenant_id: int, model_id: str, field: str, tasks: tuple[str, ...] = ("transcription",)
) -> str:
    """Return ``<name>@<version>`` of a model that is for one of ``tasks``. Raises InvalidRequest naming ``field``."""
    try:
        manifest = choose(box, tenant_id, model_id).manifest
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
    callback_header: tuple[str, str] | None = None,
) -> str:
    """Create a transcript of media, on the media's route, and return its id. It waits if the media is not stored.

    Raises Conflict if the bytes were deleted by retention.
    """
    if media.original_removed_at is not None:
        raise Conflict(f"The recording {media.id} is no longer stored: its time of retention is over.")
    transcript_id = str(uuid.uuid4())
    is_stored = media.status == "stored"
    transcript_rows.insert_transcript(
        tx,
        transcript_id,
        media.tenant_id,
        media.id,
        route=media.route,
        model=model,
        options=options,
        status="queued" if is_stored else "waiting",
        batch_id=batch_id,
        callback_url=callback_url,
        callback_header=callback_header,
        request_id=current_request_id(),
    )
    media_rows.mark_used(tx, media.id)
    if is_stored:
        TRANSCRIPTION.enqueue(tx, media.tenant_id, batch_id or transcript_id, transcript_id)
    return transcript_id


def find_transcript(box: Box, tenant_id: int, route: Route, transcript_id: str) -> Transcript:
    """Return the tenant's transcript that was requested by this route. Raises NotFound."""
    transcript = transcript_rows.get_transcript(box.db, tenant_id, route, transcript_id)
    if transcript is None:
        raise NotFound("There is no such transcript.")
    return transcript
