"""The recordings that are measured: noise with tones that come and go, in six containers."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import soundfile

from tests.support.encoded_files import write

CONTAINERS = ("wav", "flac", "ogg", "mp3", "m4a", "webm")
FOR_SOUNDFILE = ("wav", "flac", "ogg", "mp3")  # what librosa reads without further programs
RATE_HZ = 48_000
PIECE_SECONDS = 10


def sound(seconds: float, rate_hz: int = RATE_HZ, num_channels: int = 2) -> np.ndarray:
    """Return (num_samples, num_channels) float32, with a level at which FLAC takes few bits."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    tone = 0.2 * np.sin(2 * np.pi * 440 * t) * (np.sin(2 * np.pi * 0.3 * t) > 0)
    noise = np.random.default_rng(0).standard_normal((len(t), num_channels))
    return (tone[:, None] + 0.002 * noise).astype(np.float32)


def in_containers(folder: Path, seconds: int, copies: int) -> list[Path]:
    """Write ``copies`` of a recording in each container. Returns the files, the containers in turn."""
    folder.mkdir()
    piece = sound(PIECE_SECONDS)
    samples = np.concatenate([piece] * -(-seconds // PIECE_SECONDS))[: seconds * RATE_HZ]
    for kind in CONTAINERS:
        first = write(folder / f"0.{kind}", kind, samples, RATE_HZ)
        for number in range(1, copies):
            shutil.copyfile(first, folder / f"{number}.{kind}")
    return [folder / f"{number}.{kind}" for number in range(copies) for kind in CONTAINERS]


def wav(path: Path, seconds: float) -> Path:
    """Write a WAV file of stereo in 16 bits."""
    soundfile.write(path, sound(seconds), RATE_HZ, "PCM_16")
    return path
