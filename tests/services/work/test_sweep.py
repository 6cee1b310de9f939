"""What happens by time alone: forms expire, leases run out, files stay behind in the spool."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from appliance.errors import StorageFull, StorageUnavailable
from appliance.services.box import Box
from appliance.services.datasets import audio
from appliance.services.datasets.datasets import create_dataset
from appliance.services.inference import files
from appliance.services.work.sweep import sweep
from appliance.state.audio import Audio
from appliance.state.inference_files import InferenceFile
from tests.services.datasets.recordings import request_audio
from tests.services.speech.arrivals import again, put_bytes, request_url
from tests.support.boxes import CALLBACK, CONTENT, DictionaryStore, claim, events, new_file, new_job, queued_work

LATE = 30 * 86_400  # seconds


def make_older(box: Box, seconds: float = LATE) -> None:
    """Move the expiry of every upload, and the creation of media, into the past."""
    with box.db.transaction() as tx:
        for table in ("inference_files", "audio", "media"):
            tx.change(
                f"UPDATE {table} SET upload_expires_at = upload_expires_at - ?, created_at = created_at - ?",
                [seconds, seconds],
            )


def swept_file(box: Box, content: bytes | None) -> InferenceFile:
    """A file that nobody confirmed, after a sweep long after its form expired."""
    job_id = new_job(box, CALLBACK)
    file_id = new_file(box, job_id, content, confirm=False)
    make_older(box)
    sweep(box)
    return files.get_file(box, 1, job_id, file_id).file


def swept_audio(box: Box, content: bytes | None) -> Audio:
    """Audio that nobody confirmed, after a sweep long after its form expired."""
    recording = request_audio(box, create_dataset(box, 1, "name", "").id, content)
    make_older(box)
    sweep(box)
    return audio.find_audio(box, 1, recording.dataset_id, recording.id)


def test_an_upload_that_nobody_confirmed_is_accepted(box: Box) -> None:
    file, recording = swept_file(box, CONTENT), swept_audio(box, CONTENT)
    assert (file.status, recording.status) == ("queued", "normalizing")
    assert queued_work(box) == [("inference", file.id), ("normalize", recording.id)]


def test_a_form_that_nobody_used_fails_its_file(box: Box) -> None:
    file, recording = swept_file(box, None), swept_audio(box, None)
    assert (file.status, file.error_code) == ("failed", "not_uploaded")
    assert (recording.status, recording.error_code) == ("failed", "not_uploaded")
    assert events(box) == ["file.failed", "job.completed"]
    sweep(box)
    assert events(box) == ["file.failed", "job.completed"]


def test_an_upload_of_another_size_fails_its_file(box: Box) -> None:
    file, recording = swept_file(box, CONTENT + b"!"), swept_audio(box, CONTENT[1:])
    for row in (file, recording):
        assert (row.status, row.error_code) == ("failed", "size_mismatch")
        assert f"but {len(CONTENT)} were declared" in (row.error_message or "")


@pytest.mark.parametrize("content", [None, CONTENT, CONTENT + b"!"])
def test_an_upload_whose_form_is_still_valid_is_left_alone(box: Box, content: bytes | None) -> None:
    job_id, dataset_id = new_job(box), create_dataset(box, 1, "name", "").id
    file_id = new_file(box, job_id, content, confirm=False)
    recording = request_audio(box, dataset_id, content)
    sweep(box)
    assert files.get_file(box, 1, job_id, file_id).file.status == "pending"
    assert audio.find_audio(box, 1, dataset_id, recording.id) == recording


def test_a_lease_that_ran_out_frees_its_work(box: Box) -> None:
    job_id = new_job(box)
    file_id, kept = new_file(box, job_id), new_file(box, job_id)
    lost, _ = claim(box), claim(box)
    with box.db.transaction() as tx:
        tx.change("UPDATE work SET lease_until = 1 WHERE id = ?", [lost.id])
    sweep(box)
    assert files.get_file(box, 1, job_id, file_id).file.status == "queued"
    assert files.get_file(box, 1, job_id, kept).file.status == "processing"
    again_claimed = claim(box)
    assert (again_claimed.subject_id, again_claimed.lost_leases) == (file_id, 1)


def test_presigned_uploads_are_settled(box: Box) -> None:
    (arrived, _, key), (missing, _, _) = request_url(box), request_url(box)
    put_bytes(box, key)
    make_older(box)
    sweep(box)
    assert (again(box, arrived).status, again(box, missing).status) == ("queued", "failed")


def test_files_that_an_interrupted_request_left_are_removed(box: Box) -> None:
    folder = box.settings.data_dir / "spool" / "interrupted"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"half a file")
    os.utime(folder, (1, 1))
    sweep(box)
    assert not folder.exists()


def damage(monkeypatch: pytest.MonkeyPatch, objects: DictionaryStore, key: str) -> None:
    """Make every read of an object fail, as storage does if its file is damaged."""

    def failing(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(called_key: str, *arguments: Any) -> Any:
            if called_key == key:
                raise StorageUnavailable("It cannot be read.")
            return method(called_key, *arguments)

        return call

    for name in ("stat", "fetch", "copy", "delete"):
        monkeypatch.setattr(objects, name, failing(getattr(objects, name)))


def test_a_damaged_upload_stops_no_other_and_fails_in_the_end(
    box: Box, objects: DictionaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, dataset_id = new_job(box), create_dataset(box, 1, "name", "").id
    file_id = new_file(box, job_id, confirm=False)
    damage(monkeypatch, objects, next(iter(objects.contents)))
    recording = request_audio(box, dataset_id, CONTENT)
    make_older(box, 3605)
    sweep(box)
    assert files.get_file(box, 1, job_id, file_id).file.status == "pending"
    assert audio.find_audio(box, 1, dataset_id, recording.id).status == "normalizing"
    make_older(box, 3605)
    sweep(box)
    file = files.get_file(box, 1, job_id, file_id).file
    assert (file.status, file.error_code) == ("failed", "object_damaged")


def test_a_damaged_presigned_upload_stops_no_other_and_fails_in_the_end(
    box: Box, objects: DictionaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (transcript_id, _, key), (other_id, _, other_key) = request_url(box), request_url(box)
    put_bytes(box, key)
    put_bytes(box, other_key)
    damage(monkeypatch, objects, key)
    make_older(box, 3605)
    sweep(box)
    assert (again(box, transcript_id).status, again(box, other_id).status) == ("waiting", "queued")
    make_older(box, 3605)
    sweep(box)
    assert (again(box, transcript_id).status, again(box, transcript_id).error_code) == ("failed", "object_damaged")


@pytest.mark.parametrize("error", [StorageUnavailable("It is away."), StorageFull("It is full.")])
def test_storage_that_is_away_or_full_fails_no_upload(
    box: Box, objects: DictionaryStore, monkeypatch: pytest.MonkeyPatch, error: StorageUnavailable
) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, confirm=False)
    make_older(box)

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(objects, "copy", fail)
        patch.setattr(objects, "ready", lambda: isinstance(error, StorageFull))
        with pytest.raises(type(error)):
            sweep(box)
    assert files.get_file(box, 1, job_id, file_id).file.status == "pending"
    sweep(box)
    assert files.get_file(box, 1, job_id, file_id).file.status == "queued"
