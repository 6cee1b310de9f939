"""Excerpts for the set: what goes into faulty clips is never in the clean recordings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluation.placing import rms
from evaluation.sources import (
    GAME_PACKAGES,
    MUSIC_PACKAGES,
    PARTS,
    SPEECH_PACKAGE,
    Recording,
    mono,
    recordings,
    resampled,
)

FAULTY_SHARE = 0.35  # of a long recording, its beginning
SHORT_SECONDS = 40.0  # shorter recordings go to one side or the other as a whole
GAME_MUSIC_EVERY = 3  # of its clean pieces, so that it does not crowd out the rest

Excerpt = tuple[list[Recording], np.ndarray, int]  # (num_samples, num_channels) float32 and the rate in Hz


def _music(package: str) -> list[Recording]:
    return [recording for recording in recordings(package) if not recording.is_effect]


def music_for_faults(rng: np.random.Generator, part: str) -> tuple[Recording, np.ndarray, int]:
    """A random 5 to 14 s of a part's music: the recording, (num_samples, num_channels) and the rate."""
    while True:
        package = str(rng.choice(MUSIC_PACKAGES, p=[0.22, 0.2, 0.08, 0.14, 0.1, 0.1, 0.1, 0.06]))
        choices = _music(package)
        number = int(rng.integers(len(choices)))
        recording = choices[number]
        if recording.part != part:
            continue
        usable = FAULTY_SHARE * recording.seconds
        if recording.seconds <= SHORT_SECONDS:
            usable = recording.seconds * (number % 2 == 0)
        length = rng.uniform(5, 14)
        if usable < length + 1 or recording.is_hot:
            continue
        excerpt, rate_hz = recording.read(rng.uniform(0, usable - length), length)
        if rms(excerpt) > 0.01 and _quiet_share(excerpt, rate_hz) < 0.3:
            return recording, excerpt, rate_hz


def speech_for_faults(rng: np.random.Generator, part: str) -> Excerpt:
    """5 to 14 s of a part's prompts, said one after the other."""
    choices = [recording for recording in recordings(SPEECH_PACKAGE)[::2] if recording.part == part]
    return _joined(choices, list(rng.permutation(len(choices))), rng.uniform(5, 14), rng)


def clean_music() -> Iterator[tuple[Recording, np.ndarray, int]]:
    """Yield (recording, excerpt, rate): the music that faults do not use, in pieces of 30 to 75 s.

    All of it, but of games one piece in GAME_MUSIC_EVERY.
    """
    turn = 0
    for package in MUSIC_PACKAGES:
        for number, recording in enumerate(_music(package)):
            if recording.seconds <= SHORT_SECONDS and number % 2 == 0:
                continue
            first = FAULTY_SHARE * recording.seconds if recording.seconds > SHORT_SECONDS else 0.0
            pieces = max(1, round((recording.seconds - first) / 50))
            length = (recording.seconds - first) / pieces
            for piece in range(pieces):
                turn += package in GAME_PACKAGES
                if length > 4 and not (package in GAME_PACKAGES and turn % GAME_MUSIC_EVERY):
                    yield recording, *recording.read(first + piece * length, length)


def clean_speech(rng: np.random.Generator) -> Iterator[Excerpt]:
    """Yield (recordings, excerpt, rate): the other half of the prompts, in pieces of about 30 s."""
    for part in PARTS:
        choices = [recording for recording in recordings(SPEECH_PACKAGE)[1::2] if recording.part == part]
        yield from _strung(choices, rng)


def clean_effects(rng: np.random.Generator) -> Iterator[Excerpt]:
    """Yield (recordings, excerpt, rate): every effect of the games, in pieces of about 30 s."""
    for package in GAME_PACKAGES:
        for part in PARTS:
            choices = [recording for recording in recordings(package) if recording.is_effect and recording.part == part]
            yield from _strung(choices, rng)


def _strung(choices: list[Recording], rng: np.random.Generator) -> Iterator[Excerpt]:
    """Yield all of the recordings in a random order, in pieces of about 30 s."""
    order = [int(number) for number in rng.permutation(len(choices))]
    while order:
        used, audio, rate_hz = _joined(choices, order, 30.0, rng)
        order = order[len(used) :]
        yield used, audio, rate_hz


def _joined(choices: list[Recording], order: list[int], seconds: float, rng: np.random.Generator) -> Excerpt:
    """Recordings one after the other, with pauses; mono, at the rate of the first."""
    used: list[Recording] = []
    pieces: list[np.ndarray] = []
    length = rate_hz = 0
    for number in order:
        audio, own_hz = choices[number].read()
        rate_hz = rate_hz or own_hz
        audio = mono(resampled(audio, own_hz, rate_hz))
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
