"""Scores windows of many recordings in shared batches.

Each recording has a lane: a short queue of windows. The recording's thread fills it and waits while it is full. The
scorer takes one window of each lane in turn, so that no recording starves another. A batch takes the windows that are
there and never waits to be full.

Each slot of the session has a thread, which gathers a batch, runs it and passes the outputs on. On the CPU all of them
run at once; on a GPU one gathers a batch and copies it there while the others run. Batches may end in another order
than they began, so a lane puts its outputs in order again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from appliance import metrics
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
        self.num_taken = 0
        self.num_pending = 0  # added and not yet scored
        self.num_scored = 0
        self.sink_seconds = 0.0
        self._outputs: dict[int, np.ndarray] = {}  # of windows whose predecessors are not scored yet
        self._lock = threading.Lock()
        self.error: Exception | None = None

    def next_window(self) -> tuple[int, np.ndarray]:
        """Return the next window to be scored, and its number."""
        self.num_taken += 1
        return self.num_taken - 1, self.windows.popleft()

    def put(self, number: int, output: np.ndarray) -> None:
        """Take the output for a window, and pass all that are next in order to the sink. Raises ScoresNotFinite."""
        if not np.isfinite(output).all():
            raise ScoresNotFinite("The model returned numbers that are not finite.")
        with self._lock:
            self._outputs[number] = output
            started = time.monotonic()
            while self.num_scored in self._outputs:
                self.sink.add(self.num_scored * self.hop_ms, self._outputs.pop(self.num_scored))
                self.num_scored += 1
            self.sink_seconds += time.monotonic() - started


class Scorer:
    """Owns a session. Any number of threads may call ``score`` at once.

    ``run_slot`` runs a filled slot: ``Slot.score`` for scores, ``Slot.embed`` for vectors, which are of whole windows.
    ``cores`` is shared by scorers that run on the same cores: one for each call that may run. ``give_way`` is called
    before each call of the graph, and may wait.
    """

    def __init__(
        self,
        session: Session,
        run_slot: Callable[[Slot, int], np.ndarray] = Slot.score,
        cores: threading.Semaphore | None = None,
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        self.session = session
        self._run_slot = run_slot
        self._length_for = None if run_slot is Slot.embed else session.last_window_samples
        self._cores = cores or threading.Semaphore(session.calls)
        self._give_way = give_way
        source = session.manifest.input
        self._lane_length = max(2, LANE_BYTES // (4 * source.num_channels * source.window_samples))
        self._changed = threading.Condition()
        self._lanes: deque[_Lane] = deque()
        self._closed = False
        self._calls: dict[Slot, float] = {}  # when the call of the graph began that a slot is in
        self._threads = [
            threading.Thread(target=self._work, args=(slot,), name=f"{session.manifest.id} {i}", daemon=True)
            for i, slot in enumerate(session.slots)
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

    def longest_call_seconds(self) -> float:
        """Return for how long the oldest call of the graph has been running that has not returned; 0 without one."""
        return max((time.monotonic() - began for began in dict(self._calls).values()), default=0.0)

    def score(
        self, blocks: Iterable[np.ndarray], sink: Sink, checkpoint: Callable[[float], None] = lambda _: None
    ) -> None:
        """Run the graph on every window of a recording and pass the outputs to ``sink``. Returns after the last one.

        blocks : float32 at the model's rate, (num_samples,), or (num_samples, 2) if the model gets two channels.
        ``checkpoint`` is called for each window with the seconds of audio cut so far, and may raise to stop. Raises
        ScoringFailed, ScoresNotFinite, and what ``blocks`` and ``checkpoint`` raise.
        """
        source = self.session.manifest.input
        lane = _Lane(sink, 1000.0 * source.hop_samples / source.sample_rate_hz)
        windows = cut_windows(blocks, source.window_samples, source.hop_samples, self._length_for)
        with self._changed:
            self._lanes.append(lane)
        try:
            for i, window in enumerate(windows):
                checkpoint(i * source.hop_seconds)
                self._put(lane, window)
            self._wait(lane, lambda: lane.num_pending == 0)
            if self._run_slot is not Slot.embed:
                metrics.STAGE_SECONDS.labels("events").observe(lane.sink_seconds)
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

    def _work(self, slot: Slot) -> None:
        """Gather windows into a slot, run it and pass the outputs on, until closed."""
        fill = metrics.BATCH_FILL.labels(self.session.manifest.id)
        while batch := self._next_batch(len(slot.windows)):
            fill.observe(len(batch) / len(slot.windows))
            slot.resize(len(batch[0][2]))
            for row, (_, _, window) in zip(slot.windows, batch, strict=False):
                row[:] = window
            try:
                self._give_way()
                slot.load(len(batch))
                with self._cores, metrics.stage("graph"):
                    self._calls[slot] = time.monotonic()
                    outputs: np.ndarray | Exception = self._run_slot(slot, len(batch))
            except Exception as error:  # the recordings of this batch fail, the scorer goes on
                outputs = error
            self._calls.pop(slot, None)
            for i, (lane, number, _) in enumerate(batch):
                try:
                    if isinstance(outputs, Exception):
                        raise outputs
                    lane.put(number, outputs[i])
                except Exception as error:
                    lane.error = lane.error or error
            with self._changed:
                for lane, _, _ in batch:
                    lane.num_pending -= 1
                self._changed.notify_all()

    def _next_batch(self, most: int) -> list[tuple[_Lane, int, np.ndarray]]:
        """Wait for windows and return up to ``most`` of one length, one of each lane in turn; none when closed."""
        batch: list[tuple[_Lane, int, np.ndarray]] = []
        with self._changed:
            self._changed.wait_for(lambda: self._closed or any(lane.windows for lane in self._lanes))
            if self._closed:
                return []
            num_passed = 0  # lanes in a row without a window that fits
            while len(batch) < most and num_passed < len(self._lanes):
                lane = self._lanes[0]
                self._lanes.rotate(-1)
                if lane.windows and (not batch or len(lane.windows[0]) == len(batch[0][2])):
                    batch.append((lane, *lane.next_window()))
                    num_passed = 0
                else:
                    num_passed += 1
            self._changed.notify_all()
        return batch
