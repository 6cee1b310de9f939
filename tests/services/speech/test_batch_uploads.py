"""Batch uploads: all files reach the disk or none, and then storage, one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from appliance.errors import FileTooLarge, InvalidRequest, LeaseLost, NotFound, ObjectMissing, SubjectGone
from appliance.services.box import Box
from appliance.services.purge import purge
from appliance.services.speech import batch, batch_uploads
from appliance.services.speech.durations import Durations
from appliance.services.speech.media import delete_media
from appliance.services.work import leases
from tests.services.speech.arrivals import BrokenOff, Incoming, again, batch_file, media_of, stored_media
from tests.support.boxes import CONTENT, DictionaryStore, claim, claim_any, lose_lease, queued_work, with_settings
from tests.support.encoded_files import wav


def spooled_files(box: Box) -> dict[str, bytes]:
    """Every file in the spool by its path in there."""
    root: Path = box.settings.data_dir / "spool"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_files_of_a_request_are_on_disk_when_it_is_answered(box: Box, durations: Durations) -> None:
    incoming = [
        Incoming(b"first", "a.wav"),
        Incoming(b"second", "", "text/plain"),
        Incoming(b"third", "c", "audio/mp3"),
    ]
    upload = batch_uploads.accept(box, durations, 1, incoming)
    assert [media.original_filename for media in upload.files] == ["a.wav", "", "c"]
    assert [media.content_type for media in upload.files] == ["audio/wav", "application/octet-stream", "audio/mpeg"]
    assert [(media.status, media.size_bytes) for media in upload.files] == [
        ("spooled", len(f.content)) for f in incoming
    ]
    paths = [f"{upload.id}/{media.id}" for media in upload.files]
    assert spooled_files(box) == dict(zip(paths, (b"first", b"second", b"third"), strict=True))
    assert queued_work(box) == [("store", media.id) for media in upload.files]
    assert batch_uploads.find_batch(box, 1, upload.id) == upload.files


def test_the_duration_of_a_readable_file_is_estimated(box: Box, durations: Durations) -> None:
    recording = wav(np.zeros(4000, np.float32), 8000)
    upload = batch_uploads.accept(box, durations, 1, [Incoming(recording), Incoming(b"text")])
    assert [media.estimated_duration_seconds for media in upload.files] == [0.5, None]


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (Incoming(b"x" * 101), FileTooLarge),
        (Incoming(filename="x" * 1025), InvalidRequest),
        (BrokenOff(), ConnectionResetError),
    ],
)
def test_one_refused_file_keeps_out_all(box: Box, durations: Durations, last: Incoming, error: type[Exception]) -> None:
    small = with_settings(box, max_upload_bytes=100)
    with pytest.raises(error):
        batch_uploads.accept(small, durations, 1, [Incoming(b"x" * 100), last])
    assert list((box.settings.data_dir / "spool").iterdir()) == []
    assert box.db.all("SELECT 1 FROM media UNION SELECT 1 FROM work") == []


def test_an_empty_file_fails_alone(box: Box, durations: Durations) -> None:
    upload = batch_uploads.accept(box, durations, 1, [Incoming(b"first"), Incoming(b"", "empty.wav"), Incoming()])
    assert [media.status for media in upload.files] == ["spooled", "failed", "spooled"]
    empty = upload.files[1]
    assert (empty.original_filename, empty.size_bytes, empty.error_code) == ("empty.wav", None, "empty_file")
    assert len(spooled_files(box)) == len(queued_work(box)) == 2


def test_a_request_whose_files_are_all_empty_is_refused(box: Box, durations: Durations) -> None:
    with pytest.raises(InvalidRequest, match=r"files: 'a\.wav' is empty"):
        batch_uploads.accept(box, durations, 1, [Incoming(b""), Incoming(b"")])
    assert box.db.all("SELECT 1 FROM media") == []


def test_a_file_name_with_nul_is_refused(box: Box, durations: Durations) -> None:
    with pytest.raises(InvalidRequest, match="files: a file name contains NUL"):
        batch_uploads.accept(box, durations, 1, [Incoming(), Incoming(filename="a\0.wav")])
    assert box.db.all("SELECT 1 FROM media") == []


def test_deleted_files_are_gone_from_disk_and_storage_with_their_transcripts(
    box: Box, durations: Durations, objects: DictionaryStore
) -> None:
    upload = batch_uploads.accept(box, durations, 1, [Incoming(), Incoming()])
    batch_uploads.store(box, claim(box, "store"))
    report = batch.create_batch(box, 1, upload.id, None, None)
    deleted = batch_uploads.delete_files(box, 1, [media.id for media in upload.files])
    assert (deleted.file_ids, deleted.objects, deleted.transcripts) == ([m.id for m in upload.files], 1, 2)
    assert box.db.all("SELECT 1 FROM media UNION SELECT 1 FROM transcripts") == []
    assert spooled_files(box) == {}
    while work := claim_any(box, "w"):
        assert work.kind == "purge"
        purge(box, work)
    assert objects.contents == {}
    with pytest.raises(NotFound):
        batch.find_batch(box, 1, report.id)


def test_no_file_is_deleted_if_one_is_not_found(box: Box, durations: Durations) -> None:
    mine, theirs = batch_file(box), batch_file(box, 2)
    for other in (theirs.id, stored_media(box).id, "none"):
        with pytest.raises(NotFound, match=other):
            batch_uploads.delete_files(box, 1, [mine.id, other])
    assert batch_uploads.find_file(box, 1, mine.id) == mine


def test_files_are_listed_by_status_with_the_newest_first(box: Box, durations: Durations) -> None:
    stored = batch_file(box)
    [spooled] = batch_uploads.accept(box, durations, 1, [Incoming()]).files
    batch_file(box, 2)
    stored_media(box)
    every = ("pending", "spooled", "stored", "failed")
    assert batch_uploads.list_files(box, 1, every, offset=0, limit=10) == ([spooled, stored], 2)
    assert batch_uploads.list_files(box, 1, every, offset=1, limit=1) == ([stored], 2)
    assert batch_uploads.list_files(box, 1, ("spooled",), offset=0, limit=10) == ([spooled], 1)
    assert batch_uploads.list_files(box, 1, (), offset=0, limit=10) == ([], 0)


def test_a_request_without_a_file_is_refused(box: Box, durations: Durations) -> None:
    with pytest.raises(InvalidRequest, match="files: send one or more files"):
        batch_uploads.accept(box, durations, 1, [])


def test_the_upload_of_another_tenant_is_not_found(box: Box, durations: Durations) -> None:
    upload = batch_uploads.accept(box, durations, 1, [Incoming()])
    for tenant_id, batch_id in ((2, upload.id), (1, "none")):
        with pytest.raises(NotFound):
            batch_uploads.find_batch(box, tenant_id, batch_id)


def test_a_stored_file_leaves_the_disk_and_its_transcripts_are_queued(
    box: Box, durations: Durations, objects: DictionaryStore
) -> None:
    upload = batch_uploads.accept(box, durations, 1, [Incoming(), Incoming()])
    report = batch.create_batch(box, 1, upload.id, None, None)
    (first, media), (second, _) = report.items
    batch_uploads.store(box, claim(box, "store"))
    assert list(objects.contents.values()) == [CONTENT]
    assert (media_of(box, first).status, media_of(box, second).status) == ("stored", "spooled")
    assert (again(box, first).status, again(box, second).status) == ("queued", "waiting")
    assert f"{upload.id}/{media.id}" not in spooled_files(box)
    batch_uploads.store(box, claim(box, "store"))
    assert list((box.settings.data_dir / "spool").iterdir()) == []
    assert queued_work(box) == [("transcription", first.id), ("transcription", second.id)]


def test_a_file_that_vanished_from_the_disk_fails_its_transcripts(box: Box, durations: Durations) -> None:
    upload = batch_uploads.accept(box, durations, 1, [Incoming()])
    [(transcript, media)] = batch.create_batch(box, 1, upload.id, None, None).items
    (box.settings.data_dir / "spool" / upload.id / media.id).unlink()
    work = claim(box, "store")
    with pytest.raises(ObjectMissing) as caught:
        batch_uploads.store(box, work)
    leases.fail(box, work, caught.value)
    assert (media_of(box, transcript).status, media_of(box, transcript).error_code) == ("failed", "object_missing")
    assert again(box, transcript).error_code == "object_missing"


def test_without_the_lease_a_file_stays_spooled(box: Box, durations: Durations) -> None:
    [media] = batch_uploads.accept(box, durations, 1, [Incoming()]).files
    work = claim(box, "store")
    lose_lease(box, work)
    with pytest.raises(LeaseLost):
        batch_uploads.store(box, work)
    assert batch_uploads.find_batch(box, 1, media.batch_id or "")[0].status == "spooled"
    assert list(spooled_files(box).values()) == [CONTENT]


def test_media_that_was_deleted_leaves_no_object(
    box: Box, durations: Durations, objects: DictionaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    [media] = batch_uploads.accept(box, durations, 1, [Incoming()]).files
    work, put = claim(box, "store"), objects.put

    def delete_meanwhile(*arguments: object, **values: object) -> object:
        info = put(*arguments, **values)  # type: ignore[arg-type]
        with box.db.transaction() as tx:
            delete_media(tx, 1, media.id)
        return info

    monkeypatch.setattr(objects, "put", delete_meanwhile)
    with pytest.raises(LeaseLost):
        batch_uploads.store(box, work)
    assert objects.contents == {}
    with pytest.raises(SubjectGone):
        batch_uploads.store(box, work)
