"""The batch route: what a batch is made of, and the status that its transcripts give it."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from appliance.errors import InvalidRequest, NotFound
from appliance.services.box import Box
from appliance.services.speech import batch, batch_uploads
from appliance.services.speech.durations import Durations
from appliance.services.speech.media import fail_media
from appliance.state.moves import TranscriptStatus
from tests.services.speech.arrivals import Incoming, batch_file, model_of, new_transcript, stored_media
from tests.support.boxes import queued_work


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ("waiting", "pending"),
        ("queued", "pending"),
        ("waiting queued", "pending"),
        ("processing", "processing"),
        ("queued processing", "processing"),
        ("queued completed", "processing"),
        ("waiting failed", "processing"),
        ("processing completed failed", "processing"),
        ("completed", "completed"),
        ("completed failed", "completed"),
        ("failed", "failed"),
        ("failed failed", "failed"),
    ],
)
def test_the_status_of_a_batch_follows_from_its_transcripts(box: Box, statuses: str, expected: str) -> None:
    media = batch_file(box)
    transcript = new_transcript(box, media)
    items = [(replace(transcript, status=cast(TranscriptStatus, status)), media) for status in statuses.split()]
    assert batch.BatchReport("b", items).status == expected


def test_named_files_are_transcribed_once_each_in_their_order(box: Box) -> None:
    first, second = batch_file(box), batch_file(box)
    report = batch.create_batch(box, 1, None, [second.id, first.id, second.id], None)
    assert [media.id for _, media in report.items] == [second.id, first.id]
    assert {transcript.model for transcript, _ in report.items} == {model_of(box)}
    assert [subject for _, subject in queued_work(box)] == [transcript.id for transcript, _ in report.items]
    assert batch.find_batch(box, 1, report.id) == report


def test_an_upload_is_transcribed_before_its_files_are_in_storage(box: Box, durations: Durations) -> None:
    upload = batch_uploads.accept(box, durations, 1, [Incoming(), Incoming()])
    report = batch.create_batch(box, 1, upload.id, None, None)
    assert [media.id for _, media in report.items] == [media.id for media in upload.files]
    assert (report.status, {transcript.status for transcript, _ in report.items}) == ("pending", {"waiting"})


@pytest.mark.parametrize("file_ids", [None, []])
def test_a_request_names_an_upload_or_files(box: Box, file_ids: list[str] | None) -> None:
    with pytest.raises(InvalidRequest, match="name an upload that has files, files or URLs"):
        batch.create_batch(box, 1, None, file_ids, None)


def test_an_upload_and_named_files_are_combined_and_each_is_transcribed_once(box: Box, durations: Durations) -> None:
    upload = batch_uploads.accept(box, durations, 1, [Incoming(), Incoming()])
    other = batch_file(box)
    report = batch.create_batch(box, 1, upload.id, [upload.files[0].id, other.id], None)
    assert [media.id for _, media in report.items] == [*(media.id for media in upload.files), other.id]


def test_a_file_of_another_route_is_not_found(box: Box) -> None:
    with pytest.raises(NotFound):
        batch.create_batch(box, 1, None, [stored_media(box).id], None)


def test_failed_files_of_an_upload_are_left_out(box: Box, durations: Durations) -> None:
    upload = batch_uploads.accept(box, durations, 1, [Incoming(b""), Incoming()])
    report = batch.create_batch(box, 1, upload.id, None, None)
    assert [media.id for _, media in report.items] == [upload.files[1].id]
    with pytest.raises(InvalidRequest, match="its upload failed: The file has no bytes"):
        batch.create_batch(box, 1, None, [upload.files[0].id], None)


def test_unknown_files_and_those_of_another_tenant_are_not_found(box: Box, durations: Durations) -> None:
    mine, theirs = batch_file(box), batch_file(box, 2)
    upload = batch_uploads.accept(box, durations, 2, [Incoming()])
    for file_ids in ([mine.id, "none"], [mine.id, theirs.id]):
        with pytest.raises(NotFound, match=file_ids[1]):
            batch.create_batch(box, 1, None, file_ids, None)
    for upload_id in ("none", upload.id):
        with pytest.raises(NotFound):
            batch.create_batch(box, 1, upload_id, None, None)
    assert queued_work(box, "store") == []


def test_one_named_file_whose_upload_failed_keeps_out_the_whole_batch(box: Box, durations: Durations) -> None:
    good, bad = batch_uploads.accept(box, durations, 1, [Incoming(), Incoming()]).files
    with box.db.transaction() as tx:
        fail_media(tx, bad.id, "spooled", "object_missing", "It is gone.")
    with pytest.raises(InvalidRequest, match=f"{bad.id}: its upload failed: It is gone"):
        batch.create_batch(box, 1, None, [good.id, bad.id], None)
    assert box.db.all("SELECT 1 FROM transcripts") == []


def test_a_model_for_detection_is_refused(box: Box) -> None:
    with pytest.raises(InvalidRequest, match=r"model: loud-frames@1\.0\.0 is for detection"):
        batch.create_batch(box, 1, None, [batch_file(box).id], "loud-frames")


def test_the_batch_of_another_tenant_is_not_found(box: Box) -> None:
    report = batch.create_batch(box, 1, None, [batch_file(box).id], None)
    for tenant_id, batch_id in ((2, report.id), (1, "none")):
        with pytest.raises(NotFound):
            batch.find_batch(box, tenant_id, batch_id)
