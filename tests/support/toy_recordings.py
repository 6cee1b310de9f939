"""Recordings in which one can work out by hand what the toy models detect."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from tests.support.encoded_files import wav

RATE_HZ = 22_050  # of the model loud-frames, so that nothing is resampled
FRAME = 256  # samples of one of its frames


def loud_frames(num_frames: int, loud: Iterable[tuple[int, int]], extra_samples: int = 0) -> np.ndarray:
    """Silence with loud stretches, which are half-open ranges of frames: (num_samples,) float32."""
    samples = np.zeros(num_frames * FRAME + extra_samples, np.float32)
    for first, last in loud:
        samples[first * FRAME : last * FRAME] = 0.5
    return samples


def loud_wav(num_frames: int = 200, loud: Iterable[tuple[int, int]] = ((100, 150),)) -> bytes:
    """The same as a WAV file. With the default values it has 2.322 s and is loud from 1,160.998 ms to 1,741.497 ms."""
    return wav(loud_frames(num_frames, loud), RATE_HZ)


LOUD_DETECTIONS = [{"artifact_type": "loud", "start_ms": 1160, "end_ms": 1742, "confidence": 1.0, "source": "model"}]
LOUD_DURATION_MS = 2322


def long_flac(path: Path, minutes: int) -> Path:
    """Minutes of silence; the last one begins with a loud second. The file is small, but takes long to decode."""
    minute = np.zeros((60 * 44_100, 2), np.float32)
    with soundfile.SoundFile(path, "w", 44_100, 2, "PCM_16", format="FLAC") as sound:
        for number in range(minutes):
            minute[:44_100] = 0.5 if number == minutes - 1 else 0.0
            sound.write(minute)
    return path
