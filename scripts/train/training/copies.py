"""Measures which copies of recordings a training notices by their fingerprints, and prints a table.

Run ``PYTHONPATH=scripts/train .venv/bin/python -m training.copies`` after ``scripts/train/fetch``. The recordings are
eight excerpts of music of 30 s, twelve prompts of more than 4 s and ten notification sounds, each with its damaged
copies and one that begins later.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import soundfile
import soxr

from appliance.engine.training.fingerprint import Fingerprinter, copies
from training.damaged_copies import DAMAGES, damaged
from training.places import CACHE

RATE_HZ, SECONDS = 32_000, 30
KINDS = {
    "music": ("drascula-music/**/*.ogg", 8),
    "prompts": ("asterisk*/**/*.wav", 12),
    "tones": ("lomiri*/**/*.ogg", 10),
}


def recordings() -> dict[str, list[np.ndarray]]:
    """Return recordings by kind, each (num_samples,) float32."""
    out = {}
    for kind, (pattern, count) in KINDS.items():
        paths = sorted({path.name: path for path in (CACHE / "sources" / "evaluate").glob(pattern)}.values())
        if kind == "prompts":
            paths = [path for path in paths if soundfile.info(path).duration > 4]
        out[kind] = [read(path) for path in paths[:count]]
    return out


def read(path: Path) -> np.ndarray:
    rate = soundfile.info(path).samplerate
    audio = soundfile.read(path, dtype="float32", always_2d=True, frames=SECONDS * rate)[0]
    return soxr.resample(audio.mean(axis=1), rate, RATE_HZ)


def fingerprint(audio: np.ndarray) -> np.ndarray:
    fingerprinter = Fingerprinter(RATE_HZ)
    fingerprinter.add(audio)
    return fingerprinter.finish()


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    names, prints = [], []
    seconds, taken = 0.0, 0.0
    for kind, some in recordings().items():
        for number, audio in enumerate(some):
            later = audio[int(RATE_HZ * rng.uniform(0.2, 1)) :]
            made = {"": audio, **{name: damaged(name, rng, audio, RATE_HZ) for name in DAMAGES}, "begins later": later}
            for name, copy in made.items():
                began = time.process_time()
                prints.append(fingerprint(copy))
                taken, seconds = taken + time.process_time() - began, seconds + len(copy) / RATE_HZ
                names.append((kind, number, name))
    pairs = {frozenset((names[a], names[b])) for a, b in copies(prints)}
    wrong = sum(len({name[:2] for name in pair}) > 1 for pair in pairs)
    print(f"{len(names)} recordings, {wrong} pairs of different ones; {seconds / taken:.0f} s of audio in a CPU-second")
    print("| copies noticed | " + " | ".join(KINDS) + " |\n|---|" + "---|" * len(KINDS))
    for name in (*DAMAGES, "begins later"):
        cells = []
        for kind, (_, count) in KINDS.items():
            noticed = sum(frozenset({(kind, n, ""), (kind, n, name)}) in pairs for n in range(count))
            cells.append(f"{noticed} of {count}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
