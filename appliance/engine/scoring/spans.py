"""Thresholds, gaps and durations on plain arrays: from the scores of one label to spans of segments.

Imports numpy alone, so that training can use the same rules as the appliance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Times closer than this are equal: far below a sample, far above the rounding of float64 over days.
TOLERANCE_MS = 1e-3


@dataclass
class Span:
    """The half-open range of segments ``first`` to ``last``, its times, and the highest score inside."""

    first: int
    last: int
    start_ms: float
    end_ms: float
    peak: float


class SpanFinder:
    """Finds the events of one label while the scores come, block by block. It keeps the events and no scores.

    Runs at or above ``threshold * hysteresis_ratio`` that reach the threshold form first. Runs a merge window or less
    apart are joined. Then spans shorter than the minimum duration are dropped.
    """

    def __init__(
        self, *, threshold: float, merge_window_ms: float, min_duration_ms: float, hysteresis_ratio: float = 1.0
    ) -> None:
        self._threshold = np.float32(threshold)
        self._extent = np.float32(threshold * hysteresis_ratio)
        self._longest_gap_ms = merge_window_ms + TOLERANCE_MS
        self._shortest_ms = min_duration_ms - TOLERANCE_MS
        self._num_segments = 0
        self._run: Span | None = None  # goes on at the end of the last block
        self._span: Span | None = None  # the last one, which the next run may join
        self._spans: list[Span] = []

    def add(self, scores: np.ndarray, edges_ms: np.ndarray) -> None:
        """Add the next segments.

        scores : (num_segments,) in [0, 1]. edges_ms : (num_segments + 1,) rising, the times of the segments' borders.
        """
        inside = scores >= self._extent
        if self._run or inside.any():
            position = 0
            for step in np.flatnonzero(np.diff(inside, prepend=self._run is not None)).tolist():
                if self._run:
                    self._extend(self._run, scores, edges_ms, position, step)
                    self._end_run(self._run)
                else:
                    place, time_ms = self._num_segments + step, float(edges_ms[step])
                    self._run = Span(place, place, time_ms, time_ms, 0.0)
                position = step
            if self._run:
                self._extend(self._run, scores, edges_ms, position, len(scores))
        self._num_segments += len(scores)

    def finish(self) -> list[Span]:
        """Return the spans in order."""
        if self._run:
            self._end_run(self._run)
        self._end_span()
        return self._spans

    def _extend(self, run: Span, scores: np.ndarray, edges_ms: np.ndarray, first: int, last: int) -> None:
        run.last, run.end_ms = self._num_segments + last, float(edges_ms[last])
        run.peak = max(run.peak, float(scores[first:last].max(initial=0.0)))

    def _end_run(self, run: Span) -> None:
        self._run = None
        if run.peak < self._threshold:
            return
        if self._span and run.start_ms - self._span.end_ms <= self._longest_gap_ms:
            self._span.last, self._span.end_ms = run.last, run.end_ms
            self._span.peak = max(self._span.peak, run.peak)
        else:
            self._end_span()
            self._span = run

    def _end_span(self) -> None:
        if self._span and self._span.end_ms - self._span.start_ms >= self._shortest_ms:
            self._spans.append(self._span)
        self._span = None


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
    finder.add(scores, edges_ms)
    return [(span.first, span.last) for span in finder.finish()]
