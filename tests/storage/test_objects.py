"""The object store against both real servers."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import stat
import tempfile
import time
import tracemalloc
import uuid
from pathlib import Path

import pytest

from appliance.errors import ConfigurationError, ObjectChanged, ObjectMissing, StorageError, StorageUnavailable
from appliance.storage import copies
from appliance.storage.access import load_access
from appliance.storage.identities import load_or_make_identities
from appliance.storage.objects import ObjectStore
from appliance.storage.seam import connection_pool, s3_client
from tests.support.appliances import PATIENCE_SECONDS, wait_for
from tests.support.servers import RunningStorage, running_storage


def new_key() -> str:
    return f"incoming/tenant-1/{uuid.uuid4()}"


def read(store: ObjectStore, key: str, etag: str) -> bytes:
    file = io.BytesIO()
    store.fetch(key, etag, file)
    return file.getvalue()


def read_soon(store: ObjectStore, key: str, etag: str) -> bytes:
    """Read from a server that has just started and may not have found its files yet."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return read(store, key, etag)
        except StorageUnavailable:
            assert time.monotonic() < deadline


def test_an_object_is_stored_read_and_deleted(storage: RunningStorage) -> None:
    store, key = storage.store, new_key()
    content = os.urandom(6 * 1024**2 + 1)  # more than one part of an upload
    store.put(key, io.BytesIO(content), size_bytes=len(content), content_type="audio/flac")
    info = store.stat(key)
    assert info.size_bytes == len(content)
    assert '"' not in info.etag
    assert read(store, key, info.etag) == content
    store.delete(key)
    store.delete(key)
    with pytest.raises(ObjectMissing):
        store.stat(key)
    with pytest.raises(ObjectMissing):
        read(store, key, info.etag)


def test_a_large_file_is_stored_without_being_held(minio_storage: RunningStorage) -> None:
    size_bytes = 64 * 1024**2
    with tempfile.TemporaryFile() as file:
        file.truncate(size_bytes)
        tracemalloc.start()
        try:
            minio_storage.store.put(new_key(), file, size_bytes=size_bytes, content_type="audio/flac")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 16 * 1024**2


