"""The scores of a recording as they are kept: an ``.npz`` archive of numpy arrays, label by label.

``levels`` (num_labels, num_segments) uint16 has the scores times 65,535. ``steps_us`` (num_segments,) uint32 has the
lengths of the segments in microseconds. ``rules`` has the labels and their rules as JSON, so that detection in kept
scores needs neither the model nor its manifest. ``losses_ms`` (num_losses, 2) float64, if there are any, has the
stretches that are missing in the stream. Six hours with six labels in frames of 10 ms are 26 MB.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import IO, BinaryIO, Self

import numpy as np

from appliance.engine.scoring.events import Detection, DetectionConfig, DetectionFinder, LabelRule, strongest
from appliance.engine.scoring.levels import TOP, Levels
from appliance.engine.scoring.lost import with_losses
from appliance.errors import ScoresNotKept

CHUNK_BYTES = 1024**2
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same scores give the same bytes


class ScoreKeeper:
    """Takes the levels of a recording as they come, and writes the archive in the end. It holds 1 MiB of them.

    Until then they are in ``spool``, an empty binary file, in chunks: a row for each label, and one of lengths.
    """

    def __init__(self, rules: list[LabelRule], spool: BinaryIO) -> None:
        self._rules = rules
        self._spool = spool
        width = max(256, CHUNK_BYTES // (2 * len(rules) + 4))
        self._levels = np.empty((len(rules), width), np.uint16)
        self._steps = np.empty(width, np.uint32)
        self._num_held = 0
        self._num_segments = 0
        self.losses_ms: Sequence[tuple[float, float]] = ()

    def add(self, piece: Levels) -> None:
        """Add the next segments."""
        steps = np.diff(piece.edges_us)
        position = 0
        while position < len(steps):
            count = min(len(steps) - position, len(self._steps) - self._num_held)
            here, there = slice(position, position + count), slice(self._num_held, self._num_held + count)
            self._levels[:, there], self._steps[there] = piece.levels[:, here], steps[here]
            self._num_held += count
            position += count
            if self._num_held == len(self._steps):
                self._flush()

    def write(self, file: BinaryIO) -> None:
        """Write the archive."""
        self._flush()
        num_labels = len(self._rules)
        with zipfile.ZipFile(file, "w") as archive:
            with _member(archive, "levels", zipfile.ZIP_STORED) as member:
                _write_header(member, np.uint16, (num_labels, self._num_segments))
                for row in range(num_labels):
                    self._copy_row(member, row, np.uint16().itemsize)
            with _member(archive, "steps_us", zipfile.ZIP_DEFLATED) as member:
                _write_header(member, np.uint32, (self._num_segments,))
                self._copy_row(member, num_labels, np.uint32().itemsize)
            rules = np.array(json.dumps([asdict(rule) for rule in self._rules]))
            with _member(archive, "rules", zipfile.ZIP_DEFLATED) as member:
                np.lib.format.write_array(member, rules, allow_pickle=False)
            if self.losses_ms:
                with _member(archive, "losses_ms", zipfile.ZIP_DEFLATED) as member:
                    np.lib.format.write_array(member, np.array(self.losses_ms, np.float64), allow_pickle=False)

    def _flush(self) -> None:
        held = slice(0, self._num_held)
        self._spool.write(self._levels[:, held].tobytes())
        self._spool.write(self._steps[held].tobytes())
        self._num_segments += self._num_held
        self._num_held = 0

    def _copy_row(self, member: IO[bytes], row: int, item_bytes: int) -> None:
        """Copy one row of all chunks. The last chunk may be narrower; the rows before have 2 bytes for each segment."""
        chunk_start, num_left = 0, self._num_segments
        while num_left:
            width = min(len(self._steps), num_left)
            self._spool.seek(chunk_start + 2 * width * row)
            member.write(self._spool.read(item_bytes * width))
            chunk_start += width * (2 * len(self._rules) + 4)
            num_left -= width


def _member(archive: zipfile.ZipFile, name: str, compression: int) -> IO[bytes]:
    about = zipfile.ZipInfo(f"{name}.npy", EPOCH)
    about.compress_type = compression
    return archive.open(about, "w", force_zip64=True)


def _write_header(member: IO[bytes], kind: type[np.generic], shape: tuple[int, ...]) -> None:
    header = {"descr": np.dtype(kind).newbyteorder("<").str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(member, header)


def _mapped(file: BinaryIO) -> np.ndarray:
    with zipfile.ZipFile(file) as archive:
        about = archive.getinfo("levels.npy")
        with archive.open(about) as member:
            np.lib.format.read_magic(member)
            shape, _, kind = np.lib.format.read_array_header_1_0(member)
            in_member = member.tell()
    file.seek(about.header_offset + 26)  # where the lengths of the name and of the extra field are
    name_bytes, extra_bytes = struct.unpack("<HH", file.read(4))
    if 0 in shape:
        return np.empty(shape, kind)
    start = about.header_offset + 30 + name_bytes + extra_bytes + in_member
    return np.memmap(file, kind, "r", start, shape)


@dataclass(frozen=True)
class KeptScores:
    """The scores of one recording. Rows of the levels are the labels of ``rules``."""

    rules: tuple[LabelRule, ...]
    track: Levels
    losses_ms: tuple[tuple[float, float], ...] = ()

    @classmethod
    def read(cls, file: BinaryIO) -> Self:
        """Read an archive from a file of the operating system, whose levels are mapped. Raises ScoresNotKept."""
        try:
            levels = _mapped(file)
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                steps, rules = archive["steps_us"], json.loads(str(archive["rules"]))
                losses_ms = archive["losses_ms"].tolist() if "losses_ms" in archive else []
            edges_us = np.concatenate(([0], np.cumsum(steps, dtype=np.int64)))
            if levels.dtype != np.uint16 or levels.shape != (len(rules), len(steps)):
                raise ValueError("its arrays do not fit together")
            lost = tuple((float(start), float(end)) for start, end in losses_ms)
            return cls(tuple(LabelRule(**rule) for rule in rules), Levels(edges_us, levels), lost)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ScoresNotKept(f"The kept scores cannot be read: {error}.") from error

    @property
    def num_bytes(self) -> int:
        """What it takes on the disk and in memory."""
        return self.track.levels.nbytes + self.track.edges_us.nbytes

    def pooled(self, start_ms: int, end_ms: int, points: int) -> np.ndarray:
        """Return the greatest score of each label in ``points`` equal parts of a stretch.

        (num_labels, points) float32; a part behind the last score is 0. A part that lies within one segment has its
        score.
        """
        edges_us = np.linspace(1000 * start_ms, 1000 * end_ms, points + 1)
        first = np.searchsorted(self.track.edges_us, edges_us[:-1], "right") - 1
        last = np.searchsorted(self.track.edges_us, edges_us[1:], "left") - 1
        num_inside = int(np.count_nonzero(first < self.track.levels.shape[1]))
        pooled = np.zeros((len(self.rules), points), np.float32)
        if num_inside:
            first, last = first[:num_inside], np.minimum(last[:num_inside], self.track.levels.shape[1] - 1)
            seen = self.track.levels[:, first[0] : last[-1] + 1]
            # reduceat takes a up to b, b up to c, …: every second one is a part without its last segment.
            parts = np.maximum.reduceat(seen, np.stack([first, last], axis=1).ravel() - first[0], axis=1)[:, ::2]
            pooled[:, :num_inside] = np.maximum(parts, seen[:, last - first[0]])
        return pooled / np.float32(TOP)

    def detections(self, config: DetectionConfig, most: int | None = None) -> tuple[list[Detection], bool]:
        """Return the detections that a new analysis would find, the ``most`` strongest, and whether there are more."""
        finder = DetectionFinder(self.rules, config)
        finder.add(self.track)
        detections = with_losses(finder.finish(most), self.losses_ms, self.rules, config)
        if most is None or max(len(detections), finder.num_detections) <= most:
            return detections, False
        return strongest(detections, most), True
