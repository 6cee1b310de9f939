"""Measures the appliance's own training on recordings with invented labels: quality by number of events, and the cost.

    OPENBLAS_NUM_THREADS=1 PYTHONPATH=scripts/train .venv/bin/python -m training.trial FOLDER [EVENTS ...]

FOLDER takes the recordings: minutes of speech and music of the packages for evaluation that scripts/train/fetch
fetches, into which keystrokes (bucklespring-data), notifications (lomiri-sounds), thumps and muffled stretches are
mixed, but for a third of the minutes. A track, or a minute of speech, is a group. Each training learns from so many
EVENTS of each label (10 and 50) and is measured on the same other groups, in which no sound is one that was learned
from. It prints a line of JSON and the model card for each. A training that was ended goes on when it is called again.

``suggestions`` of the line are for each label and number of stretches of 6 s: how many of those that would be suggested
in the other groups have the label, and how many of as many random ones would.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr

from appliance.engine.decode.decoder import Decoder
from appliance.engine.decode.parent import DecodeLimits
from appliance.engine.models.manifest import read_manifest
from appliance.engine.models.store import MANIFEST, ModelStore, StoredModel
from appliance.engine.scoring.levels import TOP, Levels
from appliance.engine.training.evaluate import scored
from appliance.engine.training.request import Phase, Stretch, TrainingRecording, TrainingRequest
from appliance.engine.training.run import train
from appliance.services.training.suggestions import STRETCH_MS, Suggestion, choose
from training.places import CACHE, MODEL_STORE

BASE = "artifacts"
RATE_HZ = 32_000
MINUTE = 60 * RATE_HZ
LABELS = ("keystroke", "notification", "thump", "muffled")
EVENTS_A_MINUTE = 2  # of each label, in minutes that have any
EVENTS = (10, 50)
SUGGESTED = (20, 140)  # stretches
HELD_OUT = 30  # minutes
MUSIC = ("drascula-music", "lincity-ng-data", "pushover-data", "unknown-horizons", "widelands-data")
EVALUATION = CACHE / "sources" / "evaluate"

Sounds = dict[str, list[np.ndarray]]
Minute = Callable[[], np.ndarray]


def mono(path: Path, start: float = 0.0, seconds: float = 60.0) -> np.ndarray:
    rate = soundfile.info(path).samplerate
    audio, _ = soundfile.read(path, int(seconds * rate), int(start * rate), dtype="float32", always_2d=True)
    return soxr.resample(audio.mean(axis=1), rate, RATE_HZ)


def minutes_of_music() -> Iterator[tuple[str, Minute]]:
    """Yield what reads each whole minute, with its track: four hours, of which few are used."""
    tracks = {path.name: path for package in MUSIC for path in sorted((EVALUATION / package).rglob("*.ogg"))}
    for path in tracks.values():
        for start in range(0, int(soundfile.info(path).duration) - 59, 60):
            yield path.stem, partial(mono, path, start)


def minutes_of_speech() -> Iterator[tuple[str, Minute]]:
    """Yield minutes of prompts, one after another, of one voice. No prompt is in two of them."""
    spoken = {path.name: path for path in sorted(EVALUATION.rglob("asterisk*/**/*.wav"))}
    parts, number = [], 0
    for path in spoken.values():
        parts.append(mono(path))
        if sum(map(len, parts)) >= MINUTE:
            yield f"speech-{number}", partial(np.concatenate, parts)
            parts, number = [], number + 1


def mixed(x: np.ndarray, label: str, start: int, sounds: Sounds, rng: np.random.Generator) -> int:
    """Put an event into x, in place, and return its length in samples."""
    level = float(np.sqrt(np.mean(x[start : start + RATE_HZ] ** 2))) + 0.01
    if label == "muffled":
        size = int(rng.uniform(0.8, 3.0) * RATE_HZ)
        spectrum = np.fft.rfft(x[start : start + size])
        hz = np.fft.rfftfreq(size, 1 / RATE_HZ)
        x[start : start + size] = np.fft.irfft(spectrum / (1 + (hz / 500) ** 4), size)
        return size
    if label == "thump":
        moment = np.arange(int(0.25 * RATE_HZ)) / RATE_HZ
        sound = np.sin(2 * np.pi * rng.uniform(45, 90) * moment) * np.exp(-moment / rng.uniform(0.03, 0.07))
    else:
        sound = sounds[label][rng.integers(len(sounds[label]))]
    sound = sound * level * rng.uniform(2.0, 5.0) / max(float(np.abs(sound).max()), 1e-6)
    x[start : start + len(sound)] += sound
    return len(sound)


def trimmed(audio: np.ndarray, seconds: float) -> np.ndarray:
    """Return what sounds, from its first to its last audible sample, up to so many seconds."""
    loud = np.flatnonzero(np.abs(audio) > 0.05 * np.abs(audio).max(initial=1e-9))
    return audio[loud[0] : loud[-1] + 1][: int(seconds * RATE_HZ)] if len(loud) else audio[:1]


def all_sounds() -> Sounds:
    keys = sorted(EVALUATION.rglob("bucklespring*/**/*.wav"))
    tones = sorted(EVALUATION.rglob("lomiri-sounds/**/*.ogg"))
    return {
        "keystroke": [trimmed(mono(path), 0.3) for path in keys],
        "notification": [trimmed(mono(path), 2.0) for path in tones],
    }


def recordings(folder: Path, num_fitted: int) -> tuple[list[TrainingRecording], list[TrainingRecording]]:
    """Write minutes and return those to learn from, of at least ``num_fitted`` events of each label, and the others.

    Those to learn from are each of another group. There are up to HELD_OUT others.
    """
    rng = np.random.default_rng(0)
    sounds = all_sounds()
    by_group: dict[str, list[Minute]] = {}
    for group, minute in (*minutes_of_speech(), *minutes_of_music()):
        by_group.setdefault(group, []).append(minute)
    fitted: list[TrainingRecording] = []
    others: list[TrainingRecording] = []
    for group in rng.permutation(np.array(sorted(by_group), object)):
        is_fitted = sum(bool(r.events) for r in fitted) * EVENTS_A_MINUTE < num_fitted
        side, parity = (fitted, 0) if is_fitted else (others, 1)
        mine = {label: some[parity::2] for label, some in sounds.items()}
        for minute in by_group[group][: 1 if is_fitted else None]:
            if len(others) == HELD_OUT:
                return fitted, others
            x = minute()[:MINUTE]
            number = len(fitted) + len(others)
            events = mix_events(x, mine, rng) if len(side) % 3 else ()
            side.append(write(folder / f"{number}.flac", x, group, events, held_out=not is_fitted))
    return fitted, others


def mix_events(x: np.ndarray, sounds: Sounds, rng: np.random.Generator) -> tuple[Stretch, ...]:
    places = iter(rng.permutation(np.arange(1, 55, 3)) * RATE_HZ)
    events = []
    for label in LABELS * EVENTS_A_MINUTE:
        start = int(next(places))
        size = mixed(x, label, start, sounds, rng)
        events.append(Stretch(label, 1000 * start // RATE_HZ, 1000 * (start + size) // RATE_HZ + 1))
    return tuple(events)


def write(path: Path, x: np.ndarray, group: str, events: tuple[Stretch, ...], *, held_out: bool) -> TrainingRecording:
    soundfile.write(path, np.clip(x, -1, 1), RATE_HZ)
    duration_ms = 1000 * len(x) // RATE_HZ
    return TrainingRecording(
        id=path.stem,
        read=partial(path.open, "rb"),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        group=group,
        duration_ms=duration_ms,
        events=events,
        reviewed=tuple(Stretch(label, 0, duration_ms) for label in LABELS),
        held_out=held_out,
    )


def gain(
    scores: list[tuple[TrainingRecording, list[Levels]]], label: str, column: int, count: int
) -> tuple[int, float]:
    """Return how many of so many suggested stretches have a label, and of as many random ones."""
    stretches, positive = [], set()
    for recording, pieces in scores:
        starts_us = np.concatenate([piece.edges_us[:-1] for piece in pieces])
        levels = np.concatenate([piece.levels[column] for piece in pieces])
        for start_ms in range(0, recording.duration_ms - STRETCH_MS + 1, STRETCH_MS):
            first, last = np.searchsorted(starts_us, [1000 * start_ms, 1000 * (start_ms + STRETCH_MS)])
            confidence = float(levels[first:last].max()) / TOP
            end_ms = start_ms + STRETCH_MS
            stretches.append(Suggestion(recording.id, recording.group, start_ms, end_ms, confidence, "surest"))
            if any(e.label == label and e.start_ms < end_ms and start_ms < e.end_ms for e in recording.events):
                positive.add((recording.id, start_ms))
    suggested = choose(stretches, count)
    return sum((s.audio_id, s.start_ms) in positive for s in suggested), count * len(positive) / len(stretches)


def trial(folder: Path, num_events: int, fitted: list[TrainingRecording], others: list[TrainingRecording]) -> None:
    """Train with the first recordings that have so many events of each label, and print how it went."""
    with_events = np.cumsum([EVENTS_A_MINUTE * bool(recording.events) for recording in fitted])
    some = fitted[: int(np.searchsorted(with_events, num_events)) + 1]
    request = TrainingRequest(
        name="trial",
        version="1.0.0",
        labels=LABELS,
        mode="append",
        base_model=ModelStore(MODEL_STORE).resolve(BASE).folder,
        recordings=(*some, *others),
        limits=DecodeLimits(),
        min_reviewed_seconds=0.0,
        cache=folder / "cache",
    )
    began: dict[Phase, float] = {}

    def progress(phase: Phase, share: float) -> None:
        began.setdefault(phase, time.process_time())
        print(f"{num_events} events: {phase} {share:.0%} {time.process_time():.0f} CPU-s", file=sys.stderr)

    answer = train(request, folder / f"work-{num_events}", progress, lambda: False)
    report = answer.report
    ends = [*[*began.values()][1:], time.process_time()]
    heard = [recording for recording in others if recording.id not in report["split"]["left_out_copies"]]
    model = StoredModel(read_manifest(answer.model / MANIFEST), answer.model)
    with Decoder(request.limits) as decoder:
        scores = [(recording, kept.pieces) for recording, _, kept in scored(model, heard, decoder, lambda _: None)]
    print(
        json.dumps(
            {
                "events": num_events,
                "split": report["split"],
                "macro_f1": report["macro_f1"],
                "f1": {row["label"]: [row["f1"], row["use"]] for row in report["per_label"]},
                "alarms_per_hour": {row["label"]: row["false_alarms_per_hour"] for row in report["per_label"]},
                "calibration_error": report["calibration_error"],
                "controls": report["controls"],
                "suggestions": {
                    label: {count: gain(scores, label, position - len(LABELS), count) for count in SUGGESTED}
                    for position, label in enumerate(LABELS)
                },
                "cpu_s": {phase: round(end - start) for (phase, start), end in zip(began.items(), ends, strict=True)},
            }
        )
    )
    print((answer.model / "MODEL_CARD.md").read_text(), flush=True)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    events = [int(text) for text in sys.argv[2:]] or [*EVENTS]
    fitted, others = recordings(folder, max(events))
    for num_events in events:
        trial(folder, num_events, fitted, others)


if __name__ == "__main__":
    main()
