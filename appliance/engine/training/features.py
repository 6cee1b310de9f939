"""The base model's features of recordings, one row a frame, kept in files: by checksum of recording and model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from appliance.engine.decode.decoder import Decoder
from appliance.engine.models.manifest import Manifest
from appliance.engine.models.session import Parallel, Session, Slot
from appliance.engine.models.store import StoredModel
from appliance.engine.scoring.scorer import Scorer
from appliance.engine.training.fingerprint import Fingerprinter
from appliance.engine.training.request import Read, TrainingRecording
from appliance.errors import InvalidManifest

KIND = ".features"
Identity = tuple[int, str, np.ndarray]  # number of channels, SHA-256 of the samples, fingerprint


@dataclass(frozen=True)
class Heard:
    """What is known of a recording after it was decoded.

    ``path`` holds the features, (num_frames, num_channels) float16; ``samples_sha256`` is of the decoded samples, and
    ``fingerprint`` holds what ``fingerprint.copies`` compares.
    """

    path: Path
    num_channels: int
    samples_sha256: str
    fingerprint: np.ndarray

    def features(self) -> np.ndarray:
        """Return the features, read from the disk only where they are used."""
        return np.memmap(self.path, np.float16, "r").reshape(-1, self.num_channels)


class FeatureCache:
    """The features that trainings share. What was not used for longest goes first if they take too much room."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._most_bytes = most_bytes
        self._in_use: set[Path] = set()

    def get(self, recording: TrainingRecording, model: StoredModel) -> Heard | None:
        """Return what is kept of a recording, if it is."""
        path = self._path(recording, model)
        try:
            about = json.loads(path.with_suffix(".json").read_text())
            fingerprint = np.load(path.with_suffix(".npy"))
            os.utime(path)
        except (OSError, ValueError):
            return None
        self._in_use.add(path)
        return Heard(path, about["num_channels"], about["samples_sha256"], fingerprint)

    def put(self, recording: TrainingRecording, model: StoredModel, hear: Callable[[BinaryIO], Identity]) -> Heard:
        """Have ``hear`` write the features, and keep them with what it returns."""
        path = self._path(recording, model)
        part = path.with_suffix(".part")
        with part.open("wb") as out:
            num_channels, digest, fingerprint = hear(out)
        about = {"num_channels": num_channels, "samples_sha256": digest}
        part.replace(path)
        np.save(path.with_suffix(".npy"), fingerprint)
        text = path.with_suffix(".part")
        text.write_text(json.dumps(about))
        text.replace(path.with_suffix(".json"))
        self._in_use.add(path)
        self._shrink()
        return Heard(path, num_channels, digest, fingerprint)

    def _path(self, recording: TrainingRecording, model: StoredModel) -> Path:
        return self._folder / f"{recording.sha256}-{model.scoring.sha256[:16]}{KIND}"

    def _shrink(self) -> None:
        """Remove the least recently used features until the rest fits. Those of this training stay."""
        files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob(f"*{KIND}"))
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self._most_bytes:
                return
            if path not in self._in_use:
                total -= size
                with suppress(OSError):
                    path.with_suffix(".json").unlink()
                    path.with_suffix(".npy").unlink()
                    path.unlink()


class _FeatureSink:
    """Takes the features of windows in order and writes those of the recording, each from where it is least an edge."""

    def __init__(self, out: BinaryIO, manifest: Manifest) -> None:
        self._out = out
        self._frame_ms = manifest.frame_hop_ms
        overlap_ms = 1000.0 * (manifest.input.window_seconds - manifest.input.hop_seconds)
        self._overlap = round(overlap_ms / self._frame_ms)
        self._held = np.empty((0, 0), np.float16)  # of the last window, from ``_start`` on
        self._start = 0
        self.num_channels = 0

    def add(self, start_ms: float, output: np.ndarray) -> None:
        """Add the features of the next window: (num_frames, num_channels) float32."""
        first = round(start_ms / self._frame_ms)
        seam = first + (self._overlap // 2 if self.num_channels else 0)
        if self.num_channels:
            self._write(self._held[: seam - self._start])
        self.num_channels = output.shape[1]
        self._held, self._start = output[seam - first :].astype(np.float16), seam

    def finish(self, duration_ms: float) -> None:
        """Write what is left, up to the recording's end."""
        self._write(self._held[: max(1, int(np.ceil(duration_ms / self._frame_ms))) - self._start])

    def _write(self, rows: np.ndarray) -> None:
        self._out.write(np.ascontiguousarray(rows).tobytes())


class Hearer:
    """Decodes recordings and computes their features, on one thread. Close it."""

    def __init__(self, model: StoredModel, decoder: Decoder) -> None:
        name = model.scoring.output.features
        if name is None:
            raise InvalidManifest(f"{model.manifest.id} gives no features: output.features is not set.")
        self._name = name
        self._manifest = model.scoring
        self._decoder = decoder
        self._scorer = Scorer(Session(model, "cpu", how=Parallel(1, 1)), self._run)

    def _run(self, slot: Slot, num_windows: int) -> np.ndarray:
        return slot.run(num_windows, self._name)

    def hear(self, read: Read, out: BinaryIO, checkpoint: Callable[[float], None]) -> Identity:
        """Write a recording's features to ``out``. Returns what the recording is told by.

        ``checkpoint`` gets the seconds heard so far and may raise. Raises AudioError, ScoringFailed, ScoresNotFinite.
        """
        sink = _FeatureSink(out, self._manifest)
        digest, fingerprinter = hashlib.sha256(), Fingerprinter(self._manifest.input.sample_rate_hz)

        def listened(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            for block in blocks:
                digest.update(np.ascontiguousarray(block, "<f4").tobytes())
                fingerprinter.add(block if block.ndim == 1 else block.mean(axis=1))
                yield block

        source = self._manifest.input
        decode = self._decoder.decode
        with read() as file, decode(file, source.sample_rate_hz, num_channels=source.num_channels) as audio:
            self._scorer.score(listened(audio), sink, checkpoint)
        sink.finish(1000.0 * audio.num_source_samples / audio.info.sample_rate_hz)
        return sink.num_channels, digest.hexdigest(), fingerprinter.finish()

    def close(self) -> None:
        """Stop the scorer's thread."""
        self._scorer.close()
