"""Transcripts: when they wait and when they are queued, which models they take, how they are listed."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.errors import CorruptAudio, InvalidRequest, LeaseLost, NotFound, SubjectGone, UnexpectedStatus
from appliance.rfc3339 import rfc3339
from appliance.services.box import Box
from appliance.services.speech import media as media_service
from appliance.services.speech import raw_transcripts, transcripts
from appliance.services.speech import work as speech_work
from appliance.services.work import leases
from appliance.state import transcripts as transcript_rows
from tests.services.speech.arrivals import (
    RESULT,
    again,
    complete,
    media_of,
    model_of,
    new_transcript,
    request_url,
    stored_media,
)
from tests.support.boxes import CALLBACK, SPEECH_MODEL, claim, events, lose_lease, queued_work, snapshot


def listed(box: Box, **values: Any) -> list[str]:
    """The ids of a page of the tenant 1's transcripts."""
    defaults = {"statuses": (), "created_on": None, "before_id": None, "after_id": None, "limit": 10}
    return [transcript.id for transcript in raw_transcripts.list_page(box, 1, **defaults | values)]


def test_a_transcript_of_stored_media_is_queued_at_once(box: Box) -> None:
    transcript = new_transcript(box, stored_media(box))
    assert (transcript.status, transcript.progress) == ("queued", 0)
    assert queued_work(box) == [("transcription", transcript.id)]


def test_transcripts_wait_until_their_media_is_stored(box: Box) -> None:
    first, media, _ = request_url(box)
    second = new_transcript(box, media)
    assert (first.status, second.status, queued_work(box)) == ("waiting", "waiting", [])
    with box.db.transaction() as tx:
        assert media_service.media_stored(tx, media.id, "pending", 5, "tag")
    assert (again(box, first).status, again(box, second).status) == ("queued", "queued")
    assert {subject for _, subject in queued_work(box)} == {first.id, second.id}


def test_transcripts_fail_with_their_media_and_for_its_reason(box: Box) -> None:
    first, media, _ = request_url(box, callback_url=CALLBACK)
    second = new_transcript(box, media)
    with box.db.transaction() as tx:
        assert media_service.fail_media(tx, media.id, "pending", "empty_file", "No bytes.")
    for transcript in (again(box, first), again(box, second)):
        assert (transcript.status, transcript.error_code, transcript.error_message) == (
            "failed",
            "empty_file",
            "No bytes.",
        )
    assert events(box) == ["transcription.failed"]


def test_media_arrives_once(box: Box) -> None:
    transcript, media, _ = request_url(box)
    with box.db.transaction() as tx:
        assert media_service.media_stored(tx, media.id, "pending", 5, "tag")
        assert not media_service.media_stored(tx, media.id, "pending", 6, "other")
        assert not media_service.fail_media(tx, media.id, "pending", "not_uploaded", "Never.")
    assert again(box, transcript).status == "queued"
    assert media_of(box, transcript).etag == "tag"


def test_a_model_is_resolved_to_its_version(box: Box) -> None:
    assert transcripts.resolve_model(box, 1, SPEECH_MODEL, "model") == model_of(box)
    both = ("transcription", "detection")
    assert transcripts.resolve_model(box, 1, "loud-frames", "model", both) == "loud-frames@1.0.0"


