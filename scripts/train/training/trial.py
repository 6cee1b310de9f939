"""Measures the appliance's own training on recordings with invented labels, and prints its report and its cost.

    OPENBLAS_NUM_THREADS=1 PYTHONPATH=scripts/train .venv/bin/python -m training.trial FOLDER [MINUTES]

FOLDER takes the recordings: minutes of speech and music of the packages for evaluation that scripts/train/fetch
fetches, into which keystrokes (bucklespring-data), notifications (lomiri-sounds), thumps and muffled stretches are
mixed. A third of the minutes has none of them. Each source recording is a group.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr

from appliance.engine.decode.decoder import DecodeLimits
from appliance.engine.training.request import Phase, Stretch, TrainingRecording, TrainingRequest
from appliance.engine.training.run import train
from training.places import ARTIFACTS, CACHE

RATE_HZ = 32_000
LABELS = ("keystroke", "notification", "thump", "muffled")
EVENTS_A_MINUTE = 2  # of each label, in minutes that have any
EVALUATION = CACHE / "sources" / "evaluate"


def mono(path: Path, start: float = 0.0, seconds: float = 60.0) -> np.ndarray:
    rate = soundfile.info(path).samplerate
    audio, _ = soundfile.read(path, int(seconds * rate), int(start * rate), dtype="float32", always_2d=True)
    return soxr.resample(audio.mean(axis=1), rate, RATE_HZ)


def grounds(minutes: int) -> list[tuple[str, np.ndarray]]:
    """Return minutes of music, and of utterances one after another, each with its source."""
    music = [p for p in sorted(EVALUATION.rglob("*.ogg")) if "music" in str(p) and soundfile.info(p).duration > 70]
    spoken = sorted(EVALUATION.rglob("asterisk*/**/*.wav"))
    out = []
    for number in range(minutes):
        if number % 2:
            path = music[number // 2 % len(music)]
            out.append((path.stem, mono(path, 5.0 * (number // 2 // len(music)))))
        else:
            some = spoken[number * 8 :] + spoken
            parts, size = [], 0
            while size < 60 * RATE_HZ:
                parts.append(mono(some.pop(0)))
                size += len(parts[-1])
            out.append((f"speech-{number}", np.concatenate(parts)[: 60 * RATE_HZ]))
    return out


def mixed(x: np.ndarray, label: str, start: int, sounds: dict[str, list[np.ndarray]], rng: np.random.Generator) -> int:
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


def recordings(folder: Path, minutes: int) -> list[TrainingRecording]:
    rng = np.random.default_rng(0)
    keys = sorted(EVALUATION.rglob("bucklespring*/**/*.wav"))
    tones = sorted(EVALUATION.rglob("lomiri-sounds/**/*.ogg"))
    sounds = {
        "keystroke": [trimmed(mono(p), 0.3) for p in keys],
        "notification": [trimmed(mono(p), 2.0) for p in tones],
    }
    out = []
    for number, (group, x) in enumerate(grounds(minutes)):
        places = iter(rng.permutation(np.arange(1, 55, 3)) * RATE_HZ)
        events = []
        for label in LABELS if number % 3 else ():
            for _ in range(EVENTS_A_MINUTE):
                start = int(next(places))
                size = mixed(x, label, start, sounds, rng)
                events.append(Stretch(label, 1000 * start // RATE_HZ, 1000 * (start + size) // RATE_HZ + 1))
        path = folder / f"{number}.flac"
        soundfile.write(path, np.clip(x, -1, 1), RATE_HZ)
        duration_ms = 1000 * len(x) // RATE_HZ
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        reviewed = tuple(Stretch(label, 0, duration_ms) for label in LABELS)
        made = TrainingRecording(str(number), path, digest, group, duration_ms, tuple(events), reviewed=reviewed)
        out.append(made)
    return out


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    minutes = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    request = TrainingRequest(
        "trial", "1.0.0", LABELS, "append", ARTIFACTS / "0.1.0", tuple(recordings(folder, minutes)), DecodeLimits()
    )
    began: dict[Phase, float] = {}

    def progress(phase: Phase, share: float) -> None:
        began.setdefault(phase, time.process_time())
        print(f"{phase} {share:.0%} {time.process_time():.0f} CPU-s", file=sys.stderr)

    report = train(request, folder / "work", progress, lambda: False)
    times = [*began.values(), time.process_time()]
    print({phase: round(end - start) for phase, start, end in zip(began, times, times[1:], strict=False)}, "CPU-s")
    print(json.dumps(report.report["controls"] | {"ece": report.report["calibration_error"]}))
    print((report.model / "MODEL_CARD.md").read_text())


if __name__ == "__main__":
    main()
