"""Which server is chosen, and where its program is searched for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from appliance import ROOT
from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.storage import binaries
from appliance.storage.identities import load_or_make_identities
from appliance.storage.objects import ObjectStore
from appliance.storage.seaweedfs_server import remove_dead_sockets
from appliance.storage.servers import choose_server
from tests.support.servers import RunningStorage


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without storage servers: an empty PATH and an empty cache."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("APPLIANCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("APPLIANCE_MINIO", raising=False)
    monkeypatch.delenv("APPLIANCE_STORAGE_SERVER", raising=False)
    return tmp_path


def built_minio(machine: Path) -> Path:
    version = Path("scripts/requirements/minio.version")
    return program(machine / "cache" / "minio" / (ROOT / version).read_text().strip() / "minio")


def test_minio_is_searched_for_in_order(empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert binaries.find_minio() is None
    minio = built_minio(empty_machine)
    assert binaries.find_minio() == minio
    on_path = program(empty_machine / "bin" / "minio")
    assert binaries.find_minio() == on_path
    other = program(empty_machine / "other")
    monkeypatch.setenv("APPLIANCE_MINIO", str(other))
    assert binaries.find_minio() == other
    monkeypatch.setenv("APPLIANCE_MINIO", str(empty_machine / "nothing"))
    with pytest.raises(ConfigurationError, match="APPLIANCE_MINIO"):
        binaries.find_minio()


def test_seaweedfs_is_chosen_if_there_is_no_minio_with_a_notice(empty_machine: Path) -> None:
    settings = Settings(data_dir=empty_machine / "data")
    with pytest.raises(ConfigurationError, match="install-storage"):
        choose_server(settings)
    program(empty_machine / "bin" / "weed")
    server = choose_server(settings)
    assert server.name == "seaweedfs"
    assert not settings.data_dir.exists()  # choosing a server, as doctor does, writes nothing
    assert "\n" not in (server.notice or "\n")


def test_a_data_folder_keeps_its_server(empty_machine: Path) -> None:
    settings = Settings(data_dir=empty_machine / "data")
    load_or_make_identities(settings.data_dir, "seaweedfs", ("root",))
    program(empty_machine / "bin" / "weed")
    built_minio(empty_machine)
    assert choose_server(settings).name == "seaweedfs"
    with pytest.raises(ConfigurationError, match="stored by seaweedfs"):
        choose_server(Settings(data_dir=empty_machine / "data", storage_server="minio"))


def test_an_external_server_is_used_without_changes(storage: RunningStorage, tmp_path: Path) -> None:
    keys = storage.access.service
    settings = Settings(
        data_dir=tmp_path,
        storage_server="external",
        storage_endpoint=storage.access.endpoint,
        storage_access_key=keys.access_key,
        storage_secret_key=keys.secret_key,
    )
    server = choose_server(settings)
    assert server.command() is None
    assert server.ready()
    access = server.prepare()
    assert access.temporary is (storage.server.name == "minio")
    assert (server.notice is None) is access.temporary
    store = ObjectStore(access)
    store.put("external/a", b"abc", content_type="audio/wav")
    assert store.stat("external/a").size_bytes == 3


def test_an_external_server_needs_its_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="storage_endpoint"):
        choose_server(Settings(data_dir=tmp_path, storage_server="external"))


def test_sockets_of_seaweedfs_are_removed_when_their_server_is_dead(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    names = ("dead", "living", "young")
    paths = {name: tmp_path / f"seaweedfs-{name}.sock" for name in names}
    for name, path in paths.items():
        server = listening if name == "living" else socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        if name == "living":
            server.listen()
        else:
            server.close()
        if name != "young":
            os.utime(path, (0, 0))
    (tmp_path / "seaweedfs-file.sock").write_text("")
    remove_dead_sockets(tmp_path)
    listening.close()
    assert {path.name for path in tmp_path.iterdir()} == {
        "seaweedfs-living.sock",
        "seaweedfs-young.sock",
        "seaweedfs-file.sock",
    }
