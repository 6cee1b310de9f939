"""``models``: list, show, add, verify."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support import toy_models


@pytest.fixture
def store(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model store that a test may change."""
    monkeypatch.setenv("APPLIANCE_MODEL_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_list_names_the_models_and_what_they_report(run: Run, store: Path) -> None:
    toy_models.softmax_model(store)
    toy_models.frame_model(store)
    toy_models.frame_model(store, version="1.2.0")
    (toy_models.window_model(store) / "model.onnx").unlink()
    result = run("models", "list")
    lines = [line for line in result.stdout.splitlines() if "@" in line]
    assert [line.split()[1] for line in lines] == ["loud-frames@1.2.0", "loud-frames@1.0.0", "loud-softmax@1.0.0"]
    assert all("loud" in line and "detection" in line and "CC0-1.0" in line for line in lines)
    assert "background" not in result.stdout
    assert "model.onnx is missing" in result.stderr


def test_show_prints_the_manifest_and_the_card(run: Run, store: Path) -> None:
    folder = toy_models.frame_model(store)
    manifest = json.loads(run("models", "show", "loud-frames").stdout)
    assert (manifest["name"], manifest["input"]["layout"]) == ("loud-frames", "batch,samples,1")
    (folder / "MODEL_CARD.md").write_text("# It hears loudness")
    assert run("models", "show", "loud-frames@1.0.0").stdout.rstrip().endswith("# It hears loudness")
    assert "no model 'x'" in run("models", "show", "x", code=1).stderr


def test_add_checks_and_copies(run: Run, store: Path, tmp_path: Path) -> None:
    source = toy_models.frame_model(tmp_path / "source")
    assert run("models", "add", source).stdout == "Added loud-frames@1.0.0.\n"
    assert (store / "loud-frames" / "1.0.0" / "model.onnx").is_file()
    manifest = source / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('"1.0.0"', '"2.0.0"').replace("batch,samples,1", "batch,samples"))
    assert "input.layout" in run("models", "add", source, code=1).stderr
    assert not (store / "loud-frames" / "2.0.0").exists()
    run("models", "add", tmp_path / "nowhere", code=2)


def test_remove_removes_one_version_that_nothing_needs(run: Run, store: Path) -> None:
    for version in ("1.0.0", "1.2.0"):
        toy_models.frame_model(store, version=version)
    toy_models.softmax_model(store)
    (toy_models.window_model(store) / "model.onnx").unlink()  # one that cannot be used
    assert "name it as <name>@<version>" in run("models", "remove", "loud-frames", "--data-dir", "data", code=1).stderr
    refused = run("models", "remove", "loud-frames@1.2.0", "--data-dir", "data", code=1).stderr
    assert "is the default_model of this appliance" in refused
    for model in ("loud-frames@1.0.0", "loud-softmax@1.0.0", "loud-windows@1.0.0"):
        assert run("models", "remove", model, "--data-dir", "data").stdout == f"Removed {model}.\n"
    assert [str(path.relative_to(store)) for path in store.glob("*/*")] == ["loud-frames/1.2.0"]
    assert [path.name for path in store.iterdir()] == ["loud-frames"]


def test_who_adds_and_removes_a_model_is_in_the_audit_log(run: Run, store: Path, tmp_path: Path) -> None:
    toy_models.frame_model(store, version="2.0.0")
    source = toy_models.frame_model(tmp_path / "source")
    run("models", "add", source, "--data-dir", "data")
    assert not Path("data").exists()  # no appliance was started with it, so there is no log
    run("models", "remove", "loud-frames@1.0.0", "--data-dir", "data")
    run("models", "add", source, "--data-dir", "data")
    table = run("audit", "--data-dir", "data").stdout
    acts = [[cell.strip() for cell in line.split("│")][2:5] for line in table.splitlines() if "loud-frames" in line]
    assert acts == [
        [f"{getpass.getuser()}, command line", did, "loud-frames@1.0.0"] for did in ("model added", "model removed")
    ]


def test_verify_checks_every_model(run: Run, store: Path) -> None:
    toy_models.frame_model(store)
    toy_models.softmax_model(store)
    assert run("models", "verify").stdout.splitlines() == ["ok    loud-frames@1.0.0", "ok    loud-softmax@1.0.0"]
    graph = store / "loud-frames" / "1.0.0" / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")
    (toy_models.window_model(store) / "manifest.toml").write_text("x")
    result = run("models", "verify", code=1)
    assert result.stdout == "ok    loud-softmax@1.0.0\n"
    faults = result.stderr.splitlines()
    assert len(faults) == 2
    assert all(fault.startswith("FAIL  ") for fault in faults)
    assert any("sha256" in fault for fault in faults)
