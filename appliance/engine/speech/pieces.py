"""Cuts a recording into pieces of speech that a model can read at once. It cuts at silences if there are any.

A short pause cuts only a piece that is long already, since a model reads a word better with the words around it. Works
on a stream: it keeps one piece in memory, not the recording.

The two thresholds are those of Silero VAD's ``get_speech_timestamps`` (https://github.com/snakers4/silero-vad).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from appliance.engine.speech.voice_activity import FRAME_SAMPLES, VoiceActivity, VoiceStream

VOICED = 0.5  # speech begins at this probability
STILL_VOICED = 0.35  # and goes on down to this one
PAUSE_SECONDS = 0.3  # a pause this long cuts a piece of at least ENOUGH_SECONDS
ENOUGH_SECONDS = 12.0
SILENCE_SECONDS = 2.0  # a silence this long cuts any piece
PADDING_SECONDS = 0.25  # audio kept before and after the speech
LEAST_VOICED_SECONDS = 0.1  # less speech than this is a noise


@dataclass(frozen=True)
class Piece:
    """Speech of a recording.

    ``samples`` : (num_samples,) float32 mono, with padding. ``voiced_at`` : (num_voiced,) integers, the sample of the
    recording at which each voiced frame begins.
    """

    samples: np.ndarray
    voiced_at: np.ndarray


class PieceCutter:
    """Cuts one recording into pieces of at most ``longest_seconds``, padding included."""

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
        self._next = 0  # first frame that is in no piece yet; the frames before it are padding
        self._position = 0  # number of the first frame of ``_frames`` in the recording

    def cut(self, blocks: Iterable[np.ndarray]) -> Iterator[Piece]:
        """Yield the pieces of a recording. Raises ScoringFailed, ScoresNotFinite, and what ``blocks`` raises.

        blocks : mono (num_samples,) float32 at the rate of the cutter.
        """
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
        if not self._voiced[self._next :].any():
            self._drop(len(self._frames))

    def _end_of_piece(self, *, at_end: bool) -> int | None:
        """Return the frame after the next piece, None if it is not known yet."""
        (voiced,) = np.nonzero(self._voiced[self._next :])
        if not len(voiced):
            return None
        voiced = voiced + self._next
        first = int(voiced[0])
        quiet = np.diff(voiced, append=len(self._voiced)) - 1  # number of quiet frames after each voiced one
        lengths = voiced + 1 - first
        ends = (quiet >= self._silence) | ((quiet >= self._pause) & (lengths >= self._enough))
        ends &= lengths <= self._longest
        if ends.any():
            return int(voiced[ends.argmax()]) + 1
        if len(self._voiced) - first > self._longest:
            return self._quietest(first)
        return int(voiced[-1]) + 1 if at_end else None

    def _quietest(self, first: int) -> int:
        """Return where to cut speech without a pause: after the frame of the later half least likely to be speech."""
        middle, last = first + self._longest // 2, first + self._longest
        return middle + int(self._probabilities[middle:last].argmin()) + 1

    def _take(self, end: int) -> Iterator[Piece]:
        """Yield the piece up to the frame ``end``, unless it is a noise, and drop its frames."""
        (voiced,) = np.nonzero(self._voiced[self._next : end])
        voiced = voiced + self._next
        if len(voiced) >= self._least_voiced:
            start, stop = self._padded(int(voiced[0]), end)
            voiced_at = (self._position + voiced) * FRAME_SAMPLES
            yield Piece(self._frames[start:stop].reshape(-1), voiced_at)
        self._drop(end)

    def _padded(self, first: int, end: int) -> tuple[int, int]:
        """Return ``first`` and ``end`` widened by quiet frames around them. No speech is in two pieces."""
        start = max(first - self._padding, 0)
        before = np.flatnonzero(self._voiced[start:first])
        after = np.flatnonzero(self._voiced[end : end + self._padding])
        return (
            start + int(before[-1]) + 1 if len(before) else start,
            end + int(after[0]) if len(after) else end + self._padding,
        )

    def _drop(self, end: int) -> None:
        """Drop the frames before ``end``, except the padding of the next piece."""
        start = max(end - self._padding, 0)
        self._frames, self._probabilities = self._frames[start:], self._probabilities[start:]
        self._voiced = self._voiced[start:]
        self._position += start
        self._next = end - start


def _hysteresis(probabilities: np.ndarray, voiced: bool) -> np.ndarray:
    """Return which of (num_frames,) frames are speech. ``voiced``: whether the frame before them was."""
    is_speech = np.empty(len(probabilities), bool)
    for i, probability in enumerate(probabilities):
        voiced = bool(probability >= (STILL_VOICED if voiced else VOICED))
        is_speech[i] = voiced
    return is_speech
