"""What a node is refused for, by what Ray says. The starts of Ray are in tests/worker/test_ray_executor.py."""

from __future__ import annotations

import platform
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private.utils import check_version_info

from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.services import cluster
from appliance.supervisor import ray_node
from appliance.supervisor.ray_node import Join, serve_node

BOX = "127.0.0.1:6379"


def refusal(folder: Path) -> str:
    """Serve a node that is refused. Returns the reason."""
    join = Join(BOX, "one", "127.0.0.1", cluster.token_file(folder))
    with pytest.raises(ConfigurationError) as error:
        serve_node(Settings(data_dir=folder, provider="cpu"), join, threading.Event())
    return str(error.value)


@pytest.mark.parametrize(
    ("versions", "named"),
    [
        ({"ray_version": "2.0.0", "python_version": platform.python_version()}, "Ray: 2.0.0"),
        ({"ray_version": ray.__version__, "python_version": "3.9.1"}, "Python: 3.9.1"),
    ],
)
def test_a_node_with_another_ray_or_python_gives_up_and_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, versions: dict[str, Any], named: str
) -> None:
    with pytest.raises(RuntimeError) as said:
        check_version_info(versions, "node 127.0.0.1", raise_on_mismatch=True)
    cluster.make_token(tmp_path)
    monkeypatch.setattr(ray_node, "run_ray", lambda *_: f"Traceback\nRuntimeError: {said.value}\n")
    reason = refusal(tmp_path)
    assert f"The node one has another version than the box {BOX}" in reason
    assert named in reason
    assert f"Ray: {ray.__version__}" in reason


def test_a_node_whose_token_others_can_read_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_node, "run_ray", lambda *_: pytest.fail("Ray was started."))
    cluster.make_token(tmp_path)
    cluster.token_file(tmp_path).chmod(0o644)
    assert "Other users can read the token file" in refusal(tmp_path)


def test_what_a_killed_node_left_is_removed_and_what_another_uses_is_kept() -> None:
    data_dir = Path(tempfile.mkdtemp(prefix="r-"))  # a short path, as Ray needs for its sockets
    try:
        left = data_dir / "run" / "ray-left" / "session"
        left.mkdir(parents=True)
        with ray_node._folder(data_dir) as used, ray_node._folder(data_dir) as other:
            assert {*(data_dir / "run").iterdir()} == {used, other}
        assert not [*(data_dir / "run").iterdir()]
    finally:
        shutil.rmtree(data_dir)
