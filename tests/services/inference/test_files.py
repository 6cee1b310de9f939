"""Files of inference jobs: the form, the confirmation in every status, the download, the wall between tenants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from appliance.engine.scoring.events import Detection
from appliance.errors import (
    ApplianceError,
    Conflict,
    FileTooLarge,
    InvalidRequest,
    JobCancelled,
    NotFound,
    NotUploaded,
    ScoringFailed,
    SizeMismatch,
    UnsupportedContentType,
)
from appliance.services import uploads
from appliance.services.box import Box
from appliance.services.inference import files, jobs
from appliance.services.inference import work as inference_work
from appliance.services.inference.endings import fail_file
from appliance.services.purge import purge
from appliance.services.work import leases
from appliance.services.work.sweep import sweep
from appliance.state.inference_files import InferenceFile
from appliance.storage.objects import ObjectInfo
from tests.support.boxes import CALLBACK, CONTENT, ORIGIN, DictionaryStore, claim, new_file, new_job, queued_work

DECLARED: dict[str, Any] = {"filename": "a.wav", "content_type": "audio/wav", "size_bytes": 5, "origin": ORIGIN}


def file_of(box: Box, job_id: str, file_id: str) -> InferenceFile:
    return files.get_file(box, 1, job_id, file_id).file


def expire(box: Box, file_id: str) -> None:
    with box.db.transaction() as tx:
        tx.change("UPDATE inference_files SET upload_expires_at = 1 WHERE id = ?", [file_id])


def test_a_requested_file_is_pending_until_it_is_confirmed(box: Box) -> None:
    job_id = new_job(box)
    upload = files.request_upload(box, 1, job_id, **DECLARED | {"content_type": "audio/x-wav"})
    file = file_of(box, job_id, upload.file_id)
    assert (file.status, file.content_type, file.declared_size_bytes) == ("pending", "audio/wav", 5)
    assert file.object_key.startswith(f"tenant-1/inference-{job_id}/{file.id}/")
    assert file.upload_expires_at == upload.expires_at
    assert queued_work(box) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"content_type": "text/plain"}, UnsupportedContentType),
        ({"size_bytes": 0}, InvalidRequest),
        ({"size_bytes": 500 * 1024**2 + 1}, FileTooLarge),
    ],
)
def test_a_refused_declaration_leaves_no_file(box: Box, change: dict[str, Any], error: type[ApplianceError]) -> None:
    job_id = new_job(box)
    with pytest.raises(error):
        files.request_upload(box, 1, job_id, **DECLARED | change)
    assert jobs.get_job(box, 1, job_id).files == []


def test_the_files_of_another_tenant_are_not_found(box: Box) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, confirm=False)
    calls: list[Callable[[], object]] = [
        lambda: files.request_upload(box, 2, job_id, **DECLARED),
        lambda: files.confirm_upload(box, 2, job_id, file_id),
        lambda: files.get_file(box, 2, job_id, file_id),
        lambda: files.download_url(box, 2, job_id, file_id, ORIGIN),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()
    assert file_of(box, job_id, file_id).status == "pending"


def test_a_file_of_another_job_is_not_found(box: Box) -> None:
    job_id, other = new_job(box), new_job(box)
    file_id = new_file(box, other, confirm=False)
    for call in (files.confirm_upload, files.get_file):
        with pytest.raises(NotFound):
            call(box, 1, job_id, file_id)


def test_an_uploaded_file_is_queued_with_its_work(box: Box, objects: DictionaryStore) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id)
    file = file_of(box, job_id, file_id)
    assert (file.status, file.etag) == ("queued", objects.stat(file.object_key).etag)
    assert queued_work(box) == [("inference", file_id)]


def test_a_file_that_is_not_there_stays_pending(box: Box) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, None, confirm=False)
    with pytest.raises(NotUploaded):
        files.confirm_upload(box, 1, job_id, file_id)
    assert file_of(box, job_id, file_id).status == "pending"
    assert queued_work(box) == []


def test_a_file_of_another_size_can_be_uploaded_again(box: Box, objects: DictionaryStore) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, CONTENT + b"!", confirm=False)
    with pytest.raises(SizeMismatch, match=f"has {len(CONTENT) + 1} bytes, but {len(CONTENT)} were declared"):
        files.confirm_upload(box, 1, job_id, file_id)
    objects.contents = dict.fromkeys(objects.contents, CONTENT)
    files.confirm_upload(box, 1, job_id, file_id)
    assert file_of(box, job_id, file_id).status == "queued"


@pytest.mark.parametrize("status", ["queued", "processing", "completed"])
def test_a_second_confirmation_changes_nothing(box: Box, objects: DictionaryStore, status: str) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id)
    work = claim(box) if status != "queued" else None
    if work and status == "completed":
        inference_work.complete(box, work, 1000, [])
    before, work_before = file_of(box, job_id, file_id), queued_work(box)
    objects.contents[before.object_key] = b"replaced"
    files.confirm_upload(box, 1, job_id, file_id)
    assert before.status == status
    assert (file_of(box, job_id, file_id), queued_work(box)) == (before, work_before)


def test_a_confirmation_of_a_failed_file_answers_with_its_error(box: Box) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id)
    leases.fail(box, claim(box), ScoringFailed("The model failed."))
    with pytest.raises(Conflict, match=r"The file failed: The model failed\."):
        files.confirm_upload(box, 1, job_id, file_id)
    assert queued_work(box) == []


def test_a_confirmed_upload_cannot_be_replaced(box: Box, objects: DictionaryStore) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id)
    file = file_of(box, job_id, file_id)
    assert file.upload_key is not None
    objects.contents[file.upload_key] = b"replaced"
    sweep(box)
    assert objects.contents == {file.object_key: CONTENT}
    assert file_of(box, job_id, file_id) == file


def test_an_upload_that_is_replaced_while_it_is_confirmed_is_not_accepted(
    box: Box, objects: DictionaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, confirm=False)
    stat = objects.stat

    def replaced_after(key: str) -> ObjectInfo:
        info = stat(key)
        objects.contents[key] = bytes(reversed(CONTENT))
        return info

    monkeypatch.setattr(objects, "stat", replaced_after)
    with pytest.raises(NotUploaded, match="uploaded again at this moment"):
        files.confirm_upload(box, 1, job_id, file_id)
    monkeypatch.undo()
    files.confirm_upload(box, 1, job_id, file_id)
    assert objects.contents == {file_of(box, job_id, file_id).object_key: bytes(reversed(CONTENT))}


def test_of_two_confirmations_at_once_one_is_accepted_and_no_copy_stays(box: Box, objects: DictionaryStore) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, confirm=False)
    file = file_of(box, job_id, file_id)
    info = uploads.uploaded_object(box, file)
    copied = dict(objects.contents)
    files.accept(box, file, info)
    objects.contents |= copied  # as the second call saw it, before the first one deleted the upload
    files.accept(box, file, info)
    assert set(objects.contents) == {file_of(box, job_id, file_id).object_key, file.upload_key}


def test_an_upload_that_ends_late_is_accepted(box: Box, objects: DictionaryStore) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, confirm=False)
    file = file_of(box, job_id, file_id)
    late = dict(objects.contents)
    objects.contents.clear()
    expire(box, file_id)
    sweep(box)
    assert file_of(box, job_id, file_id).error_code == "not_uploaded"
    with pytest.raises(NotUploaded):
        files.confirm_upload(box, 1, job_id, file_id)
    objects.contents |= late
    sweep(box)
    assert file_of(box, job_id, file_id).status == "queued"
    assert list(objects.contents) == [file_of(box, job_id, file_id).object_key]
    assert file.upload_key in late


@pytest.mark.parametrize("status", ["pending", "queued", "processing", "completed"])
def test_a_file_can_be_deleted_at_any_status(box: Box, objects: DictionaryStore, status: str) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, confirm=status != "pending")
    work = claim(box) if status in ("processing", "completed") else None
    if work and status == "completed":
        inference_work.complete(box, work, 1000, [])
    assert file_of(box, job_id, file_id).status == status
    files.delete_file(box, 1, job_id, file_id)
    with pytest.raises(NotFound):
        file_of(box, job_id, file_id)
    purge(box, claim(box))
    sweep(box)
    assert objects.contents == {}
    assert queued_work(box) == []
    assert jobs.get_job(box, 1, job_id).job.total_files == 0


def test_deleting_the_last_open_file_ends_the_job(box: Box) -> None:
    job_id = new_job(box, callback_url=CALLBACK)
    abandoned = new_file(box, job_id, confirm=False)
    new_file(box, job_id)
    inference_work.complete(box, claim(box), 1000, [])
    assert jobs.get_job(box, 1, job_id).job.status == "processing"
    files.delete_file(box, 1, job_id, abandoned)
    assert jobs.get_job(box, 1, job_id).job.status == "completed"
    assert [row["event_type"] for row in box.db.all("SELECT event_type FROM webhook_deliveries")] == [
        "file.completed",
        "job.completed",
    ]


def test_another_tenant_deletes_nothing(box: Box) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id)
    with pytest.raises(NotFound):
        files.delete_file(box, 2, job_id, file_id)
    with pytest.raises(NotFound):
        jobs.purge_job(box, 2, job_id)


def test_a_purged_job_leaves_nothing(box: Box, objects: DictionaryStore) -> None:
    job_id, other = new_job(box), new_job(box)
    for _ in range(3):
        new_file(box, job_id)
    new_file(box, job_id, confirm=False)
    kept = new_file(box, other)
    jobs.purge_job(box, 1, job_id)
    with pytest.raises(NotFound):
        jobs.get_job(box, 1, job_id)
    purge(box, claim(box, "purge"))
    sweep(box)
    assert list(objects.contents) == [file_of(box, other, kept).object_key]
    assert queued_work(box) == [("inference", kept)]


def test_files_come_in_pages_by_status(box: Box) -> None:
    job_id = new_job(box)
    file_ids = [new_file(box, job_id) for _ in range(5)]
    inference_work.complete(box, claim(box), 1000, [])
    pages: list[list[str]] = []
    after: int | None = 0
    while after is not None:
        page, after = files.list_files(box, 1, job_id, status=None, after=after, limit=2)
        pages.append([report.file.id for report in page])
    assert pages == [file_ids[:2], file_ids[2:4], file_ids[4:]]
    completed, _ = files.list_files(box, 1, job_id, status="completed", after=None, limit=10)
    assert [report.file.id for report in completed] == file_ids[:1]


def test_a_cancelled_job_takes_no_file(box: Box) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, confirm=False)
    jobs.cancel_job(box, 1, job_id)
    with pytest.raises(JobCancelled):
        files.confirm_upload(box, 1, job_id, file_id)
    with pytest.raises(JobCancelled):
        files.request_upload(box, 1, job_id, **DECLARED)
    assert [report.file.status for report in jobs.get_job(box, 1, job_id).files] == ["cancelled"]


def test_a_form_that_expired_unused_is_a_conflict(box: Box) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id, None, confirm=False)
    with box.db.transaction() as tx:
        fail_file(tx, file_id, "pending", NotUploaded.code, "The file was never uploaded.")
    with pytest.raises(Conflict):
        files.confirm_upload(box, 1, job_id, file_id)
    assert file_of(box, job_id, file_id).status == "failed"


def test_a_job_that_ended_takes_further_files(box: Box) -> None:
    job_id = new_job(box)
    new_file(box, job_id)
    inference_work.complete(box, claim(box), 1000, [])
    new_file(box, job_id)
    assert jobs.find_job(box, 1, job_id).status == "processing"


def test_detections_come_in_the_order_in_which_they_were_stored(box: Box) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id)
    detections = [Detection("loud", 5, 9, 0.5), Detection("click", 1, 2, 1.0)]
    inference_work.complete(box, claim(box), 1000, detections)
    report = files.get_file(box, 1, job_id, file_id)
    assert (report.file.status, report.file.duration_ms) == ("completed", 1000)
    assert [(row.artifact_type, row.start_ms) for row in report.detections] == [("loud", 5), ("click", 1)]


def test_an_original_can_be_downloaded_as_soon_as_it_is_there(box: Box) -> None:
    job_id = new_job(box)
    missing, there = new_file(box, job_id, None, confirm=False), new_file(box, job_id)
    with pytest.raises(NotUploaded):
        files.download_url(box, 1, job_id, missing, ORIGIN)
    url, seconds = files.download_url(box, 1, job_id, there, ORIGIN)
    assert url.startswith(f"{ORIGIN}/audio/{file_of(box, job_id, there).object_key}?filename=a.wav&type=audio/wav")
    assert seconds == box.settings.upload_expires_seconds
