"""The token of a cluster, what a box needs for one, and its nodes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.errors import ConfigurationError, NotFound
from appliance.services import cluster
from appliance.state import nodes
from appliance.state.database import Database
from appliance.state.nodes import Node
from appliance.supervisor import parts, unit

S3 = {"storage_server": "external", "storage_endpoint": "http://127.0.0.1:1", "storage_access_key": "a"}


def node(name: str, **values: object) -> Node:
    fields = {"address": "127.0.0.2", "state": "ready", "reason": "", "engines": 1, "busy": 0, "lost_engines": 0}
    return Node(id=f"id-{name}", name=name, files=0, **(fields | values))  # type: ignore[arg-type]


def test_the_token_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    token = cluster.make_token(tmp_path)
    assert len(token) == 64
    assert cluster.make_token(tmp_path) == token
    path = cluster.token_file(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for mode in (0o640, 0o604, 0o644):
        path.chmod(mode)
        with pytest.raises(ConfigurationError, match=f"Other users can read .*{path}"):
            cluster.read_token(path)
    path.chmod(0o600)
    path.write_text("short\n")
    with pytest.raises(ConfigurationError, match="has no token"):
        cluster.read_token(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        cluster.read_token(tmp_path / "none")


def test_a_credential_of_systemd_is_accepted_with_the_mode_that_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = cluster.make_token(tmp_path)
    path = cluster.token_file(tmp_path)
    path.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    assert cluster.read_token(path) == token


def test_a_box_is_no_head_without_a_token_or_with_bundled_storage(tmp_path: Path) -> None:
    bundled = Settings(data_dir=tmp_path, executor="ray")
    external = Settings(data_dir=tmp_path, executor="ray", storage_secret_key="s", **S3)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="storage_server = external"):
        parts.head(bundled)
    with pytest.raises(ConfigurationError, match="appliance cluster token"):
        parts.head(external)
    cluster.make_token(tmp_path)
    part = parts.head(external)
    assert part
    assert len(parts.workers(external)) == 1
    os.chmod(cluster.token_file(tmp_path), 0o644)
    with pytest.raises(ConfigurationError, match="Other users can read"):
        parts.head(external)
    assert parts.head(Settings(data_dir=tmp_path)) is None


def test_the_units_serve_a_head_and_a_worker_with_nodes(tmp_path: Path) -> None:
    box = Settings(data_dir=tmp_path, executor="ray", storage_secret_key="s", **S3)  # type: ignore[arg-type]
    cluster.make_token(tmp_path)
    assert [part.name for part in unit.parts_of(box, "head")] == ["head"]
    assert [part.name for part in unit.parts_of(box, "worker")] == ["worker"]
    with pytest.raises(ConfigurationError, match="executor = local"):
        unit.parts_of(Settings(data_dir=tmp_path), "head")


def test_a_box_without_ray_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ray_version", lambda: None)
    with pytest.raises(ConfigurationError, match="scripts/bootstrap cluster"):
        parts.head(Settings(data_dir=tmp_path, executor="ray"))


@pytest.mark.parametrize("listen", ["0.0.0.0:6379", "[::]:6379", "10.0.0.1", "10.0.0.1:x", "10.0.0.1:70000"])
def test_the_address_of_the_cluster_is_one_of_this_machine(listen: str) -> None:
    with pytest.raises(ValueError, match="cluster_listen"):
        Settings(cluster_listen=listen)


def test_what_must_be_the_same_on_all_machines_is_one_label() -> None:
    label = cluster.versions()
    assert f"ray-{cluster.ray_version()}" in label
    assert len(label) <= 63  # the longest that Ray takes


def test_a_node_is_drained_by_its_name_until_it_joins_again(tmp_path: Path) -> None:
    database = Database(tmp_path / "appliance.db")
    database.migrate()
    with database.transaction() as tx:
        nodes.replace_all(tx, [node("b"), node("a")])
    assert [item.name for item in cluster.list_nodes(database)] == ["a", "b"]
    with pytest.raises(NotFound, match="no node 'c'"):
        cluster.drain(database, "c")
    cluster.drain(database, "a")
    cluster.drain(database, "a")
    assert nodes.drains(database) == {"id-a"}
    with database.transaction() as tx:
        nodes.replace_all(tx, [node("b")])
    assert nodes.drains(database) == set()
    with database.transaction() as tx:
        tx.change("UPDATE nodes SET seen_at = seen_at - 60")
    assert cluster.list_nodes(database) == []
