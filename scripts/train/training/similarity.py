"""Measures the search for similar recordings by each embedding, on recordings that none of them was fitted on.

    PYTHONPATH=scripts/train .venv/bin/python -m training.similarity KLETTRES HYDROGEN

KLETTRES and HYDROGEN are the unpacked Debian packages klettres-data (spoken letters in twenty voices) and
hydrogen-drumkits; the music is of the packages for evaluation that scripts/train/fetch fetches. It prints the share of
right answers: the original of a damaged copy; and the nearest other clip's voice, drum, drum of another kit, track, and
fault, which is one of five that are put in here, or none, in recordings of other sources.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
import soxr

from training.damaged_copies import DAMAGES, damaged
from training.places import CACHE, MODEL_STORE

RATE_HZ, NORMALIZED_HZ = 32_000, 16_000
DRUMS = ("kick", "snare", "hat", "tom", "crash", "ride", "clap", "cowbell")
FAULTS = ("none", "click", "dropout", "clipping", "hum", "noise_burst")
PER_VOICE, PER_KIT_AND_DRUM, PER_TRACK, CLIP_SECONDS, NUM_COPIES, NUM_FAULTY = 100, 1, 3, 4, 60, 120


@dataclass(frozen=True)
class Clip:
    """A piece of audio (num_samples,) at RATE_HZ: its kind, and the recording or library that it is of."""

    audio: np.ndarray
    task: str
    kind: str
    source: str


def read(path: Path, start: float = 0.0) -> np.ndarray:
    """Return up to CLIP_SECONDS of a file: (num_samples,) float32."""
    rate = soundfile.info(path).samplerate
    audio, _ = soundfile.read(path, CLIP_SECONDS * rate, int(start * rate), dtype="float32", always_2d=True)
    return soxr.resample(audio.mean(axis=1), rate, RATE_HZ)


def gallery(letters: Path, drums: Path) -> Iterator[Clip]:
    """Yield the clips."""
    rng = np.random.default_rng(1)
    for voice in sorted(path for path in letters.rglob("alpha") if path.is_dir()):
        for path in rng.permutation(np.array(sorted(voice.glob("*.ogg")), object))[:PER_VOICE]:
            yield Clip(read(path), "voice", voice.parent.name, path.name)
    for kit in sorted(path for path in drums.rglob("drumkits/*") if path.is_dir()):
        for drum in DRUMS:
            files = sorted(p for p in kit.iterdir() if drum in p.name.lower() and p.suffix.lower() in (".flac", ".wav"))
            for path in files[:PER_KIT_AND_DRUM]:
                yield Clip(read(path), "drum", drum, kit.name)
    tracks = {path.name: path for path in sorted((CACHE / "sources" / "evaluate").rglob("*.ogg"))}  # some are linked
    for path in tracks.values():
        info = soundfile.info(path)
        if "music" in str(path) and info.duration > 30:
            for start in np.linspace(2, info.duration - 8, PER_TRACK):
                yield Clip(read(path, float(start)), "track", path.stem, "")


def faulty(clip: Clip, kind: str, rng: np.random.Generator) -> Clip:
    """Return a clip with two faults of a kind."""
    x = clip.audio.copy()
    size = float(np.abs(x).max())
    for at in rng.integers(len(x) // 8, len(x) - len(x) // 4, 2).tolist():
        if kind == "click":
            x[at : at + 3] += size * np.array([1, -0.7, 0.4], np.float32)
        elif kind == "dropout":
            x[at : at + RATE_HZ // 20] = 0
        elif kind == "noise_burst":
            x[at : at + RATE_HZ // 10] += 0.5 * size * rng.standard_normal(len(x[at : at + RATE_HZ // 10]))
    if kind == "clipping":
        x = np.clip(x, -0.25 * size, 0.25 * size)
    if kind == "hum":
        time = np.arange(len(x)) / RATE_HZ
        x += 0.05 * size * sum(np.sin(2 * np.pi * 50 * n * time) / n for n in (1, 2, 3, 5))
    return Clip(x.astype(np.float32), "fault", kind, str(rng.integers(2**31)))


class Embedder:
    """A model of the store: audio to one vector, as the appliance makes it from the 16 kHz copy."""

    def __init__(self, name: str, version: str, rate_hz: int, window: int, part_sizes: tuple[int, ...]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = MODEL_STORE / name / version / "model.onnx"
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._rate_hz, self._window = rate_hz, window
        self._part_sizes = part_sizes

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        x = soxr.resample(soxr.resample(audio, RATE_HZ, NORMALIZED_HZ), NORMALIZED_HZ, self._rate_hz)
        x = np.pad(x, (0, -len(x) % self._window)).reshape(-1, self._window).astype(np.float32)
        mean = np.mean([self._session.run(["embedding"], {"waveform": w[None]})[0][0] for w in x], axis=0)
        parts = np.split(mean, np.cumsum(self._part_sizes)[:-1])
        return np.concatenate([part / max(np.linalg.norm(part), 1e-12) for part in parts])


def nearest_is_right(vectors: np.ndarray, clips: list[Clip], other_source: bool = False) -> float:
    """Return for what share of clips the nearest other one has the same kind."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    if other_source:
        sources = np.array([clip.source for clip in clips])
        cosines[sources[:, None] == sources[None]] = -np.inf
    kinds = np.array([clip.kind for clip in clips])
    return float(np.mean(kinds[cosines.argmax(axis=1)] == kinds))


