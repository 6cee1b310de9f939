"""Scores windows of many recordings in shared batches.

Each recording has a lane: a short queue of windows. The recording's thread fills it and waits while it is full. The
scorer takes one window of each lane in turn, so that no recording starves another. A batch takes the windows that are
there and never waits to be full: while one batch runs, the next one is gathered.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from appliance.engine.models.session import Session, Slot
from appliance.engine.scoring.windows import cut_windows
from appliance.errors import ScoresNotFinite, ScoringFailed

LANE_BYTES = 8 * 1024**2


class Sink(Protocol):
    """Takes the outputs for one recording's windows, in order."""

    def add(self, start_ms: float, output: np.ndarray) -> None:
        """Take the graph's output for the window that starts at ``start_ms``, without the batch axis."""


class _Lane:
    """The windows of one recording that wait for their outputs."""

    def __init__(self, sink: Sink, hop_ms: float) -> None:
        self.sink = sink
        self.hop_ms = hop_ms
        self.windows: deque[np.ndarray] = deque()
        self.num_pending = 0  # added and not yet scored
        self.num_scored = 0
        self.error: Exception | None = None

    def take(self, output: np.ndarray) -> None:
        """Pass the output for the next window to the sink. Raises ScoresNotFinite."""
        if not np.isfinite(output).all():
            raise ScoresNotFinite("The model returned numbers that are not finite.")
        self.sink.add(self.num_scored * self.hop_ms, output)
        self.num_scored += 1


class Scorer:
    """Owns a session. Any number of threads may call ``score`` at once.

    ``run_slot`` runs a filled slot: ``Slot.score`` for scores, ``Slot.embed`` for vectors.
    """

    def __init__(self, session: Session, run_slot: Callable[[Slot, int], np.ndarray] = Slot.score) -> None:
        self.session = session
        self._run_slot = run_slot
        source = session.manifest.input
        self._lane_length = max(2, LANE_BYTES // (4 * source.window_samples))
        self._changed = threading.Condition()
        self._lanes: deque[_Lane] = deque()
        self._closed = False
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._filled: queue.SimpleQueue[tuple[Slot, list[_Lane]] | None] = queue.SimpleQueue()
        for slot in session.slots:
            self._free.put(slot)
        self._threads = [
            threading.Thread(target=target, name=f"{session.manifest.id} {target.__name__}", daemon=True)
            for target in (self._fill, self._run)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads. Recordings in progress end with ScoringFailed."""
        with self._changed:
            self._closed = True
            for lane in self._lanes:
                lane.error = lane.error or ScoringFailed("The scorer was closed.")
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def score(
        self, blocks: Iterable[np.ndarray], sink: Sink, checkpoint: Callable[[float], None] = lambda _: None
    ) -> None:
        """Run the graph on every window of a recording and pass the outputs to ``sink``. Returns after the last one.

        blocks : mono (num_samples,) float32 at the model's rate. ``checkpoint`` is called for each window with the
        seconds of audio cut so far, and may raise to stop. Raises ScoringFailed, ScoresNotFinite, and what ``blocks``
        and ``checkpoint`` raise.
        """
        source = self.session.manifest.input
        lane = _Lane(sink, 1000.0 * source.hop_samples / source.sample_rate_hz)
        with self._changed:
            self._lanes.append(lane)
        try:
            for i, window in enumerate(cut_windows(blocks, source.window_samples, source.hop_samples)):
                checkpoint(i * source.hop_seconds)
                self._put(lane, window)
            self._wait(lane, lambda: lane.num_pending == 0)
        finally:
            with self._changed:
                self._lanes.remove(lane)

    def _put(self, lane: _Lane, window: np.ndarray) -> None:
        with self._changed:
            self._wait(lane, lambda: len(lane.windows) < self._lane_length)
            lane.windows.append(window)
            lane.num_pending += 1
            self._changed.notify_all()

    def _wait(self, lane: _Lane, ready: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or lane.error or ready())
            if lane.error:
                raise lane.error
            if self._closed:
                raise ScoringFailed("The scorer was closed.")

    def _fill(self) -> None:
        """Gather windows into free slots until closed."""
        while True:
            slot = self._free.get()
            with self._changed:
                self._changed.wait_for(lambda: self._closed or any(lane.windows for lane in self._lanes))
                if self._closed:
                    return self._filled.put(None)
                batch = self._take(len(slot.windows))
            for row, (_, window) in zip(slot.windows, batch, strict=False):
                row[:] = window
            self._filled.put((slot, [lane for lane, _ in batch]))

    def _take(self, most: int) -> list[tuple[_Lane, np.ndarray]]:
        """Return up to ``most`` windows, one of each lane in turn."""
        batch: list[tuple[_Lane, np.ndarray]] = []
        num_empty = 0  # lanes in a row without a window
        while len(batch) < most and num_empty < len(self._lanes):
            lane = self._lanes[0]
            self._lanes.rotate(-1)
            if lane.windows:
                batch.append((lane, lane.windows.popleft()))
                num_empty = 0
            else:
                num_empty += 1
        self._changed.notify_all()
        return batch

    def _run(self) -> None:
        """Run filled slots and pass their outputs to the lanes."""
        while (batch := self._filled.get()) is not None:
            slot, lanes = batch
            try:
                outputs: np.ndarray | Exception = self._run_slot(slot, len(lanes))
            except Exception as error:  # the recordings of this batch fail, the scorer goes on
                outputs = error
            self._free.put(slot)
            for i, lane in enumerate(lanes):
                try:
                    if isinstance(outputs, Exception):
                        raise outputs
                    lane.take(outputs[i])
                except Exception as error:
                    lane.error = lane.error or error
            with self._changed:
                for lane in lanes:
                    lane.num_pending -= 1
                self._changed.notify_all()
