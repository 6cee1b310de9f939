"""Sessions: the provider is tested and never assumed; activations; outputs of the wrong shape."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.models import runtime
from appliance.engine.models import session as session_module
from appliance.engine.models.gpu_options import GpuOptions
from appliance.engine.models.manifest import Manifest, read_manifest
from appliance.engine.models.runtime import choose_provider
from appliance.engine.models.session import Parallel, Session, activate
from appliance.engine.models.store import StoredModel
from appliance.errors import InvalidManifest, ProviderUnavailable, ScoringFailed
from tests.support import toy_models
from tests.support.appliances import ROOT


def stored(folder: Path) -> StoredModel:
    return StoredModel(read_manifest(folder / "manifest.toml"), folder)


def test_onnxruntime_stores_and_sends_no_telemetry(tmp_path: Path) -> None:
    """Its telemetry would write an identifier and a queue into the folders for temporary and cached files."""
    folder = toy_models.window_model(tmp_path / "store")
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "import sys; from pathlib import Path; from appliance.engine.models.session import Session; "
        "from tests.engine.models.test_session import stored; "
        "Session(stored(Path(sys.argv[1])), 'cpu').slots[0].score(1)"
    )
    removed = ("ORT_", "XDG_", "CI", "GITHUB_")  # it also sends nothing if it takes the machine for a test machine
    environment = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    environment |= {"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", script, str(folder)], env=environment, cwd=ROOT, check=True)
    assert list(home.rglob("*")) == []


def test_cuda_is_refused_if_it_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "why_no_cuda", lambda: "no driver")
    assert choose_provider("auto") == choose_provider("cpu") == "cpu"
    with pytest.raises(ProviderUnavailable, match="no driver"):
        choose_provider("cuda")


def test_cuda_is_chosen_if_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "why_no_cuda", lambda: None)
    assert choose_provider("auto") == choose_provider("cuda") == "cuda"
    assert choose_provider("cpu") == "cpu"


def test_why_no_cuda_returns_on_every_machine() -> None:
    reason = runtime.why_no_cuda()
    assert reason is None or reason
    assert choose_provider("auto") == ("cpu" if reason else "cuda")


def with_activation(folder: Path, activation: str) -> Manifest:
    manifest = stored(toy_models.window_model(folder)).manifest
    assert isinstance(manifest, Manifest)
    return manifest.model_copy(update={"output": manifest.output.model_copy(update={"activation": activation})})


def test_activations_match_values_computed_by_hand(tmp_path: Path) -> None:
    logits = np.array([[[0.0, 2.0], [-1000.0, 1000.0]]], np.float32)
    assert activate(logits, with_activation(tmp_path, "none")) is logits
    sigmoid = activate(logits, with_activation(tmp_path, "sigmoid"))
    np.testing.assert_allclose(sigmoid, [[[0.5, 0.880797], [0.0, 1.0]]], atol=1e-6)
    softmax = activate(logits, with_activation(tmp_path, "softmax"))
    np.testing.assert_allclose(softmax, [[[0.119203, 0.880797], [0.0, 1.0]]], atol=1e-6)


def test_a_fixed_batch_size_wins_then_the_argument_then_the_providers_default(tmp_path: Path) -> None:
    free = stored(toy_models.softmax_model(tmp_path / "free"))
    single = stored(toy_models.softmax_model(tmp_path / "single", batch=1))
    assert Session(free, "cpu").batch_size == session_module.CPU_BATCH_SIZE
    assert Session(free, "cpu", 7).batch_size == 7
    assert Session(single, "cpu", 7).batch_size == 1


@pytest.mark.parametrize("batch", ["batch", 4])
def test_a_partial_batch_gives_one_score_for_each_window(tmp_path: Path, batch: int | str) -> None:
    session = Session(stored(toy_models.softmax_model(tmp_path, batch=batch)), "cpu", 4)
    slot = session.slots[0]
    slot.windows[:] = 0.5  # windows of an earlier, full batch
    assert slot.score(4).shape == (4, 100, 2)
    slot.windows[0] = 0
    scores = slot.score(1)
    assert scores.shape == (1, 100, 2)
    assert (scores[0, :, 1] < 1e-6).all()


def test_a_window_model_gives_one_frame(tmp_path: Path) -> None:
    session = Session(stored(toy_models.window_model(tmp_path)), "cpu")
    session.slots[0].windows[0] = 0.1
    np.testing.assert_allclose(session.slots[0].score(1), [[[0.5]]], atol=1e-4)


def test_scores_of_the_wrong_shape_are_reported(tmp_path: Path) -> None:
    folder = toy_models.softmax_model(tmp_path)
    text = (folder / "manifest.toml").read_text()
    (folder / "manifest.toml").write_text(f'{text}\n[[labels]]\nname = "third"\n')
    with pytest.raises(ScoringFailed, match=r"\(1, 100, 2\)"):
        Session(stored(folder), "cpu").slots[0].score(1)


def test_an_invalid_graph_does_not_load(tmp_path: Path) -> None:
    folder = toy_models.window_model(tmp_path)
    (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(InvalidManifest, match="does not load"):
        Session(stored(folder), "cpu")


def test_a_missing_output_fails_the_batch(tmp_path: Path) -> None:
    session = Session(stored(toy_models.window_model(tmp_path)), "cpu")
    with pytest.raises(ScoringFailed, match="could not score"):
        session.slots[0].run(1, "nothing")


@pytest.mark.parametrize("how", [Parallel(1, 1), GpuOptions()])
def test_a_batch_for_which_memory_does_not_suffice_is_run_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Parallel | GpuOptions
) -> None:
    session, limit, tries = Session(stored(toy_models.softmax_model(tmp_path)), "cpu", 7, how), 2, list[int]()
    slot = session.slots[0]
    run_part = slot._run_part

    def run(start: int, count: int, output: str) -> np.ndarray:
        tries.append(count)
        if count > limit:
            raise RuntimeError("bfc_arena.cc:359 AllocateRawInternal Failed to allocate memory for requested buffer")
        return run_part(start, count, output)

    slot.windows[:] = np.linspace(0, 0.5, 7)[:, np.newaxis]
    expected = slot.score(7)
    monkeypatch.setattr(slot, "_run_part", run)
    np.testing.assert_allclose(slot.score(7), expected, atol=1e-6)
    assert tries == [7, 4, 2, 2, 2, 1]
    tries.clear()
    np.testing.assert_allclose(slot.score(7), expected, atol=1e-6)
    assert tries == [2, 2, 2, 1]  # the size that fits is kept
    limit, tries = 0, []
    with pytest.raises(ScoringFailed, match="Failed to allocate memory"):
        slot.score(7)
    assert tries == [2, 1]


def test_other_failures_and_fixed_batches_are_not_run_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = Session(stored(toy_models.softmax_model(tmp_path / "free")), "cpu", 4)
    fixed = Session(stored(toy_models.softmax_model(tmp_path / "fixed", batch=4)), "cpu")
    for session, message in ((free, "CUDA error 700"), (fixed, "CUDA failure 2: out of memory")):
        tries: list[str] = []

        def fail(start: int, count: int, output: str, message: str = message, tries: list[str] = tries) -> np.ndarray:
            tries.append(message)
            raise RuntimeError(message)

        monkeypatch.setattr(session.slots[0], "_run_part", fail)
        with pytest.raises(ScoringFailed, match=message):
            session.slots[0].score(4)
        assert len(tries) == 1
