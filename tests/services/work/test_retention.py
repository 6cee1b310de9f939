"""Retention: what is deleted when, and what stays."""

from __future__ import annotations

import pytest

from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import Conflict, InvalidRequest, NotFound, NotUploaded
from appliance.services.box import Box
from appliance.services.datasets.audio import find_audio
from appliance.services.datasets.datasets import create_dataset
from appliance.services.inference import files, jobs
from appliance.services.purge import purge
from appliance.services.speech import raw, raw_transcripts
from appliance.services.speech.raw_transcripts import Callback
from appliance.services.tenants import set_retention
from appliance.services.work.sweep import sweep
from appliance.state import inference_files
from appliance.state import objects as object_rows
from appliance.state import transcripts as transcript_rows
from appliance.state.inference_files import InferenceFile
from appliance.state.media import Media
from appliance.state.transcripts import Transcript
from tests.services.datasets.recordings import ready_audio
from tests.services.speech.arrivals import (
    again,
    batch_file,
    complete,
    media_of,
    model_of,
    new_transcript,
    put_bytes,
    request_url,
    stored_media,
)
from tests.support.boxes import CONTENT, ORIGIN, DictionaryStore, claim, new_file, new_job, queued_work, with_settings

DAY_SECONDS = 86_400.0
STAMPED = {
    "inference_files": ("created_at", "updated_at"),
    "inference_jobs": ("created_at", "updated_at"),
    "media": ("created_at", "updated_at", "unused_since"),
    "transcripts": ("created_at", "updated_at"),
    "audio": ("created_at", "updated_at"),
}


def after_days(box: Box, days: float, **settings: float) -> None:
    """Make every row older, sweep with these settings, and delete the objects whose deletion was queued."""
    with box.db.transaction() as tx:
        for table, stamps in STAMPED.items():
            for stamp in stamps:
                tx.change(f"UPDATE {table} SET {stamp} = {stamp} - ?", [days * DAY_SECONDS])
    sweep(with_settings(box, **settings))
    while work := [kind for kind, _ in queued_work(box) if kind == "purge"]:
        for _ in work:
            purge(box, claim(box, "purge"))


def job_with_file(box: Box) -> tuple[str, InferenceFile]:
    """A cancelled job, and its file with stored bytes."""
    job_id = new_job(box)
    file_id = new_file(box, job_id)
    jobs.cancel_job(box, 1, job_id)
    return job_id, files.get_file(box, 1, job_id, file_id).file


def completed_media(box: Box) -> Media:
    """Media with a completed transcript."""
    media = stored_media(box)
    new_transcript(box, media)
    complete(box)
    return media


def transcripts_of(box: Box, media: Media) -> list[Transcript]:
    """The transcripts of media as they are now."""
    return transcript_rows.list_of_media(box.db, media.id)


def test_everything_is_kept_unless_the_operator_sets_a_time(box: Box, objects: DictionaryStore) -> None:
    job_id, file = job_with_file(box)
    media = completed_media(box)
    unused = batch_file(box)
    after_days(box, 10_000)
    assert jobs.get_job(box, 1, job_id).job.total_files == 1
    assert {file.object_key, media.object_key, unused.object_key} == set(objects.contents)


def test_originals_go_after_their_time_and_results_stay(box: Box, objects: DictionaryStore) -> None:
    job_id, file = job_with_file(box)
    media = completed_media(box)
    after_days(box, 1, retention_originals_days=2)
    assert {file.object_key, media.object_key} == set(objects.contents)
    after_days(box, 1.1, retention_originals_days=2)
    assert objects.contents == {}
    assert files.get_file(box, 1, job_id, file.id).file.status == "cancelled"
    with pytest.raises(NotUploaded, match="no longer stored"):
        files.download_url(box, 1, job_id, file.id, ORIGIN)
    [transcript] = transcripts_of(box, media)
    assert transcript.status == "completed"
    after_days(box, 1, retention_originals_days=2)
    assert queued_work(box) == []  # each original is deleted once


def test_results_go_after_their_time_with_their_originals(box: Box, objects: DictionaryStore) -> None:
    job_id, _ = job_with_file(box)
    media = completed_media(box)
    after_days(box, 1, retention_results_days=2)
    assert len(objects.contents) == 2
    after_days(box, 1.1, retention_results_days=2)
    assert objects.contents == {}
    with pytest.raises(NotFound):
        jobs.get_job(box, 1, job_id)
    assert transcripts_of(box, media) == []


@pytest.mark.parametrize("setting", ["retention_originals_days", "retention_results_days"])
def test_what_has_not_ended_is_kept(box: Box, objects: DictionaryStore, setting: str) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id)
    media = stored_media(box)
    transcript = new_transcript(box, media)
    put, _, key = request_url(box)
    put_bytes(box, key)
    after_days(box, 100, **{setting: 1})
    assert files.get_file(box, 1, job_id, file_id).file.status == "queued"
    assert (again(box, transcript).status, again(box, put).status) == ("queued", "queued")
    assert {media.object_key, media_of(box, put).object_key} <= set(objects.contents)
    assert len(objects.contents) == 3


@pytest.mark.parametrize("setting", ["retention_originals_days", "retention_results_days"])
def test_media_is_kept_until_the_newest_of_its_transcripts_is_old(
    box: Box, objects: DictionaryStore, setting: str
) -> None:
    media = completed_media(box)
    after_days(box, 100)
    second = new_transcript(box, media)
    complete(box)
    after_days(box, 0, **{setting: 1})
    assert (again(box, second).status, set(objects.contents)) == ("completed", {media.object_key})
    after_days(box, 1.1, **{setting: 1})
    assert objects.contents == {}


