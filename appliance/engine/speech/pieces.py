"""Cuts a recording into pieces of speech that a model can read at once, at silences where there are any.

A short pause cuts only a piece that is long already: a model reads better with the words around. Streams: what is held
is a piece, not a recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from appliance.engine.speech.voice_activity import FRAME_SAMPLES, VoiceActivity, VoiceStream

VOICED = 0.5  # speech begins at this probability
STILL_VOICED = 0.35  # and goes on down to this one
PAUSE_SECONDS = 0.3  # cuts a piece of ENOUGH_SECONDS
ENOUGH_SECONDS = 12.0
SILENCE_SECONDS = 2.0  # cuts any piece
PADDING_SECONDS = 0.25  # heard before and after the speech
LEAST_VOICED_SECONDS = 0.1  # less is a noise


@dataclass(frozen=True)
class Piece:
    """Speech of a recording.

    ``samples`` : (num_samples,) float32 mono, with padding; ``voiced_at`` : (num_voiced,) where in the recording each
    voiced frame begins, in samples.
    """

    samples: np.ndarray
    voiced_at: np.ndarray


class PieceCutter:
    """Cuts one recording."""

    def __init__(self, activity: VoiceActivity, sample_rate_hz: int, longest_seconds: float) -> None:
        frames_per_second = sample_rate_hz / FRAME_SAMPLES
        self._stream = VoiceStream(activity)
        self._longest = int((longest_seconds - 2 * PADDING_SECONDS) * frames_per_second)
        self._enough = min(round(ENOUGH_SECONDS * frames_per_second), self._longest)
        self._pause = round(PAUSE_SECONDS * frames_per_second)
        self._silence = round(SILENCE_SECONDS * frames_per_second)
        self._padding = round(PADDING_SECONDS * frames_per_second)
        self._least_voiced = round(LEAST_VOICED_SECONDS * frames_per_second)
        self._frames = np.zeros((0, FRAME_SAMPLES), np.float32)  # from the padding of the next piece on
        self._probabilities = np.zeros(0, np.float32)
        self._voiced = np.zeros(0, bool)
        self._unspent = 0  # leading frames that no piece has had; those before are padding
        self._position = 0  # of the first frame in the recording

    def cut(self, blocks: Iterable[np.ndarray]) -> Iterator[Piece]:
        """Yield the pieces of a recording given as mono blocks (num_samples,) float32. Raises ScoringFailed."""
        rest = np.zeros(0, np.float32)
        for block in blocks:
            audio = np.concatenate([rest, block])
            whole = len(audio) // FRAME_SAMPLES * FRAME_SAMPLES
            rest = audio[whole:]
            if whole:
                yield from self._add(audio[:whole].reshape(-1, FRAME_SAMPLES))
        if len(rest):
            yield from self._add(np.pad(rest, (0, FRAME_SAMPLES - len(rest)))[np.newaxis])
        while (end := self._end_of_piece(at_end=True)) is not None:
            yield from self._take(end)

    def _add(self, frames: np.ndarray) -> Iterator[Piece]:
        probabilities = self._stream.probabilities(frames)
        before = bool(len(self._voiced) and self._voiced[-1])
        self._frames = np.concatenate([self._frames, frames])
        self._probabilities = np.concatenate([self._probabilities, probabilities])
        self._voiced = np.concatenate([self._voiced, _hysteresis(probabilities, before)])
        while (end := self._end_of_piece(at_end=False)) is not None:
            yield from self._take(end)
        if not self._voiced[self._unspent :].any():
            self._drop(len(self._frames))

    def _end_of_piece(self, *, at_end: bool) -> int | None:
        """The frame after the first piece, where it is known already."""
        (spoken,) = np.nonzero(self._voiced[self._unspent :])
        if not len(spoken):
            return None
        spoken = spoken + self._unspent
        first = int(spoken[0])
        quiet = np.diff(spoken, append=len(self._voiced)) - 1  # after each voiced frame
        lengths = spoken + 1 - first
        ends = (quiet >= self._silence) | ((quiet >= self._pause) & (lengths >= self._enough))
        ends &= lengths <= self._longest
        if ends.any():
            return int(spoken[ends.argmax()]) + 1
        if len(self._voiced) - first > self._longest:
            return self._quietest(first)
        return int(spoken[-1]) + 1 if at_end else None

    def _quietest(self, first: int) -> int:
        """Where to cut speech that has no pause: the frame least likely to be speech, in the later half."""
        middle, last = first + self._longest // 2, first + self._longest
        return middle + int(self._probabilities[middle:last].argmin()) + 1

    def _take(self, end: int) -> Iterator[Piece]:
        (spoken,) = np.nonzero(self._voiced[self._unspent : end])
        spoken = spoken + self._unspent
        if len(spoken) >= self._least_voiced:
            start, stop = self._padded(int(spoken[0]), end)
            voiced_at = (self._position + spoken) * FRAME_SAMPLES
            yield Piece(self._frames[start:stop].reshape(-1), voiced_at)
        self._drop(end)

    def _padded(self, first: int, end: int) -> tuple[int, int]:
        """``first`` and ``end`` with the quiet frames around; no speech is in two pieces."""
        start = max(first - self._padding, 0)
        before = np.flatnonzero(self._voiced[start:first])
        after = np.flatnonzero(self._voiced[end : end + self._padding])
        return (
            start + int(before[-1]) + 1 if len(before) else start,
            end + int(after[0]) if len(after) else end + self._padding,
        )

    def _drop(self, end: int) -> None:
        """Forget what is before ``end``, but for the padding of the next piece."""
        start = max(end - self._padding, 0)
        self._frames, self._probabilities = self._frames[start:], self._probabilities[start:]
        self._voiced = self._voiced[start:]
        self._position += start
        self._unspent = end - start


def _hysteresis(probabilities: np.ndarray, voiced: bool) -> np.ndarray:
    """Which of (num_frames,) frames are speech, where the frame before was ``voiced``."""
    found = np.empty(len(probabilities), bool)
    for i, probability in enumerate(probabilities):
        voiced = bool(probability >= (STILL_VOICED if voiced else VOICED))
        found[i] = voiced
    return found
