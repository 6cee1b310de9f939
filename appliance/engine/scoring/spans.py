"""Thresholds, gaps and durations on plain arrays: from the levels of one label to spans of segments.

Imports numpy alone, so that training can use the same rules as the appliance.
"""

from __future__ import annotations

import numpy as np

from appliance.engine.scoring.levels import to_level, to_levels

# Times closer than this are equal: far below a sample, far above the rounding of float64 over days.
TOLERANCE_MS = 1e-3

# A half-open range of segments, its times, and the highest level inside.
SPAN = np.dtype(
    [("first", np.int64), ("last", np.int64), ("start_ms", np.float64), ("end_ms", np.float64), ("peak", np.uint16)]
)


class SpanFinder:
    """Finds the events of one label while the levels come, block by block. It keeps the events and no levels.

    Runs at or above ``threshold * hysteresis_ratio`` that reach the threshold form first. Runs a merge window or less
    apart are joined. Then spans shorter than the minimum duration are dropped.
    """

    def __init__(
        self, *, threshold: float, merge_window_ms: float, min_duration_ms: float, hysteresis_ratio: float = 1.0
    ) -> None:
        self._threshold = to_level(threshold)
        self._extent = to_level(threshold * hysteresis_ratio)
        self._longest_gap_ms = merge_window_ms + TOLERANCE_MS
        self._shortest_ms = min_duration_ms - TOLERANCE_MS
        self._num_segments = 0
        self._run = _none()  # up to one: it goes on at the end of the last block
        self._span = _none()  # up to one: the last, which the next run may join
        self._ended: list[np.ndarray] = []

    def add(self, levels: np.ndarray, edges_ms: np.ndarray) -> None:
        """Add the next segments.

        levels : (num_segments,) uint16. edges_ms : (num_segments + 1,) rising, the times of the segments' borders.
        """
        inside = levels >= self._extent
        if len(levels) and (len(self._run) or inside.any()):
            runs, goes_on = self._runs_of(inside, levels, edges_ms)
            self._run = runs[-1:] if goes_on else _none()
            self._join(runs[:-1] if goes_on else runs)
        self._num_segments += len(levels)

    def finish(self) -> np.ndarray:
        """Return the spans in order: (num_spans,) of the type SPAN."""
        self._join(self._run)
        self._run = _none()
        self._end(self._span)
        self._span = _none()
        return np.concatenate([_none(), *self._ended])

    def _runs_of(self, inside: np.ndarray, levels: np.ndarray, edges_ms: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return the runs of a block, with the one that was open before, and whether the last one goes on."""
        borders = np.flatnonzero(np.diff(inside, prepend=len(self._run) > 0))
        if len(self._run):
            borders = np.concatenate(([0], borders))
        goes_on = len(borders) % 2 == 1
        if goes_on:
            borders = np.append(borders, len(levels))
        firsts, lasts = borders[::2], borders[1::2]
        # In noise nearly all runs stay below the threshold. Only those that reach it, and the two that may go on in
        # another block, are built: for six labels of six hours that takes 23 ms and not 70.
        rises = np.flatnonzero(np.diff(levels >= self._threshold, prepend=False))[::2]
        kept = np.unique(np.concatenate(([0], np.searchsorted(firsts, rises, "right") - 1, [len(firsts) - 1])))
        firsts, lasts = firsts[kept], lasts[kept]
        parts = np.stack([firsts, lasts], axis=1).ravel()
        peaks = np.maximum.reduceat(levels, parts[:-1] if goes_on else parts)[::2]
        runs = np.empty(len(firsts), SPAN)
        runs["first"], runs["last"] = self._num_segments + firsts, self._num_segments + lasts
        runs["start_ms"], runs["end_ms"], runs["peak"] = edges_ms[firsts], edges_ms[lasts], peaks
        if len(self._run):
            # If the open run ended with the last block, its part here is empty, and the peak is of a level outside.
            runs[0]["first"], runs[0]["start_ms"] = self._run[0]["first"], self._run[0]["start_ms"]
            runs[0]["peak"] = max(runs[0]["peak"], self._run[0]["peak"])
        return runs, goes_on

    def _join(self, runs: np.ndarray) -> None:
        """Join runs that ended to the last span and to each other. All but the last span have ended then."""
        runs = np.concatenate([self._span, runs[runs["peak"] >= self._threshold]])
        if not len(runs):
            return
        apart = runs["start_ms"][1:] - runs["end_ms"][:-1] > self._longest_gap_ms
        firsts = np.concatenate(([0], 1 + np.flatnonzero(apart)))
        lasts = np.append(firsts[1:], len(runs)) - 1
        spans = runs[firsts]
        spans["last"], spans["end_ms"] = runs["last"][lasts], runs["end_ms"][lasts]
        spans["peak"] = np.maximum.reduceat(runs["peak"], firsts)
        self._end(spans[:-1])
        self._span = spans[-1:]

    def _end(self, spans: np.ndarray) -> None:
        spans = spans[spans["end_ms"] - spans["start_ms"] >= self._shortest_ms]
        if len(spans):
            self._ended.append(spans)


def _none() -> np.ndarray:
    return np.empty(0, SPAN)


def find_spans(
    scores: np.ndarray,
    edges_ms: np.ndarray,
    *,
    threshold: float,
    merge_window_ms: float,
    min_duration_ms: float,
    hysteresis_ratio: float = 1.0,
) -> list[tuple[int, int]]:
    """Return the half-open ranges of segments that are one event each, by the rule of ``SpanFinder``.

    Frames of ``hop_ms`` have the edges ``hop_ms * np.arange(num_frames + 1)``.

    scores : (num_segments,) in [0, 1]. edges_ms : (num_segments + 1,) rising, the times of the segments' borders.
    """
    finder = SpanFinder(
        threshold=threshold,
        merge_window_ms=merge_window_ms,
        min_duration_ms=min_duration_ms,
        hysteresis_ratio=hysteresis_ratio,
    )
    finder.add(to_levels(scores), edges_ms)
    spans = finder.finish()
    return [*zip(spans["first"].tolist(), spans["last"].tolist(), strict=True)]
