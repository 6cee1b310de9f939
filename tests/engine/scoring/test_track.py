"""Scores over time: overlapping windows are averaged exactly and without drift."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.engine.scoring.spans import TOLERANCE_MS
from appliance.engine.scoring.track import ScoreTrack
from tests.support.tracks import TrackBuilder


def build(
    window_ms: Fraction, hop_ms: Fraction, frame_ms: Fraction, duration_ms: Fraction, scores: list[np.ndarray]
) -> ScoreTrack:
    builder = TrackBuilder(float(window_ms), float(frame_ms), scores[0].shape[1])
    for number, part in enumerate(scores):
        builder.add(number * float(hop_ms), part)
    return builder.finish(float(duration_ms))


def average_at(
    time_ms: Fraction, window_ms: Fraction, hop_ms: Fraction, frame_ms: Fraction, scores: list[np.ndarray]
) -> np.ndarray:
    """Return the mean of all windows' scores for one instant, by the definition."""
    scores_at_time = []
    for number, part in enumerate(scores):
        within = time_ms - number * hop_ms
        if 0 <= within < window_ms:
            scores_at_time.append(part[min(int(within / frame_ms), len(part) - 1)])
    return np.mean(scores_at_time, axis=0)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[Fraction, Fraction, Fraction, Fraction, list[np.ndarray]]:
    """Draw window, hop, frame and duration in milliseconds, and the scores of every window."""
    rate = draw(st.sampled_from([1000, 8000, 16_000, 22_050, 44_100]))
    frame = draw(st.integers(20, 300))
    num_frames = draw(st.integers(1, 8))
    window = frame * num_frames + draw(st.integers(0, frame - 1))  # frames may not fill a window whole
    hop = draw(st.integers(max(1, window // 5), window))
    duration = draw(st.integers(1, 6 * window))
    num_windows = 1 + max(0, -(-(duration - window) // hop))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = [generator.random((num_frames, 2), np.float32) for _ in range(num_windows)]
    window_ms, hop_ms, frame_ms, duration_ms = (Fraction(1000 * n, rate) for n in (window, hop, frame, duration))
    return window_ms, hop_ms, frame_ms, duration_ms, scores


@given(recordings())
def test_every_instant_has_the_mean_of_its_windows(recording: tuple) -> None:
    window_ms, hop_ms, frame_ms, duration_ms, scores = recording
    track = build(*recording)
    assert track.edges_ms[0] == 0
    assert track.edges_ms[-1] == float(duration_ms)
    assert (np.diff(track.edges_ms) > 0).all()
    assert len(track.scores) == len(track.edges_ms) - 1
    borders = {Fraction(0), duration_ms}
    for number, part in enumerate(scores):
        start = number * hop_ms
        borders |= {start, start + window_ms} | {start + i * frame_ms for i in range(len(part))}
    inside = sorted(border for border in borders if 0 <= border <= duration_ms)
    for left, right in itertools.pairwise(inside):
        if right - left < 4 * TOLERANCE_MS:
            continue
        middle = (left + right) / 2
        segment = np.searchsorted(track.edges_ms, float(middle), "right") - 1
        expected = average_at(middle, window_ms, hop_ms, frame_ms, scores)
        np.testing.assert_allclose(track.scores[segment], expected, atol=1e-6)


def test_times_do_not_drift_in_six_hours() -> None:
    """Frames of 256 samples at 22.05 kHz, 11.60998 ms: the last of them begins at its true time, to the microsecond."""
    frame_ms, hop_frames, num_windows = 256 / 22.05, 172, 10_818
    builder = TrackBuilder(hop_frames * frame_ms, frame_ms, 1)
    silent, loud = np.zeros((hop_frames, 1), np.float32), np.zeros((hop_frames, 1), np.float32)
    loud[-1] = 1
    for number in range(num_windows):
        builder.add(number * (hop_frames * 256 / 22.05), loud if number == num_windows - 1 else silent)
    samples = num_windows * hop_frames * 256
    track = builder.finish(samples / 22.05)
    start = track.edges_ms[:-1][track.scores[:, 0] == 1]
    assert samples / 22_050 > 6 * 3600
    assert start == pytest.approx([(samples - 256) / 22.05], abs=1e-3)


def test_a_track_is_cut_at_the_end_of_the_recording() -> None:
    builder = TrackBuilder(1000.0, 100.0, 1)
    builder.add(0.0, np.arange(10, dtype=np.float32)[:, None] / 10)
    track = builder.finish(250.0)
    np.testing.assert_array_equal(track.edges_ms, [0, 100, 200, 250])
    np.testing.assert_allclose(track.scores[:, 0], [0, 0.1, 0.2])
