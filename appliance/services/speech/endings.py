"""The end of a transcript and the webhook that reports it, in one transaction."""

from __future__ import annotations

from appliance.services.speech.outcome import outcome, transcription_in_seconds
from appliance.services.webhooks.events import announce, announce_as
from appliance.state import media as media_rows
from appliance.state import transcripts as transcript_rows
from appliance.state.database import Transaction
from appliance.state.moves import TranscriptStatus


def fail_transcript(tx: Transaction, transcript_id: str, leaving: TranscriptStatus, code: str, message: str) -> bool:
    """Move a transcript from ``leaving`` to failed and queue the webhook of its end."""
    if not transcript_rows.mark_failed(tx, transcript_id, leaving, code, message):
        return False
    transcript_ended(tx, transcript_id)
    return True


def transcript_ended(tx: Transaction, transcript_id: str) -> None:
    """Queue the webhook ``transcription.completed`` or ``transcription.failed``, if the transcript has a callback.

    Receivers of the raw route get the body that the hosted service sends, and the header that the client chose.
    """
    transcript = transcript_rows.find_transcript(tx, transcript_id)
    if transcript is None or transcript.callback_url is None:
        return
    event_type = f"transcription.{transcript.status}"
    if transcript.route == "raw":
        name, value = transcript.callback_header_name, transcript.callback_header_value
        body = {"transcript_id": transcript.id, "status": "error" if transcript.status == "failed" else "completed"}
        header = (name, value) if name and value else None
        announce_as(tx, transcript.tenant_id, transcript.id, transcript.callback_url, event_type, body, header)
        return
    media = media_rows.find_media(tx, transcript.media_id)
    assert media is not None
    # Where receivers of the hosted service look for the result.
    beside = {"requestId": transcript.id, "transcription": transcription_in_seconds(transcript)}
    data = outcome(transcript, media)
    announce(tx, transcript.tenant_id, transcript.id, transcript.callback_url, event_type, data, beside)
