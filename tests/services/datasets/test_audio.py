"""Audio of datasets: request, confirm, list, download and delete, in each status."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.errors import Conflict, FileTooLarge, InvalidRequest, NotFound, NotReady, NotUploaded, SizeMismatch
from appliance.services.box import Box
from appliance.services.datasets import audio
from appliance.services.datasets.datasets import create_dataset
from appliance.services.work import leases
from appliance.state import audio as audio_rows
from tests.services.datasets.recordings import embedding_audio, normalizing_audio, ready_audio, request_audio
from tests.support.boxes import CONTENT, ORIGIN, DictionaryStore, queued_work


def test_requested_audio_is_pending_and_has_no_properties(box: Box, dataset_id: str) -> None:
    recording = request_audio(box, dataset_id, None)
    assert (recording.status, recording.content_type) == ("pending", "audio/mpeg")
    assert (recording.duration_ms, recording.codec, recording.etag) == (None, None, None)
    assert recording.folder == f"tenant-1/dataset-{dataset_id}/{recording.id}"


@pytest.mark.parametrize(("size_bytes", "error"), [(0, InvalidRequest), (500 * 1024**2 + 1, FileTooLarge)])
def test_a_refused_size_names_the_field_of_this_route(
    box: Box, dataset_id: str, size_bytes: int, error: type[Exception]
) -> None:
    with pytest.raises(error, match="file_size: "):
        audio.request_upload(
            box, 1, dataset_id, filename="", content_type="audio/wav", size_bytes=size_bytes, origin=ORIGIN
        )
    assert audio.list_audio(box, 1, dataset_id, status=None, before=None, limit=1) == ([], None)


def test_audio_of_another_tenant_or_dataset_is_not_found(box: Box, dataset_id: str) -> None:
    audio_id = ready_audio(box, dataset_id)
    other = create_dataset(box, 1, "other", "").id
    theirs = create_dataset(box, 2, "theirs", "").id
    for tenant_id, place in ((2, dataset_id), (2, theirs), (1, other)):
        calls: list[Callable[[int, str], object]] = [
            lambda tenant, folder: audio.find_audio(box, tenant, folder, audio_id),
            lambda tenant, folder: audio.confirm_upload(box, tenant, folder, audio_id),
            lambda tenant, folder: audio.delete_audio(box, tenant, folder, audio_id),
            lambda tenant, folder: audio.download_url(box, tenant, folder, audio_id, normalized=True, origin=ORIGIN),
        ]
        for call in calls:
            with pytest.raises(NotFound):
                call(tenant_id, place)
    assert audio.find_audio(box, 1, dataset_id, audio_id).status == "ready"


def test_uploaded_audio_is_normalized_next(box: Box, dataset_id: str, objects: DictionaryStore) -> None:
    recording = request_audio(box, dataset_id)
    audio.confirm_upload(box, 1, dataset_id, recording.id)
    confirmed = audio.find_audio(box, 1, dataset_id, recording.id)
    assert confirmed.status == "normalizing"
    assert confirmed.etag == objects.stat(confirmed.object_key).etag
    audio.confirm_upload(box, 1, dataset_id, recording.id)
    assert audio.find_audio(box, 1, dataset_id, recording.id) == confirmed
    assert queued_work(box) == [("normalize", recording.id)]


@pytest.mark.parametrize(("content", "error"), [(None, NotUploaded), (CONTENT[1:], SizeMismatch)])
def test_audio_that_is_missing_or_of_another_size_stays_pending(
    box: Box, dataset_id: str, content: bytes | None, error: type[Exception]
) -> None:
    recording = request_audio(box, dataset_id, content)
    with pytest.raises(error):
        audio.confirm_upload(box, 1, dataset_id, recording.id)
    assert audio.find_audio(box, 1, dataset_id, recording.id) == recording
    assert queued_work(box) == []


def test_a_form_that_expired_unused_is_a_conflict(box: Box, dataset_id: str) -> None:
    recording = request_audio(box, dataset_id, None)
    with box.db.transaction() as tx:
        audio_rows.mark_failed(tx, recording.id, "pending", NotUploaded.code, "The file was never uploaded.")
    with pytest.raises(Conflict):
        audio.confirm_upload(box, 1, dataset_id, recording.id)


def test_audio_is_listed_by_status_in_pages_with_the_newest_first(box: Box, dataset_id: str) -> None:
    ready = [ready_audio(box, dataset_id) for _ in range(3)]
    pending = request_audio(box, dataset_id).id
    newest, before = audio.list_audio(box, 1, dataset_id, status="ready", before=None, limit=2)
    oldest, end = audio.list_audio(box, 1, dataset_id, status="ready", before=before, limit=2)
    assert [recording.id for recording in newest + oldest] == ready[::-1]
    assert end is None
    everything, _ = audio.list_audio(box, 1, dataset_id, status=None, before=None, limit=10)
    assert [recording.id for recording in everything] == [pending, *ready[::-1]]
    with pytest.raises(NotFound):
        audio.list_audio(box, 2, dataset_id, status=None, before=None, limit=10)


def test_the_original_can_be_downloaded_once_it_is_uploaded(box: Box, dataset_id: str) -> None:
    missing, (there, _) = request_audio(box, dataset_id, None), normalizing_audio(box, dataset_id)
    with pytest.raises(NotUploaded):
        audio.download_url(box, 1, dataset_id, missing.id, normalized=False, origin=ORIGIN)
    url, _ = audio.download_url(box, 1, dataset_id, there.id, normalized=False, origin=ORIGIN)
    assert url.startswith(f"{ORIGIN}/audio/{there.object_key}?filename=a.mp3&type=audio/mpeg")


def test_the_normalized_file_can_be_downloaded_once_it_exists(box: Box, dataset_id: str) -> None:
    recording, _ = normalizing_audio(box, dataset_id)
    with pytest.raises(NotReady):
        audio.download_url(box, 1, dataset_id, recording.id, normalized=True, origin=ORIGIN)
    normalized, _ = embedding_audio(box, dataset_id)
    url, _ = audio.download_url(box, 1, dataset_id, normalized.id, normalized=True, origin=ORIGIN)
    assert url.startswith(f"{ORIGIN}/audio/{normalized.normalized_key}?filename=a.wav&type=audio/wav")


@pytest.mark.parametrize(("filename", "expected"), [("", "{id}.wav"), ("a.b.ogg", "a.b.wav"), ("../x/y.mp3", "y.wav")])
def test_the_normalized_file_is_named_after_the_original(
    box: Box, dataset_id: str, filename: str, expected: str
) -> None:
    recording, _ = embedding_audio(box, dataset_id)
    with box.db.transaction() as tx:
        tx.change("UPDATE audio SET original_filename = ?", [filename])
    url, _ = audio.download_url(box, 1, dataset_id, recording.id, normalized=True, origin=ORIGIN)
    assert f"?filename={expected.format(id=recording.id)}&" in url


def test_deleted_audio_leaves_no_object_and_no_work(box: Box, dataset_id: str, objects: DictionaryStore) -> None:
    recording, work = embedding_audio(box, dataset_id)
    objects.contents |= dict.fromkeys(recording.object_keys, b"x")
    kept = request_audio(box, dataset_id)
    audio.delete_audio(box, 1, dataset_id, recording.id)
    assert list(objects.contents) == [kept.upload_key]
    assert queued_work(box) == [("purge", recording.folder)]
    assert leases.heartbeat(box, "w", [work]) == set()
    with pytest.raises(NotFound):
        audio.delete_audio(box, 1, dataset_id, recording.id)