def test_an_object_that_was_replaced_is_not_read(storage: RunningStorage) -> None:
    store, key = storage.store, new_key()
    first = store.put(key, b"first", content_type="audio/wav")
    store.put(key, b"other", content_type="audio/wav")
    with pytest.raises(ObjectChanged):
        read(store, key, first.etag)


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/*", "a/${aws:username}", "a/.b", "a b", "a" * 901])
def test_keys_that_would_widen_a_grant_are_refused(minio_storage: RunningStorage, key: str) -> None:
    for call in (
        lambda: minio_storage.store.stat(key),
        lambda: minio_storage.store.upload_form(
            key, content_type="audio/wav", origin="http://a", size_bytes=1, expires_seconds=60
        ),
    ):
        with pytest.raises(StorageError, match="not a key"):
            call()


def test_a_form_has_its_fields_in_order_and_hides_the_parent_key(minio_storage: RunningStorage) -> None:
    key = new_key()
    form = minio_storage.store.upload_form(
        key, content_type="audio/wav", origin="https://box.example/", size_bytes=10, expires_seconds=60
    )
    assert form.url == "https://box.example/audio"
    names = "key Content-Type policy x-amz-algorithm x-amz-credential x-amz-date x-amz-security-token x-amz-signature"
    assert list(form.fields) == names.split()
    assert form.fields["x-amz-credential"].split("/")[0] != minio_storage.access.writer.access_key


def test_the_server_is_ready_and_then_not(tmp_path: Path) -> None:
    with running_storage("minio", tmp_path) as storage:
        wait_for(storage.store.ready)
        storage.process.kill()
        storage.process.wait()
        assert not storage.server.ready()
        assert not storage.store.ready()
        with pytest.raises(StorageUnavailable):
            storage.store.stat("a")
        with pytest.raises(StorageUnavailable):
            storage.store.upload_form("a", content_type="audio/wav", origin="http://a", size_bytes=1, expires_seconds=1)


@pytest.mark.parametrize("name", ["minio", "seaweedfs"])
def test_acknowledged_objects_survive_a_kill(name: str, tmp_path: Path) -> None:
    other = {"minio": "seaweedfs", "seaweedfs": "minio"}[name]
    with running_storage(name, tmp_path) as storage:
        info = storage.store.put("a/b", b"abc", content_type="audio/wav")
        storage.process.kill()
    secrets = {path: path.read_bytes() for path in (tmp_path / "secrets").glob("storage.json")}
    with running_storage(name, tmp_path) as storage:
        assert read_soon(storage.store, "a/b", info.etag) == b"abc"
    assert secrets == {path: path.read_bytes() for path in (tmp_path / "secrets").glob("storage.json")}
    with pytest.raises(ConfigurationError, match=f"stored by {name}"), running_storage(other, tmp_path):
        pass


def test_only_the_owner_can_read_secrets_and_no_command_line_shows_them(storage: RunningStorage) -> None:
    folder = storage.settings.data_dir / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    access = load_access(storage.settings.data_dir)
    assert access == storage.access
    command = " ".join(storage.server.command() or [])
    for identity in storage.server._identities.values():  # type: ignore[attr-defined]
        assert identity.secret_key not in command
        assert identity.secret_key not in repr(access)


def test_storage_listens_only_on_loopback(storage: RunningStorage) -> None:
    addresses = listening_addresses(storage.process.pid)
    assert addresses
    assert addresses <= {"0100007F", "00000000000000000000000001000000"}


def listening_addresses(pid: int) -> set[str]:
    """Return the local addresses of a process's listening TCP sockets, as /proc/net writes them."""
    inodes = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed just now
            inodes.add(os.readlink(file).removeprefix("socket:[")[:-1])
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return {line[1].split(":")[0] for line in lines if line[3] == "0A" and line[9] in inodes}


def test_a_data_folder_without_storage_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="No object storage was started"):
        load_access(tmp_path)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "storage-access.json").write_text("{}")
    with pytest.raises(StorageError, match="cannot be read"):
        load_access(tmp_path)


@pytest.mark.parametrize("size_bytes", [1000, 64 * 1024**2 + 1, 150 * 1024**2])
def test_a_copy_has_the_bytes_and_the_type_of_its_source(minio_storage: RunningStorage, size_bytes: int) -> None:
    store, source, target = minio_storage.store, new_key(), new_key()
    content = os.urandom(1000) * (size_bytes // 1000) + b"end"
    info = store.put(source, content, content_type="audio/flac")
    copied = store.copy(source, info, target)
    assert store.stat(target) == copied
    assert read(store, target, copied.etag) == content
    stat = store._client.stat_object("audio", target)
    assert stat.content_type == "audio/flac"


@pytest.mark.parametrize("size_bytes", [1000, 64 * 1024**2 + 1])
def test_only_the_expected_source_is_copied(minio_storage: RunningStorage, size_bytes: int) -> None:
    store, source, target = minio_storage.store, new_key(), new_key()
    info = store.put(source, b"a" * size_bytes, content_type="audio/flac")
    store.put(source, b"b" * size_bytes, content_type="audio/flac")
    with pytest.raises(ObjectChanged):
        store.copy(source, info, target)
    with pytest.raises(ObjectMissing):
        store.stat(target)
    root = load_or_make_identities(minio_storage.settings.data_dir, "minio", ())["root"]
    client = s3_client(minio_storage.access.endpoint, "us-east-1", root, connection_pool())
    assert [upload for upload in client._list_multipart_uploads("audio").uploads if upload.object_name == target] == []


@pytest.mark.parametrize("size_bytes", [1, 64 * 1024**2, 64 * 1024**2 + 1, 6 * 1024**4, 5 * 1024**4])
def test_the_parts_of_a_copy_are_the_whole_object(size_bytes: int) -> None:
    ranges = copies.part_ranges(size_bytes)
    assert (ranges[0][0], ranges[-1][1]) == (0, size_bytes - 1)
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(ranges))
    assert len(ranges) <= 10_000
    assert max(last - first + 1 for first, last in ranges) <= 5 * 1024**3


def test_keys_are_listed_by_their_prefix(minio_storage: RunningStorage) -> None:
    folder = new_key()
    for name in ("a", "b", "c"):
        minio_storage.store.put(f"{folder}/{name}", b"x", content_type="audio/wav")
    assert [stored.key for stored in minio_storage.store.list(f"{folder}/", 2)] == [f"{folder}/a", f"{folder}/b"]
    newest = minio_storage.store.list(f"{folder}/c", 10)
    assert [stored.key for stored in newest] == [f"{folder}/c"]
    assert abs(newest[0].modified_at - time.time()) < 60
