#!/usr/bin/env python
"""Measures what looking and listening cost on long recordings: clips, envelopes, tiles. Prints a Markdown table.

``.venv/bin/python scripts/measure_clips.py --hours 6`` makes a recording of that length in each container, in the
folder ``--folder``, from ten minutes of noise and tones that are encoded once and whose packets are repeated. A clip of
10 s is compared, sample by sample, with the same stretch of a whole decode. With ``--damaged`` there are 300 bytes of
junk at a quarter, the middle and three quarters of each file.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.decode.recording import open_audio
from appliance.errors import ApplianceError
from tests.support.encoded_files import encode, joined

RATE_HZ, PIECE_SECONDS, CLIP_MS = 48_000, 600, 10_000
REPEATED = ("mp3", "mp3-no-header", "m4a", "aac", "opus", "webm")
WRITTEN = ("wav", "flac")
# Without noise substitution: the decoder draws that noise at random, so two decodes differ in it (docs/console.md).
PLAIN = {kind: {"aac_pns": "0"} for kind in ("m4a", "aac")}


@dataclass
class File:
    """A local file that is read in ranges."""

    path: Path

    def __post_init__(self) -> None:
        self.fd = os.open(self.path, os.O_RDONLY)

    @property
    def size_bytes(self) -> int:
        """Its size."""
        return os.fstat(self.fd).st_size

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Return these bytes."""
        return os.pread(self.fd, num_bytes, offset)


def sound() -> np.ndarray:
    """Ten minutes in stereo: (num_samples, 2) float32."""
    seconds = np.arange(RATE_HZ * PIECE_SECONDS) / RATE_HZ
    tone = 0.2 * np.sin(2 * np.pi * (200 + seconds) * seconds)
    noise = 0.02 * np.random.default_rng(0).standard_normal(len(tone))
    return np.stack([tone + noise, 0.5 * tone - noise], axis=1).astype(np.float32)


def make(kind: str, source: np.ndarray, pieces: int, path: Path) -> None:
    """Write a recording of ``pieces`` times ten minutes."""
    if kind in WRITTEN:
        with soundfile.SoundFile(path, "w", RATE_HZ, 2, "PCM_16", format=kind.upper()) as file:
            for _ in range(pieces):
                file.write(source)
        return
    joined(kind, encode(kind, source, RATE_HZ, **PLAIN.get(kind, {})), pieces, path)


def damage(path: Path) -> None:
    """Write junk into a recording."""
    random, size = np.random.default_rng(3), path.stat().st_size
    with path.open("r+b") as file:
        for place in (0.25, 0.5, 0.75):
            file.seek(int(place * size))
            file.write(random.bytes(300))


def timed(action: Callable[[], object]) -> float:
    """Return the milliseconds that an action takes."""
    began = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - began)


def between(path: Path, starts: list[int], length: int) -> Iterator[np.ndarray]:
    """Yield these stretches of a whole decode, in order."""
    position, wanted, parts = 0, list(starts), list[np.ndarray]()
    with path.open("rb") as file:
        for block in open_audio(file).blocks():
            while wanted and position + len(block) > wanted[0]:
                parts.append(block[max(0, wanted[0] - position) : wanted[0] + length - position])
                if position + len(block) < wanted[0] + length:
                    break
                yield np.concatenate(parts)
                parts.clear()
                wanted.pop(0)
            position += len(block)


def measure(kind: str, path: Path, decoder: Decoder, costs: bool) -> str:
    """Return a row of the table. ``costs``: also what the envelope adds to a decode, which decodes it twice."""
    recording = File(path)
    began = time.perf_counter()
    outline = decoder.look(recording, io.BytesIO()).outline
    look_seconds = time.perf_counter() - began
    rate = outline.info.sample_rate_hz
    last_ms = int(outline.seconds * 1000) - CLIP_MS - 1
    starts = [0, last_ms // 2, last_ms]
    clips, exact = [], True
    whole = between(path, [ms * rate // 1000 for ms in starts], CLIP_MS * rate // 1000)
    for start, expected in zip(starts, whole, strict=True):
        try:
            clip = decoder.clip(recording, start, start + CLIP_MS, outline).samples
        except ApplianceError as error:
            clips.append(f"refused ({error.code})")
            continue
        taken = min(
            timed(lambda at=start: decoder.clip(recording, at, at + CLIP_MS, outline))
            for _ in range(3)  # type: ignore[misc]
        )
        clips.append(f"{taken:.0f}")
        exact = exact and np.array_equal(clip, expected)
    tile = outline.num_samples // 2
    tiles = [0.0, 0.0]
    if not any(clip.startswith("refused") for clip in clips):
        tiles = [timed(lambda k=level: decoder.tile(recording, k, tile, outline)) for level in (0, 3)]  # type: ignore[misc]
    added = ""
    if costs:
        with path.open("rb") as file:
            plain, looking = (cpu_seconds(decoder, file, look) for look in (False, True))
        added = f"{100 * (looking / plain - 1):+.0f} %"
    return (
        f"| {kind} | {outline.seconds / 3600:.2f} h, {recording.size_bytes / 1e6:.0f} MB | {look_seconds:.0f} s "
        f"| {' / '.join(clips)} ms | {'yes' if exact else 'NO'} | {tiles[0]:.0f} / {tiles[1]:.0f} ms "
        f"| {added} |"
    )


def cpu_seconds(decoder: Decoder, file: io.BufferedReader, look: bool) -> float:
    """Return the CPU time of the child for a decode to 16 kHz."""
    pid = decoder.pid
    before = _used(pid)
    for _ in decoder.decode(file, 16_000, look_file=io.BytesIO() if look else None):
        pass
    return _used(pid) - before


def _used(pid: int | None) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure every container."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--kinds", nargs="*", default=[*WRITTEN, *REPEATED])
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--damaged", action="store_true")
    parser.add_argument("--no-costs", action="store_true")
    arguments = parser.parse_args()
    pieces = max(1, round(arguments.hours * 3600 / PIECE_SECONDS))
    source = sound()
    print("| container | recording | whole read | clip: start / middle / end | exact | tile: level 0 / 3 | peaks |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, Decoder(DecodeLimits()) as decoder:
        for kind in arguments.kinds:
            path = Path(folder) / kind
            make(kind, source, pieces, path)
            if arguments.damaged:
                damage(path)
            print(measure(kind, path, decoder, not arguments.no_costs), flush=True)
            path.unlink()
    print(
        f"\nLoad average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB at most in the parent."
    )


if __name__ == "__main__":
    main()
