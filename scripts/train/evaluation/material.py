"""Excerpts for the set: what goes into faulty clips is never in the clean recordings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluation.placing import rms
from evaluation.sources import MUSIC_PACKAGES, SPEECH_PACKAGE, Recording, recordings

FAULTY_SHARE = 0.35  # of a long recording, its beginning
SHORT_SECONDS = 40.0  # shorter recordings go to one side or the other as a whole


def music_for_faults(rng: np.random.Generator) -> tuple[Recording, np.ndarray, int]:
    """A random 5 to 14 s of music: the recording, (num_samples, num_channels) and the rate."""
    while True:
        package = str(rng.choice(MUSIC_PACKAGES, p=[0.3, 0.28, 0.1, 0.2, 0.12]))
        choices = recordings(package)
        number = int(rng.integers(len(choices)))
        recording = choices[number]
        usable = FAULTY_SHARE * recording.seconds
        if recording.seconds <= SHORT_SECONDS:
            usable = recording.seconds * (number % 2 == 0)
        length = rng.uniform(5, 14)
        if usable < length + 1 or recording.is_hot:
            continue
        part, rate_hz = recording.read(rng.uniform(0, usable - length), length)
        if rms(part) > 0.01 and _quiet_share(part, rate_hz) < 0.3:
            return recording, part, rate_hz


def speech_for_faults(rng: np.random.Generator) -> tuple[list[Recording], np.ndarray, int]:
    """5 to 14 s of prompts said one after the other."""
    choices = recordings(SPEECH_PACKAGE)[::2]
    return _joined(choices, list(rng.permutation(len(choices))), rng.uniform(5, 14), rng)


def clean_music() -> Iterator[tuple[Recording, np.ndarray, int]]:
    """Yield (recording, excerpt, rate): every second of music that faults do not use, in pieces of 30 to 75 s."""
    for package in MUSIC_PACKAGES:
        for number, recording in enumerate(recordings(package)):
            if recording.seconds <= SHORT_SECONDS and number % 2 == 0:
                continue
            first = FAULTY_SHARE * recording.seconds if recording.seconds > SHORT_SECONDS else 0.0
            pieces = max(1, round((recording.seconds - first) / 50))
            length = (recording.seconds - first) / pieces
            for piece in range(pieces):
                if length > 4:
                    yield recording, *recording.read(first + piece * length, length)


def clean_speech(rng: np.random.Generator) -> Iterator[tuple[list[Recording], np.ndarray, int]]:
    """Yield (recordings, excerpt, rate): the other half of the prompts, in pieces of about 30 s."""
    choices = recordings(SPEECH_PACKAGE)[1::2]
    order = [int(number) for number in rng.permutation(len(choices))]
    while order:
        used, audio, rate_hz = _joined(choices, order, 30.0, rng)
        order = order[len(used) :]
        yield used, audio, rate_hz


def _joined(
    choices: list[Recording], order: list[int], seconds: float, rng: np.random.Generator
) -> tuple[list[Recording], np.ndarray, int]:
    used: list[Recording] = []
    pieces: list[np.ndarray] = []
    length = 0
    for number in order:
        audio, rate_hz = choices[number].read()
        # Prompts end in near-silence, so silence between them is a pause, not a gap.
        pause = np.zeros((int(rng.uniform(0.1, 0.5) * rate_hz), 1), dtype=np.float32)
        used.append(choices[number])
        pieces += [audio, pause]
        length += len(audio) + len(pause)
        if length > seconds * rate_hz:
            break
    return used, np.concatenate(pieces)[: int((seconds + 10) * rate_hz)], rate_hz


def _quiet_share(audio: np.ndarray, rate_hz: int) -> float:
    size = rate_hz // 10
    count = len(audio) // size
    levels = np.sqrt(np.mean(audio[: count * size].reshape(count, -1) ** 2, axis=1))
    return float(np.mean(levels < 0.1 * rms(audio)))
