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

from appliance.engine.decode.recording import open_audio
from evaluation import containers, lookalikes, material
from evaluation.faults import FOCUSED, INJECTORS, Injector, decibels
from evaluation.labels import LABELS, Event
from evaluation.placing import put_faults, rms
from evaluation.sources import PARTS, Recording, cache_root, mono, resampled, stable_seed
from evaluation.streams import MECHANISMS

VERSION = 7  # of the set: one more when anything that shapes a clip changes
SINGLE_CLIPS_PER_LABEL = 20
MIXED_CLIPS = 30
FOCUSED_CLIPS = {
    "clipping_same_level": 32, "band_static": 28, "hum_even": 20, "hum_odd": 16, "hum_buzz": 16, "hum_drifting": 20,
    "hum_under_music": 24, "skip": 24, "backwards": 20, "earlier": 20,
}  # fmt: skip
OVERLOAD_CLIPS = {1: 24, 2: 24}  # by the generations of lossy coders after it
REAL_CLIPS = {
    "opus_concealed": 24, "opus_dropped": 20, "vorbis_dropped": 20, "mp3_dropped": 20, "mp3_overwritten": 24,
    "g711_silence": 16, "g711_repeated": 16,
}  # fmt: skip
CLEAN_MUSIC_KINDS = (
    "plain", "low_bit_rate", "plain", "fades", "plain", "door_slams", "plain", "low_bit_rate", "plain", "bass_drone",
)  # fmt: skip
CLEAN_SPEECH_KINDS = (
    "plain", "gated_pauses", "robot_voice", "keystrokes", "low_bit_rate", "radio_voice", "gated_pauses", "door_slams",
    "robot_voice", "radio_voice",
)  # fmt: skip
CLEAN_EFFECT_KINDS = ("plain", "roar", "plain", "machine", "low_bit_rate", "plain", "robot_voice", "plain")
EFFECT_ROUNDS = 3  # every effect is in as many recordings, each time among others
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
    plans += [("mixed", "any", MIXED_CLIPS)]
    plans += [("focus", name, count) for name, count in FOCUSED_CLIPS.items()]
    plans += [("overload", f"coders_{generations}", count) for generations, count in OVERLOAD_CLIPS.items()]
    plans += [("stream", mechanism, count) for mechanism, count in REAL_CLIPS.items()]
    for kind, what, count in plans:
        done = attempt = 0
        while done < count and attempt < 12 * count:
            name = f"{kind}-{what}-{done:03d}"
            rng = np.random.default_rng(stable_seed(name, attempt))
            entry = _faulty_clip(folder, name, kind, what, PARTS[done % 2], rng)
            attempt += 1
            if entry is not None:
                done += 1
                yield entry
    yield from _clean_files(folder)


def _faulty_clip(folder: Path, name: str, kind: str, what: str, part: str, rng: np.random.Generator) -> dict | None:
    """Return one clip with at least one fault, or None if no fault finds a place."""
    is_speech = rng.random() < (0.0 if what == "hum_under_music" else 0.45)
    if is_speech:
        recordings, audio, rate_hz = material.speech_for_faults(rng, part)
        package, source = recordings[0].package, [recording.name for recording in recordings]
    else:
        recording, audio, rate_hz = material.music_for_faults(rng, part)
        package, source = recording.package, [recording.name]
    if rng.random() < 0.5:
        audio = mono(audio)
    target_hz = _rate_for(kind, what, rng)
    if kind == "stream":
        audio = _levelled(resampled(audio, rate_hz, target_hz), rng)
        return _stream_clip(folder, name, what, audio, target_hz, package, source, part, rng)
    # Half of the faults are put in before the recording is resampled to its rate, and lie in its source's band. But
    # not if the rate is lowered by much: nothing would be left of faults above the new band.
    before = rng.random() < 0.5 and rate_hz <= 1.5 * target_hz
    fault_hz = rate_hz if before else target_hz
    audio = _levelled(resampled(audio, rate_hz, fault_hz), rng)
    damaged, events = put_faults(audio, fault_hz, _labels_for(kind, what, rng), rng, _injectors_for(kind, what))
    if not events:
        return None
    damaged = _below_full_scale(resampled(damaged, fault_hz, target_hz))
    container = _container_for(target_hz, rng, lossy=kind == "overload")
    if kind == "overload":
        coders = [container]
        damaged = damaged * np.float32(decibels(rng.uniform(-12, 0)))
        if what == "coders_2":
            coders.insert(0, _container_for(target_hz, rng, lossy=True))
            damaged = _below_full_scale(_coded(folder / f"{name}.first.{coders[0]}", damaged, target_hz, rng))
        then = coders[0] if len(coders) == 1 else "two_coders"
        events = [Event(e.label, f"overload_then_{then}", e.start_seconds, e.end_seconds) for e in events]
    path = folder / f"{name}.{container}"
    _write(path, damaged, target_hz, rng)
    return _entry(path, "faulty", kind, damaged, target_hz, package, source, part, events)


