"""Uploads that are confirmed before they are copied, of jobs and of datasets. Every upload counts as large here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytest

from appliance.errors import ApplianceError, Conflict, LeaseLost, NotReady, NotUploaded, ObjectChanged, ObjectMissing
from appliance.services import uploads
from appliance.services.box import Box
from appliance.services.datasets import audio
from appliance.services.datasets import work as dataset_work
from appliance.services.datasets.datasets import create_dataset, delete_dataset
from appliance.services.inference import files, jobs
from appliance.services.inference import work as inference_work
from appliance.services.inference.recordings import find_recording
from appliance.services.purge import purge
from appliance.services.work import leases, reconcile
from appliance.services.work.sweep import sweep
from appliance.state import usage
from appliance.state.audio import Audio
from appliance.state.inference_files import InferenceFile
from appliance.state.work import Work
from appliance.storage.objects import ObjectInfo
from tests.support.boxes import (
    CALLBACK,
    CONTENT,
    ORIGIN,
    DictionaryStore,
    claim,
    events,
    lose_lease,
    new_job,
    queued_work,
    with_settings,
)

DECLARED: dict[str, Any] = {
    "filename": "take.wav",
    "content_type": "audio/wav",
    "size_bytes": len(CONTENT),
    "origin": ORIGIN,
}
OTHER = bytes(reversed(CONTENT))


@dataclass(frozen=True)
class Product:
    """The calls of one product on an upload to its folder, a job or a dataset."""

    folder: str
    next_kind: str
    request: Callable[..., uploads.Upload]
    confirm: Callable[[Box, int, str, str], None]
    copy: Callable[[Box, Work], None]
    row: Callable[[Box, str, str], InferenceFile | Audio]
    download: Callable[[Box, str, str], tuple[str, int]]
    delete: Callable[[Box, int, str, str], None]
    delete_folder: Callable[[Box, int, str], None]


def product_of_jobs(box: Box) -> Product:
    return Product(
        new_job(box, CALLBACK),
        "inference",
        files.request_upload,
        files.confirm_upload,
        inference_work.copy,
        lambda box, job_id, file_id: files.get_file(box, 1, job_id, file_id).file,
        lambda box, job_id, file_id: files.download_url(box, 1, job_id, file_id, ORIGIN),
        files.delete_file,
        jobs.purge_job,
    )


def product_of_datasets(box: Box) -> Product:
    return Product(
        create_dataset(box, 1, "name", "").id,
        "normalize",
        audio.request_upload,
        audio.confirm_upload,
        dataset_work.copy,
        lambda box, dataset_id, audio_id: audio.find_audio(box, 1, dataset_id, audio_id),
        lambda box, dataset_id, audio_id: audio.download_url(
            box, 1, dataset_id, audio_id, normalized=False, origin=ORIGIN
        ),
        audio.delete_audio,
        delete_dataset,
    )


@pytest.fixture(autouse=True)
def _every_upload_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LARGE_BYTES", len(CONTENT) - 1)


@pytest.fixture(params=[product_of_jobs, product_of_datasets])
def product(request: pytest.FixtureRequest, box: Box) -> Product:
    made: Product = request.param(box)
    return made


@dataclass(frozen=True)
class Confirmed:
    """An upload that is confirmed and awaits its copy."""

    product: Product
    box: Box
    id: str
    upload_key: str

    @property
    def row(self) -> InferenceFile | Audio:
        return self.product.row(self.box, self.product.folder, self.id)

    def run(self, work: Work | None = None) -> None:
        """Do the copy as the worker does it."""
        work = work or claim(self.box, "copy_file")
        try:
            self.product.copy(self.box, work)
        except (ObjectChanged, ObjectMissing) as error:
            leases.fail(self.box, work, error)

    def key_of_download(self) -> str:
        url, _ = self.product.download(self.box, self.product.folder, self.id)
        return url.removeprefix(f"{ORIGIN}/audio/").partition("?")[0]


@pytest.fixture
def confirmed(product: Product, box: Box) -> Confirmed:
    upload = product.request(box, 1, product.folder, **DECLARED)
    key = upload.form.fields["key"]
    box.objects.put(key, CONTENT, content_type="audio/wav")
    product.confirm(box, 1, product.folder, upload.file_id)
    return Confirmed(product, box, upload.file_id, key)


def used_bytes(box: Box) -> int:
    return usage.of_tenant(box.db, 1).stored_bytes


def test_a_confirm_copies_nothing_and_the_worker_does_before_anything_else(
    confirmed: Confirmed, box: Box, objects: DictionaryStore
) -> None:
    assert list(objects.contents) == [confirmed.upload_key]
    copy_kind = {"inference": "copy_file", "normalize": "copy_audio"}[confirmed.product.next_kind]
    assert queued_work(box) == [(copy_kind, confirmed.id)]
    assert used_bytes(box) == len(CONTENT)
    confirmed.run()
    row = confirmed.row
    assert objects.contents == {row.object_key: CONTENT}
    assert row.etag == objects.stat(row.object_key).etag
    assert queued_work(box) == [(confirmed.product.next_kind, confirmed.id)]
    assert confirmed.key_of_download() == row.object_key
    assert used_bytes(box) == len(CONTENT)


def test_a_second_confirm_changes_nothing(confirmed: Confirmed, box: Box) -> None:
    before, work = confirmed.row, queued_work(box)
    confirmed.product.confirm(box, 1, confirmed.product.folder, confirmed.id)
    assert (confirmed.row, queued_work(box)) == (before, work)


def test_a_download_waits_for_the_copy(confirmed: Confirmed, box: Box) -> None:
    with pytest.raises(NotReady, match="being copied"):
        confirmed.key_of_download()
    if confirmed.product.next_kind == "inference":
        with pytest.raises(NotReady, match="being copied"):
            find_recording(box, 1, confirmed.product.folder, confirmed.id)


@pytest.mark.parametrize(
    ("replacement", "code", "message"),
    [
        (OTHER, "object_changed", "The upload of 'take.wav' was replaced by other bytes after it was confirmed"),
        (None, "object_missing", "The upload of 'take.wav' was deleted from storage after it was confirmed"),
    ],
)
def test_an_upload_that_is_replaced_or_gone_before_its_copy_fails_and_is_never_served(
    confirmed: Confirmed, box: Box, objects: DictionaryStore, replacement: bytes | None, code: str, message: str
) -> None:
    objects.contents.clear()
    if replacement:
        objects.contents[confirmed.upload_key] = replacement
    confirmed.run()
    row = confirmed.row
    assert (row.status, row.error_code) == ("failed", code)
    assert (row.error_message or "").startswith(message)
    with pytest.raises(NotUploaded):
        confirmed.key_of_download()
    with pytest.raises(Conflict, match=message):
        confirmed.product.confirm(box, 1, confirmed.product.folder, confirmed.id)
    assert queued_work(box, "webhook") == []
    assert used_bytes(box) == 0
    if confirmed.product.next_kind == "inference":
        assert events(box) == ["file.failed", "job.completed"]
    sweep(box)
    assert objects.contents == {}


def test_the_sweep_and_the_daily_comparison_leave_what_awaits_its_copy_alone(
    confirmed: Confirmed, box: Box, objects: DictionaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "WAIT_SECONDS", 0.0)
    before = confirmed.row
    with box.db.transaction() as tx:
        for table in ("inference_files", "audio"):
            tx.change(f"UPDATE {table} SET upload_expires_at = 1")
    sweep(box)
    assert reconcile.reconcile(box, Event()) is None
    assert list(objects.contents) == [confirmed.upload_key]
    assert confirmed.row.status == before.status
    confirmed.run()
    assert objects.contents == {confirmed.row.object_key: CONTENT}
    assert reconcile.reconcile(box, Event()) is None


def test_an_upload_that_nobody_confirmed_is_copied_after_the_sweep_accepted_it(
    product: Product, box: Box, objects: DictionaryStore
) -> None:
    upload = product.request(box, 1, product.folder, **DECLARED)
    objects.contents[upload.form.fields["key"]] = CONTENT
    with box.db.transaction() as tx:
        for table in ("inference_files", "audio"):
            tx.change(f"UPDATE {table} SET upload_expires_at = 1")
    sweep(box)
    accepted = Confirmed(product, box, upload.file_id, upload.form.fields["key"])
    accepted.run()
    assert objects.contents == {accepted.row.object_key: CONTENT}
    assert queued_work(box) == [(product.next_kind, upload.file_id)]


@pytest.mark.parametrize("which", ["upload", "folder"])
@pytest.mark.parametrize("when", ["before", "during"])
def test_an_upload_that_is_deleted_leaves_nothing(
    confirmed: Confirmed,
    box: Box,
    objects: DictionaryStore,
    monkeypatch: pytest.MonkeyPatch,
    which: str,
    when: str,
) -> None:
    product = confirmed.product

    def delete() -> None:
        if which == "upload":
            product.delete(box, 1, product.folder, confirmed.id)
        else:
            product.delete_folder(box, 1, product.folder)

    copy = objects.copy

    def copy_and_delete(source: str, info: ObjectInfo, target: str) -> ObjectInfo:
        copied = copy(source, info, target)
        delete()
        return copied

    if when == "before":
        delete()
    else:
        monkeypatch.setattr(objects, "copy", copy_and_delete)
        with contextlib.suppress(LeaseLost):
            product.copy(box, claim(box, "copy_file"))
    while work := claim_storage(box):
        if work.kind == "purge":
            purge(box, work)
        else:
            product.copy(box, work)
    sweep(box)
    assert objects.contents == {}
    assert queued_work(box) == []
    assert used_bytes(box) == 0


def claim_storage(box: Box) -> Work | None:
    return leases.claim(box, "w", "storage")


def test_a_worker_that_lost_its_lease_leaves_the_copy_of_its_successor(
    confirmed: Confirmed, box: Box, objects: DictionaryStore
) -> None:
    late = claim(box, "copy_file")
    upload = dict(objects.contents)
    lose_lease(box, late)
    with box.db.transaction() as tx:
        tx.change("UPDATE work SET lease_owner = NULL, lease_until = NULL")
    confirmed.run()
    objects.contents |= upload  # as the late worker saw it
    with pytest.raises(LeaseLost):
        confirmed.run(late)
    assert objects.contents == {confirmed.row.object_key: CONTENT, confirmed.upload_key: CONTENT}
    sweep(box)
    assert objects.contents == {confirmed.row.object_key: CONTENT}


def test_the_work_is_given_up_when_its_worker_is_lost_again_and_again(confirmed: Confirmed, box: Box) -> None:
    limited = with_settings(box, max_lost_leases=1)
    claim(limited, "copy_file")
    with box.db.transaction() as tx:
        tx.change("UPDATE work SET lease_until = 0")
    sweep(limited)
    assert (confirmed.row.status, confirmed.row.error_code) == ("failed", "worker_lost")
    assert used_bytes(box) == 0


class TestCancelled:
    """A job that is cancelled keeps the originals of its files, also those that await their copy."""

    @pytest.fixture
    def product(self, box: Box) -> Product:
        return product_of_jobs(box)

    def test_the_original_is_copied_and_not_analyzed(
        self, confirmed: Confirmed, box: Box, objects: DictionaryStore
    ) -> None:
        jobs.cancel_job(box, 1, confirmed.product.folder)
        sweep(box)
        confirmed.run()
        assert confirmed.row.status == "cancelled"
        assert objects.contents == {confirmed.row.object_key: CONTENT}
        assert confirmed.key_of_download() == confirmed.row.object_key
        assert queued_work(box, "webhook") == []

    def test_a_replaced_original_is_not_kept(self, confirmed: Confirmed, box: Box, objects: DictionaryStore) -> None:
        jobs.cancel_job(box, 1, confirmed.product.folder)
        objects.contents[confirmed.upload_key] = OTHER
        confirmed.run()
        assert (confirmed.row.status, confirmed.row.etag, used_bytes(box)) == ("cancelled", None, 0)
        sweep(box)
        assert objects.contents == {}

    def test_retention_removes_an_original_that_was_never_copied(
        self, confirmed: Confirmed, box: Box, objects: DictionaryStore
    ) -> None:
        jobs.cancel_job(box, 1, confirmed.product.folder)
        with box.db.transaction() as tx:
            tx.change("UPDATE inference_files SET updated_at = 1")
        sweep(with_settings(box, retention_originals_days=1.0))
        while work := claim_storage(box):
            (purge if work.kind == "purge" else inference_work.copy)(box, work)
        sweep(box)
        assert objects.contents == {}
        assert used_bytes(box) == 0


def test_errors_of_a_client_are_answered_by_the_confirm_itself(product: Product, box: Box) -> None:
    upload = product.request(box, 1, product.folder, **DECLARED)
    for content in (None, CONTENT + b"!"):
        if content:
            box.objects.put(upload.form.fields["key"], content, content_type="audio/wav")
        with pytest.raises(ApplianceError, match=r"not been uploaded|declared"):
            product.confirm(box, 1, product.folder, upload.file_id)
    assert queued_work(box) == []
