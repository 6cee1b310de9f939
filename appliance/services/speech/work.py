"""The work on a transcript."""

from __future__ import annotations

from typing import Any

from appliance.errors import SubjectGone, UnexpectedStatus
from appliance.services.box import Box
from appliance.services.kind import Kind
from appliance.services.speech.endings import fail_transcript, transcript_ended
from appliance.state import media as media_rows
from appliance.state import transcripts as transcript_rows
from appliance.state import work as queue
from appliance.state.media import Media
from appliance.state.transcripts import Transcript
from appliance.state.work import Work

TRANSCRIPTION = Kind(
    "transcription",
    start=transcript_rows.mark_processing,
    release=transcript_rows.mark_released,
    fail=lambda tx, transcript_id, code, message: fail_transcript(tx, transcript_id, "processing", code, message),
)


def load_transcript(box: Box, work: Work) -> tuple[Transcript, Media]:
    """Return the transcript that the work is about, and its media. Raises SubjectGone."""
    transcript = transcript_rows.find_transcript(box.db, work.subject_id)
    media = media_rows.find_media(box.db, transcript.media_id) if transcript else None
    if transcript is None or media is None:
        raise SubjectGone(f"The transcript {work.subject_id} was deleted.")
    return transcript, media


def report_progress(box: Box, transcript_id: str, progress: float) -> None:
    """Store the progress of a transcript, 0 to 1."""
    with box.db.transaction() as tx:
        transcript_rows.set_progress(tx, transcript_id, progress)


def complete(box: Box, work: Work, duration_ms: int, result: dict[str, Any]) -> None:
    """Complete the transcript with its result. If this raises LeaseLost or UnexpectedStatus, nothing is written."""
    with box.db.transaction() as tx:
        queue.finish(tx, work)
        if not transcript_rows.mark_completed(tx, work.subject_id, duration_ms, result):
            raise UnexpectedStatus(f"The transcript {work.subject_id} is not in processing.")
        transcript_ended(tx, work.subject_id)
