"""Backup, restore and verification with real SQLite and files. Objects are in a dictionary.

``tests/contract/test_keeping.py`` does the same with a running appliance and MinIO.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

import pytest

from appliance.engine.models.store import ModelStore
from appliance.errors import BackupDamaged, ConfigurationError
from appliance.services import uploads
from appliance.services.box import TRAINED, Box
from appliance.services.keeping.backup import backup, settings_text
from appliance.services.keeping.restore import restore
from appliance.services.keeping.verify import plan, repair, verify
from appliance.services.purge import delete_folder
from appliance.services.webhooks.events import current_secrets
from appliance.state import inference_files
from appliance.state.database import Database
from tests.support import toy_models
from tests.support.boxes import CONTENT, DictionaryStore, new_file, new_job, snapshot, with_settings


def object_of(box: Box, file_id: str) -> str:
    file = inference_files.find_file(box.db, file_id)
    assert file is not None
    return file.object_key


def test_a_second_run_copies_only_what_is_new_and_removes_what_is_gone(box: Box, tmp_path: Path) -> None:
    job_id = new_job(box)
    first, second = new_file(box, job_id), new_file(box, job_id)
    target = tmp_path / "backup"
    report = backup(box, target)
    assert (report.objects, report.copied, report.copied_bytes) == (2, 2, 2 * len(CONTENT))
    assert (target / "objects" / object_of(box, first)).read_bytes() == CONTENT
    third, gone = new_file(box, job_id), object_of(box, second)
    with box.db.transaction() as tx:
        inference_files.delete_file(tx, second)
    delete_folder(box, gone.rpartition("/")[0])
    report = backup(box, target)
    assert (report.objects, report.copied, report.removed) == (2, 1, 1)
    assert not (target / "objects" / gone).exists()
    assert (target / "objects" / object_of(box, third)).exists()
    assert backup(box, target).copied == 0


def test_what_is_deleted_during_the_run_is_not_missed_by_its_database(
    box: Box, objects: DictionaryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = new_job(box)
    kept, gone = new_file(box, job_id), new_file(box, job_id)
    key, fetch = object_of(box, gone), objects.fetch

    def fetch_late(wanted: str, etag: str, file: BinaryIO) -> None:
        if wanted == key and key in objects.contents:  # its owner deletes it just before it is read
            with box.db.transaction() as tx:
                inference_files.delete_file(tx, gone)
            objects.delete(key)
        fetch(wanted, etag, file)

    monkeypatch.setattr(objects, "fetch", fetch_late)
    report = backup(box, tmp_path / "backup")
    assert report.missing == []
    copy = Database(tmp_path / "backup" / "appliance.db")
    assert [row["id"] for row in copy.all("SELECT id FROM inference_files")] == [kept]


def test_an_object_that_storage_lacks_is_named_and_stops_nothing(
    box: Box, objects: DictionaryStore, tmp_path: Path
) -> None:
    job_id = new_job(box)
    lost, kept = new_file(box, job_id), new_file(box, job_id)
    key = object_of(box, lost)
    objects.delete(key)
    report = backup(box, tmp_path / "backup")
    assert report.missing == [key]
    assert (tmp_path / "backup" / "objects" / object_of(box, kept)).exists()


def test_secrets_are_kept_only_if_that_is_requested(box: Box, tmp_path: Path) -> None:
    secret = current_secrets(box, 1)[0].secret
    backup(box, tmp_path / "without")
    backup(box, tmp_path / "with", with_secrets=True)

    def has(folder: str) -> bool:
        return any(secret.encode() in path.read_bytes() for path in (tmp_path / folder).rglob("*") if path.is_file())

    assert not has("without")
    assert has("with")


def test_settings_are_kept_without_secrets_and_paths(box: Box) -> None:
    text = settings_text(with_settings(box, port=9000, storage_secret_key="hunter2").settings)
    assert "port = 9000" in text
    assert "hunter2" not in text
    assert "data_dir" not in text


def test_a_folder_with_something_else_in_it_is_refused(box: Box, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("Dear")
    with pytest.raises(ConfigurationError, match="neither empty nor a backup"):
        backup(box, tmp_path / "home")


class Target(DictionaryStore):
    """Empty storage, which gives every object a tag of its own."""

    def put_again(self, key: str, file: BinaryIO, size_bytes: int, etag: str) -> str:
        self.contents[key] = file.read()
        return hashlib.sha1(self.contents[key]).hexdigest()


def test_a_restored_database_has_the_tags_of_its_storage(box: Box, tmp_path: Path) -> None:
    file_id = new_file(box, new_job(box))
    backup(box, tmp_path / "backup", with_secrets=True)
    target, data_dir = Target(), tmp_path / "new"
    data_dir.mkdir()
    report = restore(tmp_path / "backup", data_dir, tmp_path / "models", target)  # type: ignore[arg-type]
    assert (report.objects, report.retagged, report.models) == (1, 1, len(list(tmp_path.glob("models/*/*/"))))
    new = Box(box.settings, Database(data_dir / "appliance.db"), target, box.models)  # type: ignore[arg-type]
    file = inference_files.find_file(new.db, file_id)
    assert file is not None
    assert file.etag == hashlib.sha1(CONTENT).hexdigest()
    old_rows, new_rows = snapshot(box), snapshot(new)
    changed = {table for table in old_rows if old_rows[table] != new_rows[table]}
    assert changed <= {"inference_files", "inference_jobs", "changes", "sqlite_sequence"}


def test_a_damaged_copy_is_refused(box: Box, tmp_path: Path) -> None:
    file_id = new_file(box, new_job(box))
    backup(box, tmp_path / "backup")
    path = tmp_path / "backup" / "objects" / object_of(box, file_id)
    path.write_bytes(CONTENT.upper())
    (tmp_path / "new").mkdir()
    with pytest.raises(BackupDamaged, match="is damaged"):
        restore(tmp_path / "backup", tmp_path / "new", tmp_path / "models", Target())  # type: ignore[arg-type]
    assert not (tmp_path / "new" / "appliance.db").exists()


def test_an_unfinished_backup_is_refused(box: Box, tmp_path: Path) -> None:
    backup(box, tmp_path / "backup")
    (tmp_path / "backup" / "backup.json").unlink()
    with pytest.raises(BackupDamaged, match="not a complete backup"):
        restore(tmp_path / "backup", tmp_path / "new", tmp_path / "models", Target())  # type: ignore[arg-type]


def test_verify_finds_what_does_not_agree_and_repair_does_what_it_said(box: Box, objects: DictionaryStore) -> None:
    job_id = new_job(box)
    good, lost, damaged = (new_file(box, job_id) for _ in range(3))
    assert verify(box).is_clean
    objects.delete(object_of(box, lost))
    objects.contents[object_of(box, damaged)] = CONTENT[::-1]
    orphan = object_of(box, good).replace(good, "0" * 8 + good[8:])
    objects.contents[orphan] = b"nobody's"
    objects.contents["incoming/tenant-1/x"] = b"an upload in progress"
    before = snapshot(box)
    findings = verify(box)
    assert (findings.objects, findings.orphans) == (3, [orphan])
    assert [named.row_id for named in findings.lost] == [lost]
    assert len(findings.damaged) == 1
    assert object_of(box, damaged) in findings.damaged[0]
    steps = plan(findings)
    assert [step.split()[0] for step in steps] == ["Delete", "Note"]
    assert snapshot(box) == before
    repair(box, findings)
    left = verify(box)
    assert (left.lost, left.orphans, len(left.damaged)) == ([], [], 1)


def test_verify_finds_a_row_that_names_no_row(box: Box) -> None:
    new_file(box, new_job(box))
    connection = box.db._connect()
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("UPDATE inference_files SET job_id = 'none'")
    connection.close()
    assert verify(box).database == ["inference_files: row 1 names a row of inference_jobs that does not exist"]


def test_a_data_folder_with_an_appliance_is_not_overwritten(box: Box, tmp_path: Path) -> None:
    backup(box, tmp_path / "backup")
    with pytest.raises(ConfigurationError, match="holds an appliance"):
        restore(tmp_path / "backup", tmp_path, tmp_path / "models", Target())  # type: ignore[arg-type]


def test_a_large_upload_that_awaits_its_copy_is_kept(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LARGE_BYTES", len(CONTENT) - 1)
    file_id = new_file(box, new_job(box))
    file = inference_files.find_file(box.db, file_id)
    assert file is not None
    assert file.awaits_copy
    assert file.upload_key is not None
    report = backup(box, tmp_path / "backup")
    assert (report.objects, report.missing) == (1, [])
    assert (tmp_path / "backup" / "objects" / file.upload_key).read_bytes() == CONTENT
    assert backup(box, tmp_path / "backup").removed == 0
    assert verify(box).is_clean


def test_models_that_tenants_trained_come_back(box: Box, objects: DictionaryStore, tmp_path: Path) -> None:
    toy_models.frame_model(box.settings.data_dir / TRAINED / "tenant-2", name="own")
    backup(box, tmp_path / "backup")
    empty = tmp_path / "new"
    empty.mkdir()
    restore(tmp_path / "backup", empty, tmp_path / "store", objects)  # type: ignore[arg-type]
    models = ModelStore(empty / TRAINED / "tenant-2").models()
    assert [model.manifest.id for model in models] == ["own@1.0.0"]
