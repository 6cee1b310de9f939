"""What a loss did to a recording, found by comparing what was decoded with it and without it.

A lost packet damages neither exactly its own 20 ms (decoders overlap, carry state, conceal) nor always audibly. So the
truth about real mechanisms is measured: losses go in one at a time, in order, and each result is compared with the
one before.
"""

from __future__ import annotations

import numpy as np

from evaluation.labels import Event
from evaluation.placing import APART_SECONDS, EDGE_SECONDS, SILENCE_RMS, rms

BLOCK_SECONDS = 0.005
AUDIBLE_DIFFERENCE = 0.1  # 20 dB under the sound it is in
SILENT_SHARE = 10 ** (-32 / 20)
LONGEST_SECONDS = 0.6


def _block_rms(audio: np.ndarray, size: int) -> np.ndarray:
    """(num_blocks,) RMS over all channels."""
    count = len(audio) // size
    return np.sqrt(np.mean(np.square(audio[: count * size].reshape(count, -1), dtype=np.float64), axis=1))


def event_between(before: np.ndarray, after: np.ndarray, rate_hz: int, mechanism: str) -> Event | None:
    """Return the fault that turned ``before`` into ``after``, both (num_samples, num_channels), or None.

    ``after`` may be shorter or longer: then time is missing, or was added, from the sample at which the two begin to
    differ to the one from which they are alike again. The label is what can be heard there: near-silence inside sound
    is a dropout, anything else is a glitch. None means that there is no fault to report.
    """
    size = int(BLOCK_SECONDS * rate_hz)
    start, end = _extent(before, after, size)
    if start is None or not BLOCK_SECONDS < (end - start) / rate_hz < LONGEST_SECONDS:
        return None
    if start < EDGE_SECONDS * rate_hz or end > len(after) - EDGE_SECONDS * rate_hz:
        return None
    around = int(0.06 * rate_hz)
    loudness = max(0.25 * rms(before), SILENCE_RMS)
    was = before[start : max(end, start + around)]
    if min(rms(before[start - around : start]), rms(was), rms(after[end : end + around])) < loudness:
        return None
    silent = _silent_run(was, after[start:end], size)
    if silent is not None:
        first, last = silent
        if (last - first) * size < 0.5 * (end - start):
            return None  # half gap, half garble: no label is right
        begin = start / rate_hz
        return Event("dropout", mechanism, begin + first * BLOCK_SECONDS, begin + last * BLOCK_SECONDS)
    now = after[start : start + len(was)]
    if len(before) == len(after) and rms(now - was[: len(now)]) < 0.4 * rms(was):
        return None
    return Event("glitch", mechanism, start / rate_hz, end / rate_hz)


def _extent(before: np.ndarray, after: np.ndarray, size: int) -> tuple[int | None, int]:
    """First and last sample of the damage in ``after``, found from the front and from the back."""
    floor = 1e-4 + AUDIBLE_DIFFERENCE * max(rms(before), 1e-4)

    def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        length = min(len(one), len(other))
        sound = np.maximum(_block_rms(one[:length], size) * AUDIBLE_DIFFERENCE, 0.3 * floor)
        return np.flatnonzero(_block_rms(one[:length] - other[:length], size) > sound)

    front = apart(before, after)
    if len(front) == 0:
        return None, 0
    start = int(front[0]) * size
    back = apart(before[::-1], after[::-1])
    end = len(after) - int(back[0]) * size if len(back) else start
    return start, max(end, start + 2 * size)


def _silent_run(before: np.ndarray, after: np.ndarray, size: int) -> tuple[int, int] | None:
    """The longest run of blocks, 20 ms or more, that fell into near-silence: (first, past the last)."""
    was = rms(before)
    silent = _block_rms(after, size) < SILENT_SHARE * was
    edges = np.flatnonzero(np.diff(np.concatenate([[0], silent.astype(int), [0]])))
    runs = list(zip(edges[::2], edges[1::2], strict=True))
    longest = max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
    return (int(longest[0]), int(longest[1])) if (longest[1] - longest[0]) * BLOCK_SECONDS >= 0.02 else None


def apart_from(event: Event, events: list[Event]) -> bool:
    return not events or event.start_seconds > events[-1].end_seconds + APART_SECONDS
