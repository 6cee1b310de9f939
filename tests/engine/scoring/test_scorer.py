"""Windows of many recordings in shared batches: scores stay the same, no recording starves."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from appliance.engine.models.manifest import Manifest, read_manifest
from appliance.engine.models.session import Session, Slot
from appliance.engine.models.store import ModelStore, StoredModel
from appliance.engine.scoring.events import DetectionConfig, DetectionFinder, rules_of
from appliance.engine.scoring.levels import Levels
from appliance.engine.scoring.scorer import Scorer
from appliance.engine.scoring.track import ScoreAverager
from appliance.errors import ScoresNotFinite, ScoringFailed
from tests.support import toy_models
from tests.support.appliances import PATIENCE_SECONDS, ROOT, wait_for
from tests.support.tracks import TrackBuilder


def load(folder: Path, batch_size: int = 0) -> Session:
    return Session(StoredModel(read_manifest(folder / "manifest.toml"), folder), "cpu", batch_size)


def track_of(scorer: Scorer, blocks: Iterable[np.ndarray], *checkpoint: Callable[[float], None]) -> TrackBuilder:
    """Score a recording into a track."""
    source = scorer.session.manifest.input
    window_ms = 1000.0 * source.window_samples / source.sample_rate_hz
    track = TrackBuilder(window_ms, scorer.session.manifest.frame_hop_ms, len(scorer.session.manifest.labels))
    scorer.score(blocks, track, *checkpoint)
    return track


def noise(seed: int, num_samples: int) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal(num_samples)).astype(np.float32)


def scores_of(scorer: Scorer, audio: np.ndarray, block: int = 5000) -> np.ndarray:
    """The scores of a recording that comes in blocks."""
    blocks = (audio[start : start + block] for start in range(0, len(audio), block))
    rate = scorer.session.manifest.input.sample_rate_hz
    return track_of(scorer, blocks).finish(1000 * len(audio) / rate).scores


@pytest.mark.parametrize("maker", [toy_models.window_model, toy_models.frame_model, toy_models.softmax_model])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_recordings_score_the_same_together_as_alone(
    tmp_path: Path, maker: Callable[[Path], Path], batch_size: int
) -> None:
    session = load(maker(tmp_path), batch_size)
    recordings = [noise(seed, 3000 + 9000 * seed) for seed in range(9)]
    with Scorer(session) as scorer:
        alone = [scores_of(scorer, audio) for audio in recordings]
        with ThreadPoolExecutor(len(recordings)) as pool:
            together = list(pool.map(lambda audio: scores_of(scorer, audio, 777), recordings))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_graph_of_one_window_at_a_time_scores_the_same(tmp_path: Path) -> None:
    audio = noise(1, 100_000)
    scores: list[np.ndarray] = []
    for name, batch in (("any", "batch"), ("single", 1)):
        with Scorer(load(toy_models.softmax_model(tmp_path, name=name, batch=batch))) as scorer:
            scores.append(scores_of(scorer, audio))
    assert scores[0].std() > 0.01
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)


def test_scores_of_the_toy_model_are_the_loudness_of_their_frames(tmp_path: Path) -> None:
    audio = np.repeat(np.array([0.0, 0.05, 0.1, 0.3, 0.0], np.float32), 256)
    with Scorer(load(toy_models.frame_model(tmp_path))) as scorer:
        track = track_of(scorer, [audio]).finish(1000 * len(audio) / 22_050)
    np.testing.assert_allclose(track.scores[:, 0], [0, 0.25, 0.5, 1, 0], atol=1e-6)
    np.testing.assert_allclose(track.edges_ms, np.arange(6) * 256 / 22.05, atol=1e-6)


def read_detection_manifest(folder: Path) -> Manifest:
    manifest = read_manifest(folder / "manifest.toml")
    assert isinstance(manifest, Manifest)
    return manifest


def mean_root_graph() -> onnx.GraphProto:
    """Return a graph for the square root of a window's mean, which is NaN if the mean is negative."""
    nodes = [
        helper.make_node("ReduceMean", ["audio"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sqrt", ["mean"], ["scores"]),
    ]
    return helper.make_graph(
        nodes,
        "root",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", 8000])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1])],
    )


def test_scores_that_are_not_finite_fail_only_their_recording(tmp_path: Path) -> None:
    source = toy_models.window_model(tmp_path / "other")
    text = (source / "manifest.toml").read_text()
    sha256 = read_detection_manifest(source).sha256
    folder = toy_models.write_model(tmp_path / "root", text.replace(sha256, "{sha256}"), mean_root_graph())
    good, bad = np.full(40_000, 0.25, np.float32), np.full(40_000, -0.25, np.float32)

    def score(audio: np.ndarray) -> np.ndarray | str:
        try:
            return scores_of(scorer, audio)
        except ScoresNotFinite as error:
            return str(error)

    with Scorer(load(folder, 8)) as scorer, ThreadPoolExecutor(6) as pool:
        results = list(pool.map(score, [good, bad, good, bad, good, bad]))
    for scores in results[::2]:
        assert isinstance(scores, np.ndarray)
        np.testing.assert_allclose(scores, 0.5)
    for message in results[1::2]:
        assert "not finite" in message


class StubSlot:
    """A batch that runs when a gate opens. Every window's score is its first sample."""

    def __init__(self, session: StubSession) -> None:
        self._session = session
        self.windows = np.zeros((session.batch_size, 4), np.float32)

    def resize(self, window_samples: int) -> None:
        assert window_samples == 4

    def load(self, num_windows: int) -> None:
        self._session.loaded.append(self.windows[:num_windows, 0].tolist())

    def score(self, num_windows: int) -> np.ndarray:
        batch = self.windows[:num_windows, 0].tolist()
        self._session.batches.append(batch)
        assert self._session.gate.wait(PATIENCE_SECONDS)
        if self._session.breaks_on in batch:
            raise ScoringFailed("The device was lost.")
        return self.windows[:num_windows, :1, np.newaxis].copy()


class StubSession:
    """Windows of four samples at 1 kHz, without overlap."""

    def __init__(self, manifest: Manifest, batch_size: int, breaks_on: float = -1.0) -> None:
        source = manifest.input.model_copy(
            update={"sample_rate_hz": 1000, "window_seconds": 0.004, "hop_seconds": 0.004}
        )
        self.manifest = manifest.model_copy(update={"input": source})
        self.batch_size = batch_size
        self.breaks_on = breaks_on
        self.batches: list[list[float]] = []
        self.loaded: list[list[float]] = []
        self.calls = 1
        self.gate = threading.Event()
        self.slots = [StubSlot(self), StubSlot(self)]

    def last_window_samples(self, _: int) -> int:
        return 4


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return read_detection_manifest(toy_models.window_model(tmp_path))


def stub_scorer(session: StubSession) -> Scorer:
    score: Any = StubSlot.score
    return Scorer(cast(Session, session), score)


def windows(value: float, count: int, all_queued: threading.Event | None = None) -> Iterator[np.ndarray]:
    """Yield windows of one value. The event is set when all of them wait for their scores."""
    for _ in range(count):
        yield np.full(4, value, np.float32)
    if all_queued:
        all_queued.set()


def test_the_next_batch_is_copied_while_one_runs(manifest: Manifest) -> None:
    session = StubSession(manifest, 4)
    with stub_scorer(session) as scorer, ThreadPoolExecutor(1) as pool:
        scored = pool.submit(track_of, scorer, windows(1, 40))
        wait_for(lambda: len(session.loaded) == 2)
        assert len(session.batches) == 1
        session.gate.set()
        scored.result()
    assert sorted(map(len, session.loaded)) == sorted(map(len, session.batches))


def test_a_long_recording_starves_no_other(manifest: Manifest) -> None:
    session = StubSession(manifest, 4)
    long_waits, short_waits = threading.Event(), threading.Event()
    with stub_scorer(session) as scorer, ThreadPoolExecutor(2) as pool:
        long = pool.submit(track_of, scorer, windows(1, 100, long_waits))
        assert long_waits.wait(PATIENCE_SECONDS)
        short = pool.submit(track_of, scorer, windows(2, 6, short_waits))
        assert short_waits.wait(PATIENCE_SECONDS)
        session.gate.set()
        short.result(PATIENCE_SECONDS)
        long.result(PATIENCE_SECONDS)
    with_short = [sorted(batch) for batch in session.batches if 2 in batch]
    assert with_short == [[1, 1, 2, 2]] * 3
    assert sum(map(len, session.batches)) == 106
    assert max(map(len, session.batches)) == 4


def test_a_batch_takes_the_windows_that_are_there_and_never_waits_to_be_full(manifest: Manifest) -> None:
    session = StubSession(manifest, 64)
    session.gate.set()
    with stub_scorer(session) as scorer:
        track_of(scorer, windows(1, 1))
    assert session.batches == [[1.0]]


def test_a_failed_batch_fails_its_recordings_and_the_scorer_goes_on(manifest: Manifest) -> None:
    session = StubSession(manifest, 4, breaks_on=3.0)
    session.gate.set()
    with stub_scorer(session) as scorer:
        with pytest.raises(ScoringFailed, match="device was lost"):
            track_of(scorer, windows(3, 9))
        assert track_of(scorer, windows(1, 9)).finish(36).scores.tolist() == [[1.0]] * 9


def test_an_error_of_the_decoder_or_the_checkpoint_ends_one_recording(manifest: Manifest) -> None:
    session = StubSession(manifest, 4)
    session.gate.set()

    def broken() -> Iterable[np.ndarray]:
        yield from windows(1, 3)
        raise OSError("the decoder died")

    def stop(seconds: float) -> None:
        if seconds >= 0.008:
            raise InterruptedError("enough")

    with stub_scorer(session) as scorer:
        with pytest.raises(OSError, match="decoder died"):
            track_of(scorer, broken())
        with pytest.raises(InterruptedError, match="enough"):
            track_of(scorer, windows(1, 9), stop)
        assert len(track_of(scorer, windows(1, 5)).finish(20).scores) == 5


def test_the_checkpoint_gets_the_seconds_so_far(manifest: Manifest) -> None:
    session = StubSession(manifest, 4)
    session.gate.set()
    checkpoints: list[float] = []
    with stub_scorer(session) as scorer:
        track_of(scorer, windows(1, 3), checkpoints.append)
    assert checkpoints == pytest.approx([0, 0.004, 0.008])


def test_a_fast_decoder_waits(manifest: Manifest) -> None:
    """A lane has room for a limited number of windows, here a few kilobytes in place of 8 MiB."""
    session = StubSession(manifest, 4)
    decoded = []

    def counted() -> Iterator[np.ndarray]:
        for number in range(1000):
            decoded.append(number)
            yield np.full(4, 1, np.float32)

    with stub_scorer(session) as scorer, ThreadPoolExecutor(1) as pool:
        scorer._lane_length = 10
        scoring = pool.submit(track_of, scorer, counted())
        wait_for(lambda: len(decoded) >= 10)
        assert not scoring.done()
        session.gate.set()
        scoring.result(PATIENCE_SECONDS)
        assert len(decoded) == 1000
    assert len(session.batches[0]) <= 4


def test_close_fails_recordings_in_progress_and_later_ones(manifest: Manifest) -> None:
    session = StubSession(manifest, 4)
    scorer = stub_scorer(session)
    waits = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        in_progress = pool.submit(track_of, scorer, windows(1, 50, waits))
        assert waits.wait(PATIENCE_SECONDS)
        closing = pool.submit(scorer.close)
        with pytest.raises(ScoringFailed, match="closed"):
            in_progress.result(PATIENCE_SECONDS)
        session.gate.set()  # a batch that runs on the device cannot be stopped
        closing.result(PATIENCE_SECONDS)
    with pytest.raises(ScoringFailed, match="closed"):
        track_of(scorer, windows(1, 1))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(session.manifest.id)]


def test_calls_run_at_once_and_outputs_stay_in_order(manifest: Manifest) -> None:
    """The first window of a recording ends after the second one, which runs beside it."""
    session = StubSession(manifest, 1)
    session.calls = 2
    session.gate.set()
    second_ran = threading.Event()

    def run(slot: StubSlot, num_windows: int) -> np.ndarray:
        value = float(slot.windows[0, 0])
        if value == 0.0:
            assert second_ran.wait(PATIENCE_SECONDS)
        scores = slot.score(num_windows)
        if value == 0.25:
            second_ran.set()
        return scores

    run_slot: Any = run
    values = (0.0, 0.25, 0.5, 0.75)
    with Scorer(cast(Session, session), run_slot) as scorer:
        track = track_of(scorer, [np.repeat(np.array(values, np.float32), 4)])
    assert track.finish(16).scores[:, 0].tolist() == list(values)
    assert session.batches[0] == [0.25]


def test_scorers_that_share_cores_do_not_run_more_calls_than_these(manifest: Manifest) -> None:
    cores = threading.Semaphore(1)
    running, most = [0], [0]
    lock = threading.Lock()

    def run(slot: StubSlot, num_windows: int) -> np.ndarray:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        scores = slot.score(num_windows)
        with lock:
            running[0] -= 1
        return scores

    run_slot: Any = run
    sessions = [StubSession(manifest, 1), StubSession(manifest, 1)]
    scorers = [Scorer(cast(Session, session), run_slot, cores) for session in sessions]
    with ThreadPoolExecutor(2) as pool:
        waits = [threading.Event(), threading.Event()]
        tracks = [pool.submit(track_of, s, windows(1, 20, w)) for s, w in zip(scorers, waits, strict=True)]
        assert all(wait.wait(PATIENCE_SECONDS) for wait in waits)
        for session in sessions:
            session.gate.set()
        for track in tracks:
            track.result(PATIENCE_SECONDS)
    for scorer in scorers:
        scorer.close()
    assert most == [1]


def test_a_last_window_that_is_shorter_scores_the_same(tmp_path: Path) -> None:
    """The toy model's scores depend on nothing outside their frame, so that no tail is needed."""
    folder = toy_models.softmax_model(tmp_path, any_length=True)
    manifest = folder / "manifest.toml"
    audio = noise(3, 20_100)
    scores, shapes = [], list[int]()
    for extra in ("", "window_step_seconds = 0.05\n"):
        text = manifest.read_text().replace("hop_seconds = 1.0\n", f"hop_seconds = 1.0\n{extra}")
        manifest.write_text(text)
        with Scorer(load(folder, 3), counting(shapes)) as scorer:
            scores.append(scores_of(scorer, audio))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
    assert sorted(shapes) == [4400, 8000, 8000, 8000, 8000, 8000]


def counting(shapes: list[int]) -> Callable[[Slot, int], np.ndarray]:
    def run(slot: Slot, num_windows: int) -> np.ndarray:
        shapes.extend([slot.windows.shape[1]] * num_windows)
        return slot.score(num_windows)

    return run


def test_memory_does_not_grow_with_the_recording() -> None:
    """Scores of two hours in frames of 10 ms would take 17 MB."""
    manifest = ModelStore(ROOT / "model_store").resolve("artifacts").scoring
    scores = np.zeros((800, len(manifest.labels)), np.float32)
    finder = DetectionFinder(rules_of(manifest), DetectionConfig())
    averager = ScoreAverager.of(manifest, lambda edges_ms, scores: finder.add(Levels.of(edges_ms, scores)))
    tracemalloc.start()
    try:
        for number in range(1000):
            scores[300:320] = number % 8 == 0
            averager.add(7000.0 * number, scores.copy())
        averager.finish(7000.0 * 1000)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(finder.finish()) == 125 * len(manifest.labels)
    assert peak_bytes < 4e6