def _stream_clip(
    folder: Path,
    name: str,
    mechanism: str,
    audio: np.ndarray,
    rate_hz: int,
    package: str,
    source: list[str],
    part: str,
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
    return _entry(path, "faulty", "stream", damaged.audio, rate_hz, package, source, part, damaged.events)


def _coded(path: Path, audio: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Return the audio after one generation of the lossy coder that the suffix of ``path`` names, as long as before."""
    _write(path, audio, rate_hz, rng)
    with path.open("rb") as file:
        blocks = list(open_audio(file).blocks())
    path.unlink()
    coded = np.zeros_like(audio)
    decoded = np.concatenate(blocks)[: len(audio)]
    coded[: len(decoded)] = decoded
    return coded


def _clean_files(folder: Path) -> Iterator[dict]:
    for number, (recording, audio, rate_hz) in enumerate(material.clean_music()):
        rng = np.random.default_rng(stable_seed("clean music", number))
        kind = CLEAN_MUSIC_KINDS[number % len(CLEAN_MUSIC_KINDS)]
        name, unsure = f"clean-music-{number:03d}-{kind}", ["clipping"] if recording.is_hot else []
        yield _clean_file(folder, name, kind, audio, rate_hz, [recording], unsure, rng)
    speech = list(material.clean_speech(np.random.default_rng(stable_seed("clean speech"))))
    effects = [
        excerpt
        for turn in range(EFFECT_ROUNDS)
        for excerpt in material.clean_effects(np.random.default_rng(stable_seed("clean effects", turn)))
    ]
    for what, excerpts, kinds in (("speech", speech, CLEAN_SPEECH_KINDS), ("effects", effects, CLEAN_EFFECT_KINDS)):
        for number, (recordings, audio, rate_hz) in enumerate(excerpts):
            rng = np.random.default_rng(stable_seed(f"clean {what}", number))
            kind = kinds[number % len(kinds)]
            name, unsure = (
                f"clean-{what}-{number:03d}-{kind}",
                ["clipping"] if any(r.is_hot for r in recordings) else [],
            )
            yield _clean_file(folder, name, kind, audio, rate_hz, recordings, unsure, rng)


def _clean_file(
    folder: Path,
    name: str,
    kind: str,
    audio: np.ndarray,
    rate_hz: int,
    recordings: list[Recording],
    unsure: list[str],
    rng: np.random.Generator,
) -> dict:
    if rng.random() < 0.4:
        audio = mono(audio)
    target_hz = int(rng.choice([rate_hz, *RATES_HZ]))
    audio = _levelled(resampled(audio, rate_hz, target_hz), rng)
    if kind in lookalikes.LOOKALIKES:
        audio = lookalikes.LOOKALIKES[kind](audio, target_hz, rng)
    audio = _below_full_scale(audio)
    path = folder / f"{name}.{_container_for(target_hz, rng, lossy=kind == 'low_bit_rate')}"
    _write(path, audio, target_hz, rng, kilobits_share=0.35 if kind == "low_bit_rate" else 1.0)
    source, first = [recording.name for recording in recordings], recordings[0]
    group = f"effects, {kind}" if first.is_effect else kind
    return _entry(path, "clean", group, audio, target_hz, first.package, source, first.part, [], unsure)


def _entry(
    path: Path,
    kind: str,
    group: str,
    audio: np.ndarray,
    rate_hz: int,
    package: str,
    source: list[str],
    part: str,
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
        "part": part,
        "unsure": list(unsure),
        "events": [asdict(event) for event in events],
    }


def _labels_for(kind: str, what: str, rng: np.random.Generator) -> list[str]:
    if kind == "mixed":
        return [str(label) for label in rng.choice(LABELS, int(rng.integers(2, 4)), replace=False)]
    label = FOCUSED[what][0] if kind == "focus" else "clipping" if kind == "overload" else what
    return [label] * (1 if label in ("clipping", "hum") else int(rng.integers(1, 4)))


def _injectors_for(kind: str, what: str) -> dict[str, Injector]:
    return dict([FOCUSED[what]]) if kind == "focus" else INJECTORS


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
