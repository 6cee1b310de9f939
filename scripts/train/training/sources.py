"""The pool: every recording of the training packages, decoded once into one int16 memory map."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from training.labels import SAMPLE_RATE_HZ
from training.places import POOLS, SOURCES, WORK

# Decoded Vorbis may overshoot full scale; the pool keeps room so that storing it as int16 never clips it.
POOL_GAIN = 0.8

SPEECH_GAP_SECONDS = 0.15
SHORT_RECORDING_SECONDS = 12.0


def recordings(package: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, encoded bytes) of a package's audio files, those inside pk3 archives too, in a fixed order."""
    for path in sorted((SOURCES / package).rglob("*")):
        if path.suffix.lower() in {".ogg", ".wav", ".flac", ".mp3"}:
            yield path.name, path.read_bytes()
        elif path.suffix.lower() in {".pk3", ".zip"}:
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    if name.lower().endswith((".ogg", ".wav")):
                        yield name, archive.read(name)


def decode(data: bytes) -> tuple[np.ndarray, int]:
    """Decode to mono at the pool's rate. Returns (samples,) float32 and the recording's own rate."""
    audio, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    mono = audio[:, 0] if audio.shape[1] == 1 else (audio[:, 0] + audio[:, 1]) * 0.5
    return soxr.resample(mono, rate_hz, SAMPLE_RATE_HZ, quality="HQ").astype(np.float32), rate_hz


def build_pool(split: str) -> Path:
    """Decode the recordings of a pool into WORK/pool-<split>.i16 with an index; short utterances are joined."""
    target = WORK / f"pool-{split}.i16"
    if target.with_suffix(".json").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    index: list[dict] = []
    position = 0
    packages, parts = POOLS[split]
    gap = np.zeros(int(SPEECH_GAP_SECONDS * SAMPLE_RATE_HZ), np.int16)
    with target.open("wb") as out:
        for package in packages:
            open_string: dict | None = None
            for number, (name, data) in enumerate(recordings(package)):
                if number % 5 not in parts:
                    continue
                try:
                    mono, rate_hz = decode(data)
                except soundfile.LibsndfileError:  # libsndfile cannot read five files of lmms-common
                    continue
                samples = np.clip(np.round(mono * POOL_GAIN * 32767), -32768, 32767).astype(np.int16)
                short = len(samples) < SHORT_RECORDING_SECONDS * SAMPLE_RATE_HZ
                if short:
                    samples = np.concatenate([samples, gap])
                samples.tofile(out)
                if short and open_string and open_string["samples"] < 60 * SAMPLE_RATE_HZ:
                    open_string["samples"] += len(samples)
                else:
                    entry = {
                        "package": package,
                        "name": name,
                        "start": position,
                        "samples": len(samples),
                        "rate_hz": rate_hz,
                    }
                    index.append(entry)
                    open_string = entry if short else None
                position += len(samples)
    target.with_suffix(".json").write_text(json.dumps(index))
    return target


class Pool:
    """Random access to stretches of a pool.

    Packages are drawn evenly, so that a long one does not crowd out the rest.
    """

    def __init__(self, split: str) -> None:
        path = build_pool(split)
        self.index = json.loads(path.with_suffix(".json").read_text())
        self.samples = np.memmap(path, np.int16, "r")
        self.packages = sorted({entry["package"] for entry in self.index})
        self.weights = np.array([self._weight(package) for package in self.packages])
        self.weights /= self.weights.sum()

    def _weight(self, package: str) -> float:
        total = sum(entry["samples"] for entry in self.index if entry["package"] == package)
        return float(np.sqrt(total))

    def stretch(self, first: int, end: int) -> np.ndarray:
        """Return samples [first, end) of the pool as (end - first,) float32 in [-1, 1]."""
        return self.samples[first:end].astype(np.float32) / 32768

    def draw(self, rng: np.random.Generator, num_samples: int) -> tuple[np.ndarray, dict]:
        """Draw a stretch. Returns ((num_samples,) float32 in [-1, 1], zero-padded if short; the index entry)."""
        package = self.packages[rng.choice(len(self.packages), p=self.weights)]
        entries = [entry for entry in self.index if entry["package"] == package]
        lengths = np.array([entry["samples"] for entry in entries], float)
        entry = entries[rng.choice(len(entries), p=lengths / lengths.sum())]
        start = int(rng.integers(0, max(1, entry["samples"] - num_samples)))
        stretch = self.stretch(entry["start"] + start, entry["start"] + min(start + num_samples, entry["samples"]))
        out = np.zeros(num_samples, np.float32)
        out[: len(stretch)] = stretch
        return out, entry


pool_of = cache(Pool)  # the pool of a split, opened once in each process
