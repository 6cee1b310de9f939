"""Faults in the committed clean clips: for each label the first one that a model finds, and the first that it misses.

The clips may be published (``tests/clips/LICENCE.md``), and so may pictures of them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from evaluation import detectors
from evaluation.labels import LABELS
from evaluation.placing import put_faults
from evaluation.scoring import ScoredFile, score_file
from evaluation.sources import stable_seed

CLIPS = detectors.REPOSITORY / "tests" / "clips"
CLEAN = ("clean_speech", "clean_music")
NUM_TRIES = 24  # for each label, in turn in speech and in music


@dataclass(frozen=True)
class Example:
    """A clip with one fault. audio : (num_samples,) float32. scored : what a model reports of it."""

    audio: np.ndarray
    rate_hz: int
    scored: ScoredFile


def damaged(label: str, attempt: int) -> tuple[np.ndarray, int, dict]:
    """Return a clip with one fault, (num_samples, 1) float32, its rate and its line of the truth."""
    audio, rate_hz = soundfile.read(CLIPS / f"{CLEAN[attempt % 2]}.flac", dtype="float32", always_2d=True)
    rng = np.random.default_rng(stable_seed("examples", label, attempt))
    out, events = put_faults(audio, rate_hz, [label], rng)
    return out, rate_hz, {"events": [vars(event) for event in events], "unsure": []}


def examples(model: str, store: Path | None) -> dict[str, dict[bool, Example | None]]:
    """Return for each label the first fault that is found (True) and the first that is missed (False), if any."""
    chosen: dict[str, dict[bool, Example | None]] = {label: {True: None, False: None} for label in LABELS}
    with tempfile.TemporaryDirectory() as folder:
        clips = {}
        for label in LABELS:
            for attempt in range(NUM_TRIES):
                audio, rate_hz, entry = damaged(label, attempt)
                if entry["events"]:
                    path = Path(folder, f"{label}-{attempt:02}.wav")
                    soundfile.write(path, audio, rate_hz)
                    clips[path] = (label, audio[:, 0], rate_hz, entry)
        answers = detectors.product(list(clips), model, store, None)
    for (label, audio, rate_hz, entry), answer in zip(clips.values(), answers, strict=True):
        scored = score_file(entry, answer)
        chosen[label][scored.found[0]] = chosen[label][scored.found[0]] or Example(audio, rate_hz, scored)
    return chosen
