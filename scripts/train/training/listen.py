"""Training clips as WAV files, each with a JSON list of its faults."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import soundfile

from training.labels import SAMPLE_RATE_HZ
from training.render import clip_of


def write(folder: Path, count: int, split: str = "fit") -> None:
    """Write clips 0 to count - 1 of a split."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        clip = clip_of(split, index)
        soundfile.write(folder / f"{index:04d}.wav", clip.audio, SAMPLE_RATE_HZ)
        (folder / f"{index:04d}.json").write_text(json.dumps(clip.spans))


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