def test_a_recording_whose_bytes_are_gone_cannot_be_transcribed_again(box: Box) -> None:
    media = completed_media(box)
    after_days(box, 2, retention_originals_days=1)
    with pytest.raises(Conflict, match="no longer stored"):
        raw_transcripts.transcribe(box, 1, media.id, model_of(box), {}, Callback())


def test_while_storage_deletes_an_original_no_other_recording_can_lose_its_bytes(
    box: Box, objects: DictionaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transcript that is requested then is refused. Otherwise it would fail, because its bytes are deleted next."""
    recordings = [completed_media(box), completed_media(box)]
    refused = []

    def delete(key: str) -> None:
        for media in recordings:
            with pytest.raises(Conflict):
                new_transcript(box, raw.find_media(box, 1, media.id))
            refused.append(media.id)
        objects.contents.pop(key)

    monkeypatch.setattr(objects, "delete", delete)
    after_days(box, 2, retention_originals_days=1)
    assert len(refused) == 4


def test_a_late_upload_is_kept_as_long_as_any_other(box: Box, objects: DictionaryStore) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, None, confirm=False)
    with box.db.transaction() as tx:
        tx.change("UPDATE inference_files SET upload_expires_at = 1")
    after_days(box, 0)
    after_days(box, 2, retention_originals_days=1)  # the failed file has no bytes, which is noted
    upload_key = files.get_file(box, 1, job_id, file_id).file.upload_key
    assert upload_key
    box.objects.put(upload_key, CONTENT, content_type="audio/wav")
    files.confirm_upload(box, 1, job_id, file_id)
    jobs.cancel_job(box, 1, job_id)
    assert len(objects.contents) == 1
    after_days(box, 2, retention_originals_days=1)
    assert objects.contents == {}


def test_datasets_are_never_swept(box: Box, objects: DictionaryStore) -> None:
    dataset_id = create_dataset(box, 1, "name", "").id
    audio_id = ready_audio(box, dataset_id)
    before = set(objects.contents)
    after_days(box, 10_000, retention_originals_days=1, retention_results_days=1)
    assert find_audio(box, 1, dataset_id, audio_id).status == "ready"
    assert set(objects.contents) == before


def test_a_raw_upload_that_no_transcript_used_goes_after_two_days(box: Box, objects: DictionaryStore) -> None:
    unused, of_a_batch = stored_media(box), batch_file(box)
    used = completed_media(box)
    after_days(box, 1.9)
    assert len(objects.contents) == 3
    after_days(box, 0.2)
    assert set(objects.contents) == {used.object_key, of_a_batch.object_key}
    assert transcripts_of(box, unused) == []


def test_scores_and_originals_have_retentions_of_their_own(box: Box, objects: DictionaryStore) -> None:
    job_id, file = job_with_file(box)
    stored = box.objects.put(file.scores_key, b"scores", content_type="application/zip")
    assert not object_rows.is_named(box.db, file.scores_key)
    with box.db.transaction() as tx:
        inference_files.set_scores(tx, file.id, stored.etag, stored.size_bytes)
    after_days(box, 2, retention_originals_days=1)
    assert [*objects.contents] == [file.scores_key]
    assert object_rows.is_named(box.db, file.scores_key)
    after_days(box, 1, retention_scores_days=5)
    assert [*objects.contents] == [file.scores_key]
    after_days(box, 3, retention_scores_days=5)
    assert objects.contents == {}
    now = files.get_file(box, 1, job_id, file.id).file
    assert (now.scores_etag, now.scores_bytes) == (None, None)
    assert not object_rows.is_named(box.db, file.scores_key)


def test_a_tenant_may_have_days_of_its_own(box: Box) -> None:
    mine, theirs = new_job(box), jobs.create_job(box, 2, "loud-frames", DetectionConfig()).job.id
    for tenant_id, job_id in ((1, mine), (2, theirs)):
        jobs.cancel_job(box, tenant_id, job_id)
    set_retention(box.db, 1, None, None, 0)  # keeps all
    set_retention(box.db, 2, None, None, 3)
    after_days(box, 2, retention_results_days=1)
    assert jobs.find_job(box, 1, mine)
    assert jobs.find_job(box, 2, theirs)
    with box.db.transaction() as tx:
        tx.change("UPDATE chores SET ended_at = ended_at - 601")  # days of tenants are looked at every ten minutes
    after_days(box, 2, retention_results_days=1)
    assert jobs.find_job(box, 1, mine)
    with pytest.raises(NotFound):
        jobs.find_job(box, 2, theirs)
    set_retention(box.db, 1, None, None, None)
    after_days(box, 0, retention_results_days=1)
    with pytest.raises(NotFound):
        jobs.find_job(box, 1, mine)


def test_originals_of_a_tenant_are_deleted_after_its_days(box: Box) -> None:
    job_id, file = job_with_file(box)
    set_retention(box.db, 1, 1, None, None)
    after_days(box, 2)
    with pytest.raises(NotUploaded):
        files.download_url(box, 1, job_id, file.id, ORIGIN)
    assert jobs.find_job(box, 1, job_id)


def test_days_that_are_no_days_are_refused(box: Box) -> None:
    with pytest.raises(InvalidRequest, match="originals_days"):
        set_retention(box.db, 1, -1, None, None)
    with pytest.raises(NotFound):
        set_retention(box.db, 99, 1, None, None)