def main() -> None:
    """Print the table."""
    clips = [
        c for c in gallery(*map(Path, sys.argv[1:3])) if len(c.audio) > 0.3 * RATE_HZ and np.abs(c.audio).max() > 0.01
    ]
    rng = np.random.default_rng(2)
    chosen = rng.choice(len(clips), NUM_COPIES, replace=False)
    copies = [damaged(name, rng, clips[i].audio, RATE_HZ) for name in DAMAGES for i in chosen]
    sources = [clips[i] for i in rng.permutation(len(clips)) if len(clips[i].audio) > 2 * RATE_HZ]
    faults = [faulty(clip, FAULTS[i % len(FAULTS)], rng) for i, clip in enumerate(sources[:NUM_FAULTY])]
    by_task = {task: [i for i, clip in enumerate(clips) if clip.task == task] for task in ("voice", "drum", "track")}
    print({task: len(numbers) for task, numbers in by_task.items()}, len(copies), "copies", len(faults), "faulty")
    print("| by | copies | voice | drum | drum, other kit | track | fault |\n|---|---|---|---|---|---|---|")
    models = (
        ("spectrum", Embedder("spectrum", "1.0.0", 16_000, 16_000, (64,)), {"spectrum": slice(None)}),
        (
            "sound",
            Embedder("sound", "1.1.0", 32_000, 128_000, (128, 128)),
            {"fault": slice(0, 128), "sound": slice(128, 256), "both": slice(None)},
        ),
    )
    for _, embed, parts in models:
        of_clips, of_copies, of_faults = (
            np.stack([embed(audio) for audio in audios])
            for audios in ([c.audio for c in clips], copies, [c.audio for c in faults])
        )
        for name, part in parts.items():
            rows = of_clips[:, part]
            right = [np.mean((of_copies[:, part] @ rows.T).argmax(axis=1) == np.tile(chosen, len(DAMAGES)))]
            for task, numbers in by_task.items():
                mine = [clips[i] for i in numbers]
                right.append(nearest_is_right(rows[numbers], mine))
                if task == "drum":
                    right.append(nearest_is_right(rows[numbers], mine, other_source=True))
            right.append(nearest_is_right(of_faults[:, part], faults))
            print(f"| {name} | " + " | ".join(f"{share:.2f}" for share in right) + " |", flush=True)


if __name__ == "__main__":
    main()
