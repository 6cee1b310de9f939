"""Make the evaluation set in the cache: faulty clips, clean recordings, and ``truth.jsonl`` that says what is in them.

Seeded by the name of each clip, so that adding a kind leaves every other clip as it was.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from evaluation import containers, lookalikes, material
from evaluation.faults import decibels
from evaluation.labels import LABELS, Event
from evaluation.placing import put_faults, rms
from evaluation.sources import cache_root, mono, resampled, stable_seed
from evaluation.streams import MECHANISMS

VERSION = 6  # of the set: one more when anything that shapes a clip changes
SINGLE_CLIPS_PER_LABEL = 36
MIXED_CLIPS = 40
OVERLOAD_CLIPS = 36
REAL_CLIPS = {
    "opus_concealed": 28, "opus_dropped": 20, "vorbis_dropped": 20, "mp3_dropped": 20, "mp3_overwritten": 28,
    "g711_silence": 20, "g711_repeated": 20,
}  # fmt: skip
CLEAN_MUSIC_KINDS = (
    "plain", "low_bit_rate", "plain", "fades", "plain", "door_slams", "plain", "low_bit_rate", "plain", "bass_drone",
)  # fmt: skip
CLEAN_SPEECH_KINDS = ("plain", "gated_pauses", "keystrokes", "low_bit_rate", "gated_pauses", "door_slams")
RATES_HZ = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
OPUS_CODER_RATES_HZ = (8_000, 16_000, 24_000, 48_000)


def set_folder() -> Path:
    return cache_root() / "evaluation"


def build() -> list[dict]:
    """Return the truth, one dictionary per file. Make the set first if it is missing or of another version."""
    folder = set_folder()
    truth, stamp = folder / "truth.jsonl", folder / "VERSION"
    if not (stamp.exists() and stamp.read_text() == str(VERSION)):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        lines = [json.dumps(entry) for entry in _all_clips(folder)]
        truth.write_text("\n".join(lines) + "\n")
        stamp.write_text(str(VERSION))
    return [json.loads(line) for line in truth.read_text().splitlines()]


def _all_clips(folder: Path) -> Iterator[dict]:
    plans: list[tuple[str, str, int]] = [("single", label, SINGLE_CLIPS_PER_LABEL) for label in LABELS]
    plans += [("mixed", "any", MIXED_CLIPS), ("overload", "clipping", OVERLOAD_CLIPS)]
    plans += [("stream", mechanism, count) for mechanism, count in REAL_CLIPS.items()]
    for kind, what, count in plans:
        done = attempt = 0
        while done < count and attempt < 12 * count:
            name = f"{kind}-{what}-{done:03d}"
            entry = _faulty_clip(folder, name, kind, what, np.random.default_rng(stable_seed(name, attempt)))
            attempt += 1
            if entry is not None:
                done += 1
                yield entry
    yield from _clean_files(folder)


def _faulty_clip(folder: Path, name: str, kind: str, what: str, rng: np.random.Generator) -> dict | None:
    """Return one clip with at least one fault, or None if no fault finds a place."""
    is_speech = rng.random() < 0.45
    if is_speech:
        recordings, audio, rate_hz = material.speech_for_faults(rng)
        package, source = recordings[0].package, [recording.name for recording in recordings]
    else:
        recording, audio, rate_hz = material.music_for_faults(rng)
        package, source = recording.package, [recording.name]
    if rng.random() < 0.5:
        audio = mono(audio)
    target_hz = _rate_for(kind, what, rng)
    if kind == "stream":
        audio = _levelled(resampled(audio, rate_hz, target_hz), rng)
        return _stream_clip(folder, name, what, audio, target_hz, package, source, rng)
    # Half of the faults are put in before the recording is resampled to its rate, and lie in its source's band. But
    # not if the rate is lowered by much: nothing would be left of faults above the new band.
    before = rng.random() < 0.5 and rate_hz <= 1.5 * target_hz
    fault_hz = rate_hz if before else target_hz
    audio = _levelled(resampled(audio, rate_hz, fault_hz), rng)
    damaged, events = put_faults(audio, fault_hz, _labels_for(kind, what, rng), rng)
    if not events:
        return None
    damaged = _below_full_scale(resampled(damaged, fault_hz, target_hz))
    container = _container_for(target_hz, rng, lossy=kind == "overload")
    if kind == "overload":
        events = [Event(e.label, f"overload_then_{container}", e.start_seconds, e.end_seconds) for e in events]
        damaged = damaged * np.float32(decibels(rng.uniform(-12, 0)))
    path = folder / f"{name}.{container}"
    _write(path, damaged, target_hz, rng)
    return _entry(path, "faulty", kind, damaged, target_hz, package, source, events)


def _stream_clip(
    folder: Path,
    name: str,
    mechanism: str,
    audio: np.ndarray,
    rate_hz: int,
    package: str,
    source: list[str],
    rng: np.random.Generator,
) -> dict | None:
    damaged = MECHANISMS[mechanism](audio, rate_hz, int(rng.integers(1, 4)), rng)
    if not damaged.events:
        return None
    if damaged.stream is not None:
        path = folder / f"{name}{damaged.suffix}"
        path.write_bytes(damaged.stream)
    else:
        container = "wav" if rng.random() < 0.5 else _container_for(rate_hz, rng)
        path = folder / f"{name}.{container}"
        _write(path, _below_full_scale(damaged.audio), rate_hz, rng)
    return _entry(path, "faulty", "stream", damaged.audio, rate_hz, package, source, damaged.events)


def _clean_files(folder: Path) -> Iterator[dict]:
    for number, (recording, audio, rate_hz) in enumerate(material.clean_music()):
        rng = np.random.default_rng(stable_seed("clean music", number))
        kind = CLEAN_MUSIC_KINDS[number % len(CLEAN_MUSIC_KINDS)]
        name, unsure = f"clean-music-{number:03d}-{kind}", ["clipping"] if recording.is_hot else []
        yield _clean_file(folder, name, kind, audio, rate_hz, recording.package, [recording.name], unsure, rng)
    speech = material.clean_speech(np.random.default_rng(stable_seed("clean speech")))
    for number, (recordings, audio, rate_hz) in enumerate(speech):
        rng = np.random.default_rng(stable_seed("clean speech", number))
        kind = CLEAN_SPEECH_KINDS[number % len(CLEAN_SPEECH_KINDS)]
        name, source = f"clean-speech-{number:03d}-{kind}", [recording.name for recording in recordings]
        yield _clean_file(folder, name, kind, audio, rate_hz, recordings[0].package, source, [], rng)


def _clean_file(
    folder: Path,
    name: str,
    kind: str,
    audio: np.ndarray,
    rate_hz: int,
    package: str,
    source: list[str],
    unsure: list[str],
    rng: np.random.Generator,
) -> dict:
    if rng.random() < 0.4:
        audio = mono(audio)
    target_hz = int(rng.choice([rate_hz, *RATES_HZ]))
    audio = _levelled(resampled(audio, rate_hz, target_hz), rng)
    effects = {**lookalikes.MUSIC_LOOKALIKES, **lookalikes.SPEECH_LOOKALIKES}
    if kind in effects:
        audio = effects[kind](audio, target_hz, rng)
    audio = _below_full_scale(audio)
    path = folder / f"{name}.{_container_for(target_hz, rng, lossy=kind == 'low_bit_rate')}"
    _write(path, audio, target_hz, rng, kilobits_share=0.35 if kind == "low_bit_rate" else 1.0)
    return _entry(path, "clean", kind, audio, target_hz, package, source, [], unsure)


def _entry(
    path: Path,
    kind: str,
    group: str,
    audio: np.ndarray,
    rate_hz: int,
    package: str,
    source: list[str],
    events: list[Event],
    unsure: Sequence[str] = (),
) -> dict:
    return {
        "file": path.name,
        "kind": kind,
        "group": group,
        "container": path.suffix[1:],
        "rate_hz": rate_hz,
        "num_channels": audio.shape[1],
        "duration_seconds": round(len(audio) / rate_hz, 3),
        "package": package,
        "source": source,
        "unsure": list(unsure),
        "events": [asdict(event) for event in events],
    }


def _labels_for(kind: str, what: str, rng: np.random.Generator) -> list[str]:
    if kind == "mixed":
        return [str(label) for label in rng.choice(LABELS, int(rng.integers(2, 4)), replace=False)]
    return [what] * (1 if what in ("clipping", "hum") else int(rng.integers(1, 4)))


def _rate_for(kind: str, what: str, rng: np.random.Generator) -> int:
    if what.startswith("g711"):
        return 8_000
    return int(rng.choice(OPUS_CODER_RATES_HZ if what.startswith("opus") else RATES_HZ))


def _container_for(rate_hz: int, rng: np.random.Generator, lossy: bool = False) -> str:
    choices = containers.LOSSY if lossy else containers.LOSSLESS * 2 + containers.LOSSY
    while True:
        container = str(rng.choice(choices))
        if container != "opus" or rate_hz in containers.OPUS_RATES_HZ:
            return container


def _write(path: Path, audio: np.ndarray, rate_hz: int, rng: np.random.Generator, kilobits_share: float = 1.0) -> None:
    """Write at a bit rate that is usual for the sample rate: 2 to 4 bits a sample, or a share of that."""
    usual = rate_hz * rng.uniform(2.0, 4.0) / 1000 * kilobits_share
    ladder = np.array([8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160])
    if path.suffix == ".opus":
        usual = usual * 0.6 + 4
    per_channel = int(ladder[np.argmin(np.abs(ladder - usual))])
    kilobits = min(per_channel * audio.shape[1], 160 if rate_hz < 32_000 else 320)
    if path.suffix == ".mp3":
        steps = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160]
        steps = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320] if rate_hz >= 32_000 else steps
        limit = 64 if rate_hz < 16_000 else 320
        kilobits = min((s for s in steps if s <= limit), key=lambda step: abs(step - kilobits))
    subtype = "PCM_24" if path.suffix in (".wav", ".flac") and rng.random() < 0.15 else "PCM_16"
    containers.write(path, audio, rate_hz, kilobits, subtype)


def _levelled(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the audio at a random loudness, never clipped."""
    wanted = decibels(rng.uniform(-32, -15))
    return audio * np.float32(min(wanted / max(rms(audio), 1e-4), 0.95 / max(float(np.max(np.abs(audio))), 1e-4)))


def _below_full_scale(audio: np.ndarray) -> np.ndarray:
    peak = float(np.max(np.abs(audio), initial=0.0))
    return audio * np.float32(0.98 / peak) if peak > 0.98 else audio
