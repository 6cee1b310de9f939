"""Thresholds, gaps and durations on plain arrays: from the scores of one label to spans of segments.

Imports numpy alone, so that training can use the same rules as the appliance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Times closer than this are equal: far below a sample, far above the rounding of float64 over days.
TOLERANCE_MS = 1e-3


def find_spans(
    scores: np.ndarray,
    edges_ms: np.ndarray,
    *,
    threshold: float,
    merge_window_ms: float,
    min_duration_ms: float,
    hysteresis_ratio: float = 1.0,
) -> list[tuple[int, int]]:
    """Return the half-open ranges of segments that are one event each.

    Runs at or above the threshold form first. Runs a merge window or less apart are joined. Then spans shorter than
    the minimum duration are dropped. Frames of ``hop_ms`` have the edges ``hop_ms * np.arange(num_frames + 1)``.

    scores : (num_segments,) in [0, 1]. edges_ms : (num_segments + 1,) rising, the times of the segments' borders.
    """
    runs = find_runs(scores, threshold, hysteresis_ratio)
    spans = merge_runs(runs, edges_ms, merge_window_ms)
    shortest_ms = min_duration_ms - TOLERANCE_MS
    return [(first, last) for first, last in spans if edges_ms[last] - edges_ms[first] >= shortest_ms]


def find_runs(scores: np.ndarray, threshold: float, hysteresis_ratio: float = 1.0) -> list[tuple[int, int]]:
    """Return half-open ranges of segments at or above ``threshold * hysteresis_ratio`` that reach the threshold.

    scores : (num_segments,) in [0, 1].
    """
    inside = scores >= np.float32(threshold * hysteresis_ratio)
    steps = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    runs = zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True)
    return [(first, last) for first, last in runs if scores[first:last].max() >= np.float32(threshold)]


def merge_runs(runs: Sequence[tuple[int, int]], edges_ms: np.ndarray, merge_window_ms: float) -> list[tuple[int, int]]:
    """Join neighbouring runs whose gap is at most ``merge_window_ms``.

    edges_ms : (num_segments + 1,) rising, the times of the segments' borders.
    """
    merged: list[tuple[int, int]] = []
    for first, last in runs:
        if merged and edges_ms[first] - edges_ms[merged[-1][1]] <= merge_window_ms + TOLERANCE_MS:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged
