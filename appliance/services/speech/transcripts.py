"""What is asked of media: a transcript, or detections where the model is for detection. All doors lead here."""

from __future__ import annotations

import uuid
from typing import Any

from appliance.errors import InvalidRequest, LeaseLost, ModelNotFound, NotFound
from appliance.services.box import Box
from appliance.services.speech.endings import fail_transcript, transcript_ended
from appliance.state import media, transcripts, work
from appliance.state.database import Database
from appliance.state.media import Media
from appliance.state.transcripts import Transcript
from appliance.state.work import Work

KIND = "transcription"


def resolve_model(box: Box, model_id: str, field: str, tasks: tuple[str, ...] = ("transcription",)) -> str:
    """``<name>@<version>`` of a model that is for one of ``tasks``. Raises InvalidRequest naming ``field``."""
    try:
        manifest = box.models.resolve(model_id).manifest
    except ModelNotFound as error:
        raise InvalidRequest(f"{field}: {error}") from error
    if manifest.task not in tasks:
        raise InvalidRequest(f"{field}: {manifest.id} is for {manifest.task}, not for {' or '.join(tasks)}.")
    return manifest.id


def request(
    box: Box,
    source: Media,
    *,
    model: str,
    options: dict[str, Any],
    batch_id: str | None = None,
    callback_url: str | None = None,
) -> str:
    """Ask for a transcript of media; its id. In a transaction. It waits where the media is not stored yet."""
    transcript_id = str(uuid.uuid4())
    stored = source.status == "stored"
    transcripts.insert_transcript(
        box.db,
        transcript_id,
        source.tenant_id,
        source.id,
        model=model,
        options=options,
        status="queued" if stored else "waiting",
        batch_id=batch_id,
        callback_url=callback_url,
    )
    if stored:
        work.enqueue(box.db, KIND, transcript_id, batch_id or transcript_id)
    return transcript_id


def media_stored(box: Box, media_id: str, leaving: str, size_bytes: int, etag: str) -> bool:
    """The bytes are in storage: what waits for them is queued. In a transaction. False where that was known."""
    if not media.mark_stored(box.db, media_id, leaving, size_bytes, etag):
        return False
    source = media.find_media(box.db, media_id)
    assert source is not None
    for waiting in transcripts.list_transcripts(box.db, source.tenant_id, media_id=media_id, status="waiting"):
        transcripts.mark_queued(box.db, waiting.id)
        work.enqueue(box.db, KIND, waiting.id, waiting.batch_id or waiting.id)
    return True


def media_failed(box: Box, media_id: str, leaving: str, code: str, message: str) -> bool:
    """The bytes will not come: what waits for them fails. In a transaction. False where that was known."""
    return fail_media(box.db, media_id, leaving, code, message)


def fail_media(db: Database, media_id: str, leaving: str, code: str, message: str) -> bool:
    """The same, as the kinds of work call it."""
    if not media.mark_failed(db, media_id, leaving, code, message):
        return False
    source = media.find_media(db, media_id)
    assert source is not None
    for waiting in transcripts.list_transcripts(db, source.tenant_id, media_id=media_id, status="waiting"):
        fail_transcript(db, waiting.id, "waiting", code, message)
    return True


def find(box: Box, tenant_id: int, transcript_id: str) -> Transcript:
    """The tenant's transcript. Raises NotFound."""
    found = transcripts.get_transcript(box.db, tenant_id, transcript_id)
    if found is None:
        raise NotFound("There is no such transcript.")
    return found


def find_completed(box: Box, tenant_id: int, transcript_id: str) -> Transcript:
    """The tenant's transcript with its result. Raises NotFound, and InvalidRequest where it is not completed."""
    found = find(box, tenant_id, transcript_id)
    if found.status != "completed":
        raise InvalidRequest(f"The transcript is {found.status}; this can be asked once it is completed.")
    return found


def load(box: Box, claimed: Work) -> tuple[Transcript, Media]:
    """What is to be done, and of what. Raises LeaseLost where it is gone."""
    found = transcripts.find_transcript(box.db, claimed.subject_id)
    source = media.find_media(box.db, found.media_id) if found else None
    if found is None or source is None:
        raise LeaseLost(f"Transcript {claimed.subject_id} is gone.")
    return found, source


def report_progress(box: Box, transcript_id: str, progress: float) -> None:
    """Note how far it is, 0 to 1."""
    with box.db.transaction():
        transcripts.set_progress(box.db, transcript_id, progress)


def complete(box: Box, claimed: Work, duration_ms: int, result: dict[str, Any]) -> None:
    """processing → completed with its result. Raises LeaseLost, and then nothing is written."""
    with box.db.transaction():
        work.finish(box.db, claimed)
        if not transcripts.mark_completed(box.db, claimed.subject_id, duration_ms, result):
            raise LeaseLost(f"Transcript {claimed.subject_id} is not in progress.")
        transcript_ended(box.db, claimed.subject_id)
