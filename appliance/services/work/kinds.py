"""The kinds of work: how the state of a subject follows the work on it.

Each function is called inside a transaction with the subject's id. What differs between kinds is here and in the
worker's handlers; the queue, the leases and the retries are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.services.inference.endings import fail_file
from appliance.services.speech.endings import fail_transcript
from appliance.services.speech.transcripts import fail_media
from appliance.state import audio, inference_files, transcripts, webhooks
from appliance.state.database import Database


@dataclass(frozen=True)
class Kind:
    """``start`` when work is claimed, ``requeue`` when it goes back, ``fail`` (code, message) when it is given up.

    False where the subject is not in the state that it would leave.
    """

    start: Callable[[Database, str], bool]
    requeue: Callable[[Database, str], bool]
    fail: Callable[[Database, str, str, str], bool]


def _stays(db: Database, subject_id: str) -> bool:
    """The subject's state does not tell waiting from running."""
    return True


KINDS = {
    "inference": Kind(
        start=inference_files.mark_processing,
        requeue=inference_files.mark_requeued,
        fail=lambda db, subject_id, code, message: fail_file(db, subject_id, "processing", code, message),
    ),
    "normalize": Kind(
        start=_stays,
        requeue=_stays,
        fail=lambda db, subject_id, code, message: audio.mark_failed(db, subject_id, "normalizing", code, message),
    ),
    "embed": Kind(
        start=_stays,
        requeue=_stays,
        fail=lambda db, subject_id, code, message: audio.mark_failed(db, subject_id, "embedding", code, message),
    ),
    "transcription": Kind(
        start=transcripts.mark_processing,
        requeue=transcripts.mark_requeued,
        fail=lambda db, subject_id, code, message: fail_transcript(db, subject_id, "processing", code, message),
    ),
    "webhook": Kind(
        start=_stays,
        requeue=_stays,
        fail=lambda db, subject_id, code, message: webhooks.mark_failed(db, subject_id, None, message),
    ),
    "store": Kind(
        start=_stays,
        requeue=_stays,
        fail=lambda db, subject_id, code, message: fail_media(db, subject_id, "spooled", code, message),
    ),
    # Its subject is not a row but the folder of a recording that is gone.
    "purge": Kind(start=_stays, requeue=_stays, fail=lambda db, subject_id, code, message: True),
}
