"""Media of the speech routes: where its bytes are, and what follows when they have arrived or will not arrive."""

from __future__ import annotations

from appliance.log import request_scope
from appliance.services.purge import enqueue_purge
from appliance.services.speech.endings import fail_transcript
from appliance.services.speech.work import TRANSCRIPTION
from appliance.state import media as media_rows
from appliance.state import transcripts as transcript_rows
from appliance.state.database import Transaction
from appliance.state.moves import MediaStatus


def object_key_of(tenant_id: int, media_id: str) -> str:
    """Return the object key of a recording's bytes."""
    return f"{_folder_of(tenant_id, media_id)}/original"


def media_stored(
    tx: Transaction, media_id: str, leaving: MediaStatus, size_bytes: int, etag: str, object_key: str | None = None
) -> bool:
    """Note that the bytes are in storage, and queue every transcript that waits for them.

    Returns False if the media has left ``leaving``: then somebody else has noted it.
    """
    if not media_rows.mark_stored(tx, media_id, leaving, size_bytes, etag, object_key):
        return False
    for transcript in transcript_rows.list_of_media(tx, media_id, "waiting"):
        transcript_rows.mark_queued(tx, transcript.id)
        with request_scope(transcript.request_id):
            TRANSCRIPTION.enqueue(tx, transcript.tenant_id, transcript.batch_id or transcript.id, transcript.id)
    return True


def fail_media(tx: Transaction, media_id: str, leaving: MediaStatus, code: str, message: str) -> bool:
    """Note that the bytes will not arrive, and fail every transcript that waits for them.

    Returns False if the media has left ``leaving``.
    """
    if not media_rows.mark_failed(tx, media_id, leaving, code, message):
        return False
    for transcript in transcript_rows.list_of_media(tx, media_id, "waiting"):
        with request_scope(transcript.request_id):
            fail_transcript(tx, transcript.id, "waiting", code, message)
    return True


def delete_media(tx: Transaction, tenant_id: int, media_id: str) -> None:
    """Remove media with its transcripts and their work; the worker then deletes its bytes."""
    for transcript in transcript_rows.list_of_media(tx, media_id):
        transcript_rows.delete_transcript(tx, transcript.id)
    media_rows.delete_media(tx, media_id)
    purge_media(tx, tenant_id, media_id)


def purge_media(tx: Transaction, tenant_id: int, media_id: str) -> None:
    """Queue the deletion of a recording's bytes."""
    enqueue_purge(tx, tenant_id, _folder_of(tenant_id, media_id))


def _folder_of(tenant_id: int, media_id: str) -> str:
    return f"tenant-{tenant_id}/media/{media_id}"
