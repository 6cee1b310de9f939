"""Recordings to train on: noise with beeps and buzzes at known times."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from appliance.engine.decode.decoder import DecodeLimits
from appliance.engine.training.request import Read, Stretch, TrainingRecording, TrainingRequest
from tests.support.toy_models import bands_model

RATE_HZ, SECONDS = 8000, 16
TONES_HZ = {"beep": 1250, "buzz": 2750}
EVENT_MS = 200


def recording(folder: Path, number: int, group: str, labels: tuple[str, ...] = tuple(TONES_HZ)) -> TrainingRecording:
    """Write a recording with two events of each label, all of it reviewed."""
    rng = np.random.default_rng(number)
    audio = 0.02 * rng.standard_normal(SECONDS * RATE_HZ)
    places = rng.choice(np.arange(1, 2 * SECONDS - 1), 2 * len(labels), replace=False) * 500
    events = []
    for start_ms, label in zip(places.tolist(), labels * 2, strict=True):
        time = np.arange(EVENT_MS * RATE_HZ // 1000)
        tone = 0.15 * np.sin(2 * np.pi * TONES_HZ[label] * time / RATE_HZ)
        first = start_ms * RATE_HZ // 1000
        audio[first : first + len(tone)] += tone
        events.append(Stretch(label, start_ms, start_ms + EVENT_MS))
    path = folder / f"{number}.wav"
    soundfile.write(path, audio, RATE_HZ)
    reviewed = tuple(Stretch(label, 0, 1000 * SECONDS) for label in TONES_HZ)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return TrainingRecording(
        f"audio-{number}",
        reader(path),
        digest,
        group,
        1000 * SECONDS,
        events=tuple(events),
        reviewed=reviewed,
    )


def reader(path: Path) -> Read:
    """Return what opens a file."""
    return lambda: path.open("rb")


def request(folder: Path, recordings: tuple[TrainingRecording, ...] | None = None, **changes: Any) -> TrainingRequest:
    """Return a training of beeps and buzzes on a base model of tones: 12 recordings, each a group."""
    if recordings is None:
        recordings = tuple(recording(folder, number, f"group-{number}") for number in range(12))
    made = TrainingRequest(
        name="tones",
        version="1.0.0",
        labels=tuple(TONES_HZ),
        mode="append",
        base_model=bands_model(folder / "store"),
        recordings=recordings,
        limits=DecodeLimits(),
        min_reviewed_seconds=60.0,
    )
    return replace(made, **changes)
