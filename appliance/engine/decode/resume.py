"""Decodes a recording from the middle on, with the very samples that a whole decode gives there.

The containers that are a head and then packets, pages or clusters are opened as if everything between the head and the
point had been cut out. So what the file says about seeking is not used: no index, no duration, no time stamp. FFmpeg
seeks in MP4, whose index is what gives the packets their places, and in WAV, where a time is a place.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, cast

import numpy as np

from appliance.engine.decode.ffmpeg import (
    SELF_FRAMED,
    Frame,
    Packets,
    align,
    close_after,
    join_blocks,
)
from appliance.engine.decode.seek_points import Resume

_CUT = (*SELF_FRAMED, "flac", "ogg", "webm")
_CLUSTER = re.compile(rb"\x1f\x43\xb6\x75(?:[\x80-\xff]|[\x40-\x7f].|[\x20-\x3f]..|[\x10-\x1f]...|\x01.{7})\xe7", re.S)
_CLUSTER_BYTES = 4 * 1024**2  # a cluster begins within these before each of its blocks
MAX_SECONDS = 60  # decoded before the point is met; more means that it is not there


class PointNotMet(Exception):
    """Decoding from a point on does not lead to the next one: the recording must be decoded from its beginning."""


def resume_packets(file: BinaryIO, container: str, resume: Resume) -> Iterator[np.ndarray]:
    """Yield (num_samples, num_channels) float32 blocks from ``resume.first_sample`` on, as a whole decode does.

    The end is not trimmed: the caller knows how long the recording is. Raises PointNotMet before the first block.
    """
    moved, rate_hz = 0, resume.sample_rate_hz
    if container in _CUT:
        head, begin = _cut_of(file, container, resume)
        moved = begin - head
        file = cast(BinaryIO, io.BufferedReader(_Cut(file, head, begin), 1 << 17))
    packets = Packets(file, container)
    if container not in _CUT:
        packets.source.seek(int(resume.begin["pts"]), stream=packets.stream)
    frames = _taken_over(packets, resume, moved)
    state = resume.take_over
    pieces = align(frames, packets, rate_hz, origin=state["origin"], position=int(state["position"]))
    return close_after(packets.source, join_blocks(pieces, rate_hz))


def _taken_over(packets: Packets, resume: Resume, moved: int) -> Iterator[Frame]:
    """Yield the frames from the point on, with the time stamps and counts of a whole decode. Raises PointNotMet."""
    frames, state, rate_hz = packets.frames(), resume.take_over, resume.sample_rate_hz
    num_samples = 0
    for first in frames:
        place = first.place
        if place and (place.byte + moved, place.nth) == (state["byte"], state["nth"]):
            break
        num_samples += first.audio.samples
        if num_samples > MAX_SECONDS * rate_hz:
            raise PointNotMet
    else:
        raise PointNotMet
    packets.good_bytes, packets.good_packets = int(state["good_bytes"]), int(state["good_packets"])
    packets.lost_frames = int(state["lost_frames"])
    # FFmpeg counts the packets of containers without a clock, and began with the first one after the cut.
    ahead = (state["pts"] - place.pts) * packets.seconds * rate_hz if packets.container in SELF_FRAMED else 0.0
    first.stamp = state["stamp"] - ahead
    for frame in chain([first], frames):
        if frame.stamp is not None:
            frame.stamp += ahead
        yield frame


def _cut_of(file: BinaryIO, container: str, resume: Resume) -> tuple[int, int]:
    """Return where the head of the file ends, and where it goes on."""
    first, begin = int(resume.first["byte"]), int(resume.begin["byte"])
    if container in SELF_FRAMED:
        return 0, begin
    if container == "webm":
        return _cluster_before(file, first), _cluster_before(file, begin)
    return first, begin


def _cluster_before(file: BinaryIO, block: int) -> int:
    """Return where the WebM cluster of a block begins. Raises PointNotMet."""
    for size in (4096, _CLUSTER_BYTES):
        start = max(0, block - size)
        file.seek(start)
        clusters = list(_CLUSTER.finditer(file.read(block - start)))
        if clusters:
            return start + clusters[-1].start()
    raise PointNotMet


class _Cut(io.RawIOBase):
    """A file without the bytes from ``head`` to ``begin``."""

    def __init__(self, file: BinaryIO, head: int, begin: int) -> None:
        self._file = file
        self._head = head
        self._begin = begin
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        at_head = self._position < self._head
        length = min(len(buffer), self._head - self._position) if at_head else len(buffer)
        self._file.seek(self._position if at_head else self._position + self._begin - self._head)
        chunk = self._file.read(length)
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset += self._file.seek(0, io.SEEK_END) - self._begin + self._head
        elif whence == io.SEEK_CUR:
            offset += self._position
        self._position = offset
        return offset

    def tell(self) -> int:
        return self._position
