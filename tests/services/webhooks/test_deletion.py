"""What is deleted is no longer sent, and its text does not stay in the database."""

from __future__ import annotations

import pytest

from appliance.errors import SubjectGone
from appliance.services.box import Box
from appliance.services.inference import files, jobs
from appliance.services.inference import work as inference_work
from appliance.services.speech import transcripts
from appliance.services.speech.endings import transcript_ended
from appliance.services.speech.media import delete_media
from appliance.services.webhooks import events as webhooks
from appliance.state import media as media_rows
from appliance.state import transcripts as transcript_rows
from tests.support.boxes import CALLBACK, CONTENT, SPEECH_MODEL, claim, events, new_file, new_job, queued_work

SECRET_TEXT = "what nobody may read once it is deleted"


def completed_file(box: Box, job_id: str) -> str:
    """A completed file whose end is announced."""
    file_id = new_file(box, job_id)
    inference_work.complete(box, claim(box, "inference"), 1000, [])
    return file_id


def completed_transcript(box: Box) -> tuple[str, str]:
    """The ids of a completed transcript, whose end is announced with its text, and of its media."""
    with box.db.transaction() as tx:
        media_rows.insert_media(
            tx, "m", 1, route="presigned", status="pending", object_key="k", original_filename="a.wav"
        )
        media_rows.mark_stored(tx, "m", "pending", len(CONTENT), "tag")
        media = media_rows.find_media(tx, "m")
        assert media is not None
        model = transcripts.resolve_model(box, 1, SPEECH_MODEL, "model", ("transcription",))
        transcript_id = transcripts.create_transcript(tx, media, model=model, options={}, callback_url=CALLBACK)
        transcript_rows.mark_processing(tx, transcript_id)
        result = {"text": SECRET_TEXT, "segments": [], "words": []}
        transcript_rows.mark_completed(tx, transcript_id, 1000, result)
        transcript_ended(tx, transcript_id)
    return transcript_id, "m"


def test_a_deleted_file_takes_its_own_webhooks_with_it(box: Box) -> None:
    job_id = new_job(box, CALLBACK)
    first, second = completed_file(box, job_id), completed_file(box, job_id)
    files.delete_file(box, 1, job_id, first)
    deliveries, _ = webhooks.list_deliveries(box, 1, status=None, before=None, limit=10)
    assert not any(first in delivery.payload for delivery in deliveries)
    assert any(second in delivery.payload for delivery in deliveries)
    assert {subject for _, subject in queued_work(box, "purge")} == {delivery.id for delivery in deliveries}


def test_a_deleted_job_takes_its_webhooks_with_it(box: Box) -> None:
    job_id, other_id = new_job(box, CALLBACK), new_job(box, CALLBACK)
    completed_file(box, job_id)
    completed_file(box, other_id)
    sending = claim(box, "webhook")
    jobs.purge_job(box, 1, job_id)
    assert events(box) == ["file.completed", "job.completed"]
    assert len(queued_work(box, "purge")) == 2
    with pytest.raises(SubjectGone):
        webhooks.deliver(box, sending)


def test_a_deleted_transcript_leaves_no_text_anywhere(box: Box) -> None:
    _, media_id = completed_transcript(box)
    assert SECRET_TEXT in webhooks.list_deliveries(box, 1, status=None, before=None, limit=1)[0][0].payload
    assert SECRET_TEXT.encode() in database_bytes(box)
    with box.db.transaction() as tx:
        delete_media(tx, 1, media_id)
    assert events(box) == []
    assert queued_work(box, "purge") == []
    assert SECRET_TEXT.encode() not in database_bytes(box)


def database_bytes(box: Box) -> bytes:
    """The bytes of the database's file, after all that is in its log has been written to it."""
    box.db.one("PRAGMA wal_checkpoint(TRUNCATE)")
    return box.db.path.read_bytes()
