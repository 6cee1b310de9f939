"""What a GPU does, done by the CPU: batches of a few fixed sizes, and buffers that stay. The scores are the same."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.config import Settings
from appliance.engine.models.gpu_options import GpuOptions, batch_sizes
from appliance.engine.models.manifest import read_manifest
from appliance.engine.models.onnx_file import input_axes
from appliance.engine.models.runtime import Buffers
from appliance.engine.models.session import Session
from appliance.engine.models.store import StoredModel
from appliance.engine.scoring.scorer import Scorer
from tests.support import toy_models
from tests.support.tracks import TrackBuilder

MAKERS = [toy_models.window_model, toy_models.frame_model, toy_models.softmax_model]


def stored(folder: Path) -> StoredModel:
    return StoredModel(read_manifest(folder / "manifest.toml"), folder)


def fill(session: Session, seed: int = 0) -> None:
    slot = session.slots[0]
    slot.windows[:] = 0.2 * np.random.default_rng(seed).standard_normal(slot.windows.shape)


def test_sizes_of_batches_rise_fourfold_from_one() -> None:
    assert batch_sizes(64) == [1, 4, 16, 64]
    assert batch_sizes(7) == [1, 7]
    assert batch_sizes(1) == [1]


@pytest.mark.parametrize("maker", MAKERS)
def test_every_number_of_windows_scores_as_on_the_cpu(tmp_path: Path, maker: Callable[[Path], Path]) -> None:
    model = stored(maker(tmp_path))
    plain, fixed = Session(model, "cpu", 16), Session(model, "cpu", 16, GpuOptions())
    for count in range(1, 17):
        for session in (plain, fixed):
            fill(session, count)
            session.slots[0].load(count)
        np.testing.assert_allclose(fixed.slots[0].score(count), plain.slots[0].score(count), atol=1e-6)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_recording_scores_as_on_the_cpu(tmp_path: Path, maker: Callable[[Path], Path]) -> None:
    model = stored(maker(tmp_path))
    manifest = model.scoring
    source = manifest.input
    audio = (0.2 * np.random.default_rng(0).standard_normal(20 * source.window_samples + 77)).astype(np.float32)

    def score(scorer: Scorer) -> np.ndarray:
        window_ms = 1000 * source.window_samples / source.sample_rate_hz
        track = TrackBuilder(window_ms, manifest.frame_hop_ms, len(manifest.labels))
        scorer.score([audio], track)
        return track.finish(1000 * len(audio) / source.sample_rate_hz).scores

    tracks = list[np.ndarray]()
    for how in (None, GpuOptions(), GpuOptions(calls=2)):
        with Scorer(Session(model, "cpu", 4, how)) as scorer, ThreadPoolExecutor(3) as pool:
            tracks += pool.map(score, [scorer] * 3)
    for track in tracks[1:]:
        np.testing.assert_allclose(track, tracks[0], atol=1e-6)


def test_a_short_queue_runs_in_a_small_batch_and_buffers_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(stored(toy_models.window_model(tmp_path)), "cpu", 64, GpuOptions())
    made, loaded = list[int](), list[tuple[int, int]]()
    buffers, load = session.buffers, Buffers.load

    def make(size: int, shape: tuple[int, ...]) -> Buffers:
        made.append(size)
        return buffers(size, shape)

    def note(self: Any, batch: np.ndarray) -> None:
        loaded.append((len(batch), self._input.data_ptr()))
        load(self, batch)

    monkeypatch.setattr(session, "buffers", make)
    monkeypatch.setattr(Buffers, "load", note)
    counts = [1, 3, 40, 2, 64, 1, 16] * 5
    for count in counts:
        session.slots[0].load(count)
        assert session.slots[0].score(count).shape == (count, 1, 1)
    assert [size for size, _ in loaded] == [1, 4, 64, 4, 64, 1, 16] * 5
    assert sorted(made) == [1, 4, 16, 64]
    assert len({address for _, address in loaded}) == 4


def test_scores_stay_when_the_next_batch_runs(tmp_path: Path) -> None:
    session = Session(stored(toy_models.softmax_model(tmp_path)), "cpu", 4, GpuOptions())
    fill(session)
    first = session.slots[0].score(4)
    kept = first.copy()
    session.slots[0].windows[:] = 0
    assert not np.allclose(session.slots[0].score(4), kept)
    np.testing.assert_array_equal(first, kept)


def test_the_shapes_of_a_batch_are_fixed(tmp_path: Path) -> None:
    model = stored(toy_models.softmax_model(tmp_path))
    assert Session(model, "cpu", 8).output_shapes == {"scores": ["batch", 100, 2]}
    session = Session(model, "cpu", 8, GpuOptions())
    assert (session.input_shape, session.output_shapes) == ([8, 1, 8000], {"scores": [8, 100, 2]})


def test_a_graph_of_a_fixed_batch_has_one_size(tmp_path: Path) -> None:
    session = Session(stored(toy_models.softmax_model(tmp_path, batch=4)), "cpu", 64, GpuOptions())
    fill(session)
    assert (session.batch_size, session.size_for(1)) == (4, 4)
    assert session.slots[0].score(3).shape == (3, 100, 2)


def test_memory_of_larger_batches_is_given_back_when_it_does_not_suffice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device refuses 16 windows, also while they are copied. Every window is scored, in batches of eight."""
    session = Session(stored(toy_models.softmax_model(tmp_path)), "cpu", 16, GpuOptions())
    buffers = session.buffers

    def make(size: int, shape: tuple[int, ...]) -> Buffers:
        if size > 8:
            raise RuntimeError("CUDA failure 2: out of memory")
        return buffers(size, shape)

    slot = session.slots[0]
    fill(session)
    expected = slot.score(16)
    slot._buffers.clear()
    monkeypatch.setattr(session, "buffers", make)
    slot.load(16)
    np.testing.assert_allclose(slot.score(16), expected, atol=1e-6)
    np.testing.assert_allclose(slot.score(13), expected[:13], atol=1e-6)
    assert sorted(session._sessions) == [1, 4, 8]
    assert sorted(slot._buffers) == [8]


def test_one_call_runs_at_a_time_unless_more_are_set(tmp_path: Path) -> None:
    model = stored(toy_models.window_model(tmp_path))
    one, three, graphs = (
        Session(model, "cpu", 4, how) for how in (GpuOptions(), GpuOptions(calls=3), GpuOptions(calls=3, graphs=True))
    )
    assert (one.calls, len(one.slots)) == (1, 2)
    assert (three.calls, len(three.slots)) == (3, 4)
    assert (graphs.calls, len(graphs.slots)) == (1, 1)
    fill(graphs)
    assert graphs.slots[0].score(4).shape == (4, 1, 1)


def test_options_of_a_gpu_come_from_the_settings() -> None:
    assert GpuOptions.from_settings(Settings()) == GpuOptions(1, "float32", False)
    assert GpuOptions().cuda == {"use_tf32": "0", "enable_cuda_graph": "0"}
    chosen = GpuOptions.from_settings(Settings(scoring_calls=2, gpu_precision="tf32", cuda_graphs=True))
    assert (chosen.calls, chosen.cuda) == (2, {"use_tf32": "1", "enable_cuda_graph": "1"})


def test_axes_are_read_from_the_file(tmp_path: Path) -> None:
    content = (toy_models.softmax_model(tmp_path) / "model.onnx").read_bytes()
    assert input_axes(content, "audio") == ["batch", 1, 8000]
    assert input_axes(content, "other") is None
