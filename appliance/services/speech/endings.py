"""The end of a transcript: its new status and the webhook that reports it, in one transaction."""

from __future__ import annotations

from appliance.services.speech.outcome import outcome
from appliance.services.webhooks.events import announce
from appliance.state import media, transcripts
from appliance.state.database import Database


def fail_transcript(db: Database, transcript_id: str, leaving: str, code: str, message: str) -> bool:
    """``leaving`` → failed, told to the transcript's callback."""
    if not transcripts.mark_failed(db, transcript_id, leaving, code, message):
        return False
    transcript_ended(db, transcript_id)
    return True


def transcript_ended(db: Database, transcript_id: str) -> None:
    """Tell of a transcript that is completed or failed."""
    ended = transcripts.find_transcript(db, transcript_id)
    if ended is None or ended.callback_url is None:
        return
    source = media.find_media(db, ended.media_id)
    assert source is not None
    announce(db, ended.tenant_id, ended.callback_url, f"transcription.{ended.status}", outcome(ended, source))