@pytest.mark.parametrize(
    ("model_id", "message"),
    [
        ("none", "modelId: There is no model 'none'"),
        ("loud-frames", "modelId: loud-frames@1.0.0 is for detection, not for transcription"),
    ],
)
def test_a_model_for_something_else_is_refused_with_the_name_of_the_field(
    box: Box, model_id: str, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        transcripts.resolve_model(box, 1, model_id, "modelId")


def test_the_transcript_of_another_tenant_is_not_found(box: Box) -> None:
    transcript = new_transcript(box, stored_media(box))
    for find in (raw_transcripts.find, raw_transcripts.find_completed):
        with pytest.raises(NotFound):
            find(box, 2, transcript.id)
    with pytest.raises(InvalidRequest, match="before_id: there is no such transcript"):
        raw_transcripts.list_page(box, 2, statuses=(), created_on=None, before_id=transcript.id, after_id=None, limit=1)


def test_a_result_can_be_read_once_the_transcript_is_completed(box: Box) -> None:
    transcript = new_transcript(box, stored_media(box))
    with pytest.raises(InvalidRequest, match="The transcript is queued"):
        raw_transcripts.find_completed(box, 1, transcript.id)
    complete(box)
    completed = raw_transcripts.find_completed(box, 1, transcript.id)
    assert (completed.result, completed.duration_ms, completed.progress) == (RESULT, 1000, 1)


def test_transcripts_are_listed_between_two_others_with_the_newest_first(box: Box) -> None:
    media = stored_media(box)
    a, b, c, d, e = (new_transcript(box, media).id for _ in range(5))
    new_transcript(box, stored_media(box, 2))
    assert listed(box) == [e, d, c, b, a]
    assert listed(box, limit=2) == [e, d]
    assert listed(box, before_id=d, limit=2) == [c, b]
    assert listed(box, after_id=b, limit=2) == [d, c]  # those nearest above it
    assert listed(box, before_id=e, after_id=b) == [d, c]
    assert listed(box, after_id=e) == []


def test_transcripts_are_listed_by_status_and_by_day(box: Box) -> None:
    media = stored_media(box)
    done, queued = new_transcript(box, media).id, new_transcript(box, media).id
    complete(box)
    assert listed(box, statuses=("completed",)) == [done]
    assert listed(box, statuses=("completed", "queued")) == [queued, done]
    assert listed(box, statuses=("failed",)) == []
    with box.db.transaction() as tx:
        tx.change("UPDATE transcripts SET created_at = created_at - 86400 WHERE id = ?", [done])
        [row] = tx.all("SELECT created_at FROM transcripts WHERE id = ?", [done])
    yesterday = rfc3339(row["created_at"])[:10]
    assert listed(box, created_on=yesterday) == [done]


def test_progress_is_kept_while_a_transcript_is_in_processing(box: Box) -> None:
    transcript = new_transcript(box, stored_media(box))
    speech_work.report_progress(box, transcript.id, 0.5)
    assert again(box, transcript).progress == 0
    work = claim(box)
    speech_work.report_progress(box, transcript.id, 0.5)
    assert again(box, transcript).progress == 0.5
    leases.retry(box, work, CorruptAudio("Again."), counts=False)
    assert (again(box, transcript).status, again(box, transcript).progress) == ("queued", 0)


@pytest.mark.parametrize("error", [LeaseLost, UnexpectedStatus])
def test_without_the_lease_or_in_another_status_nothing_is_written(box: Box, error: type[Exception]) -> None:
    transcript = new_transcript(box, stored_media(box), callback_url=CALLBACK)
    work = claim(box)
    if error is LeaseLost:
        lose_lease(box, work)
    else:
        with box.db.transaction() as tx:
            transcript_rows.mark_released(tx, transcript.id)
    before = snapshot(box)
    with pytest.raises(error):
        speech_work.complete(box, work, 1000, RESULT)
    assert snapshot(box) == before


def test_an_end_is_announced_once_with_the_result(box: Box) -> None:
    media = stored_media(box)
    new_transcript(box, media, callback_url=CALLBACK)
    complete(box)
    new_transcript(box, media, callback_url=CALLBACK)
    leases.fail(box, claim(box, "transcription"), CorruptAudio("Not a recording."))
    new_transcript(box, media)
    complete(box)
    assert events(box) == ["transcription.completed", "transcription.failed"]


def test_the_work_on_a_deleted_transcript_is_gone(box: Box) -> None:
    transcript = new_transcript(box, stored_media(box))
    work = claim(box)
    loaded, media = speech_work.load_transcript(box, work)
    assert (loaded.id, media.id) == (transcript.id, transcript.media_id)
    raw_transcripts.delete(box, transcript)
    with pytest.raises(SubjectGone):
        speech_work.load_transcript(box, work)
