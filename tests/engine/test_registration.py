"""A manifest that contradicts its graph or itself is refused, and the message names the field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.engine.models.store import ModelStore
from appliance.engine.registration import CheckLimits, add_model, check_model
from appliance.errors import InvalidManifest, ModelExists
from tests.support import toy_models

FRAME = 256 / 22_050


def edited(folder: Path, old: str, new: str) -> Path:
    """Change one passage of the manifest and return the folder."""
    file = folder / "manifest.toml"
    text = file.read_text()
    assert text.count(old) == 1, (old, text)
    file.write_text(text.replace(old, new))
    return folder


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        # the manifest contradicts the graph
        ('sha256 = "', 'sha256 = "0', "sha256"),
        ('[input]\n        name = "audio"', '[input]\n        name = "sound"', "input.name"),
        ('layout = "batch,samples,1"', 'layout = "batch,1,samples"', "input.layout"),
        ('layout = "batch,samples,1"', 'layout = "batch,samples"', "input.layout"),
        (f"window_seconds = {86 * FRAME!r}", "window_seconds = 1.0", "input.window_seconds"),
        ("sample_rate_hz = 22050", "sample_rate_hz = 16000", "input.window_seconds"),
        ('name = "scores"', 'name = "logits"', "output.name"),
        (f'kind = "frame"\n        frame_hop_seconds = {FRAME!r}', 'kind = "window"', "output.kind"),
        (f"frame_hop_seconds = {FRAME!r}", "frame_hop_seconds = 0.02", "output.frame_hop_seconds"),
        (f"frame_hop_seconds = {FRAME!r}", "frame_hop_seconds = 0.005", "output.frame_hop_seconds"),
        ('name = "loud"', 'name = "loud"\n        [[labels]]\n        name = "quiet"', "labels"),
        ('kind = "frame"', 'kind = "frame"\n        embedding = "vector"', "output.embedding"),
        ('kind = "frame"', 'kind = "frame"\n        features = "head_features"', "output.features"),
        # the manifest is invalid for every graph
        (f"hop_seconds = {43 * FRAME!r}", "hop_seconds = 2.0", "input.hop_seconds"),
        (f"hop_seconds = {43 * FRAME!r}", "hop_seconds = 0.5\n        tail_seconds = 0.5", "tail_seconds"),
        (
            f"hop_seconds = {43 * FRAME!r}",
            "hop_seconds = 0.5\n        window_step_seconds = 1e-9",
            "window_step_seconds",
        ),
        (f"hop_seconds = {43 * FRAME!r}", "hop_seconds = 0.00001", "input.hop_seconds"),
        (f"        frame_hop_seconds = {FRAME!r}\n", "", "frame_hop_seconds"),
        (f"frame_hop_seconds = {FRAME!r}", "frame_hop_seconds = 5.0", "frame_hop_seconds"),
        ('name = "loud"', 'name = "loud"\n        [[labels]]\n        name = "loud"', "labels"),
        ('name = "loud"', 'name = ""', "labels.0.name"),
        ('name = "loud"', 'name = "loud"\n        threshold = 1.5', "labels.0.threshold"),
        ('name = "loud"', 'name = "loud"\n        treshold = 0.5', "labels.0.treshold"),
        ('name = "loud"', 'name = "loud"\n        hysteresis_ratio = 0.0', "labels.0.hysteresis_ratio"),
        ('kind = "frame"', 'kind = "frames"', "output.kind"),
        ('kind = "frame"', 'kind = "frame"\n        activation = "relu"', "output.activation"),
        ("sample_rate_hz = 22050", 'sample_rate_hz = "22050"', "input.sample_rate_hz"),
        ("sample_rate_hz = 22050", "sample_rate_hz = 22050.0", "input.sample_rate_hz"),
        ("sample_rate_hz = 22050", "sample_rate = 22050", "input.sample_rate"),
        ('task = "detection"', 'task = "detecting"', "task"),
        ('licence = "CC0-1.0"', 'license = "CC0-1.0"', "license"),
        ('version = "1.0.0"', 'version = "latest"', "version"),
        ('name = "loud-frames"', 'name = "../loud"', "name"),
        ("[output]", "[defaults]\n        merge_window_ms = 6000\n        [output]", "defaults.merge_window_ms"),
        ("[output]", "[outputs]", "outputs"),
    ],
)
def test_every_contradiction_is_reported_with_its_field(tmp_path: Path, old: str, new: str, field: str) -> None:
    source = edited(toy_models.frame_model(tmp_path / "source"), old, new)
    store = ModelStore(tmp_path / "store")
    with pytest.raises(InvalidManifest) as refused:
        add_model(store, source, CheckLimits())
    assert field in str(refused.value).replace(str(tmp_path), "")
    assert store.models() == []


def test_scores_that_are_not_probabilities_are_refused(tmp_path: Path) -> None:
    """The graph returns logits and the manifest states no activation."""
    source = edited(toy_models.softmax_model(tmp_path / "source"), 'activation = "softmax"', 'activation = "none"')
    with pytest.raises(InvalidManifest, match=r"output\.activation"):
        add_model(ModelStore(tmp_path / "store"), source, CheckLimits())


def test_a_manifest_that_is_invalid_toml_or_missing_cannot_be_read(tmp_path: Path) -> None:
    source = toy_models.frame_model(tmp_path / "source")
    (source / "manifest.toml").write_text("name = ")
    with pytest.raises(InvalidManifest, match="cannot be read"):
        add_model(ModelStore(tmp_path / "store"), source, CheckLimits())
    (source / "manifest.toml").unlink()
    with pytest.raises(InvalidManifest, match="cannot be read"):
        add_model(ModelStore(tmp_path / "store"), source, CheckLimits())


def test_a_missing_graph_is_reported(tmp_path: Path) -> None:
    source = toy_models.frame_model(tmp_path / "source")
    (source / "model.onnx").unlink()
    with pytest.raises(InvalidManifest, match=r"model\.onnx is missing"):
        add_model(ModelStore(tmp_path / "store"), source, CheckLimits())


@pytest.mark.parametrize("maker", [toy_models.window_model, toy_models.frame_model, toy_models.softmax_model])
def test_a_valid_model_is_added_with_all_its_files(tmp_path: Path, maker: Callable[[Path], Path]) -> None:
    source = maker(tmp_path / "source")
    (source / "MODEL_CARD.md").write_text("# Model card")
    store = ModelStore(tmp_path / "store")
    store.root.mkdir()
    added = add_model(store, source, CheckLimits())
    assert added.folder == store.root / added.manifest.name / added.manifest.version
    assert store.models() == [added]
    assert {file.name for file in added.folder.iterdir()} == {"model.onnx", "manifest.toml", "MODEL_CARD.md"}
    assert [path.name for path in store.root.iterdir()] == [added.manifest.name]
    check_model(added, CheckLimits())


@pytest.mark.parametrize("any_length", [False, True])
def test_shorter_windows_are_accepted_if_the_graph_takes_them(tmp_path: Path, any_length: bool) -> None:
    source = toy_models.softmax_model(tmp_path / "source", any_length=any_length)
    edited(source, "hop_seconds = 1.0", "hop_seconds = 1.0\n        window_step_seconds = 0.1")
    store = ModelStore(tmp_path / "store")
    if any_length:
        add_model(store, source, CheckLimits())
    else:
        with pytest.raises(InvalidManifest, match=r"input\.window_step_seconds: of 2400 samples"):
            add_model(store, source, CheckLimits())


def test_a_shorter_window_that_scores_differently_is_refused(tmp_path: Path) -> None:
    """Its scores are the mean over the window, and a shorter window has less silence in it."""
    source = toy_models.mean_model(tmp_path / "source")
    with pytest.raises(InvalidManifest, match=r"input\.tail_seconds: the scores of a shorter window differ by"):
        add_model(ModelStore(tmp_path / "store"), source, CheckLimits())


def test_a_graph_with_a_fixed_batch_size_is_accepted(tmp_path: Path) -> None:
    add_model(ModelStore(tmp_path / "store"), toy_models.softmax_model(tmp_path / "source", batch=1), CheckLimits())


def test_a_missing_store_folder_is_created(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "deep" / "store")
    assert store.models() == []
    add_model(store, toy_models.frame_model(tmp_path / "source"), CheckLimits())
    assert len(store.models()) == 1


def test_adding_a_model_again_changes_nothing_and_a_changed_one_needs_a_new_version(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    source = toy_models.frame_model(tmp_path / "source")
    first = add_model(store, source, CheckLimits())
    assert add_model(store, source, CheckLimits()) == first
    edited(source, 'licence = "CC0-1.0"', 'licence = "MIT"')
    with pytest.raises(ModelExists, match="new version"):
        add_model(store, source, CheckLimits())
    edited(source, 'version = "1.0.0"', 'version = "1.0.1"')
    assert add_model(store, source, CheckLimits()).manifest.version == "1.0.1"
    assert len(store.models()) == 2


def test_a_broken_model_is_not_overwritten(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    source = toy_models.frame_model(tmp_path / "source")
    graph = add_model(store, source, CheckLimits()).graph
    graph.unlink()
    with pytest.raises(ModelExists, match="cannot be used"):
        add_model(store, source, CheckLimits())
    assert not graph.exists()
