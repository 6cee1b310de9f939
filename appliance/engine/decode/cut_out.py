"""Tells whether what is missing between two blocks of a WebM file was cut out of it.

Recorders of Opus leave packets out in pauses, so a gap in the times shows nothing by itself. But a file that is shorter
than it says has lost bytes. They lay in the gap if the index names a block there whose cluster is not in its place, and
what is before that block may be a pause. Or they did if the cluster around the gap is shorter than it says, and the gap
is the only one in it.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import BinaryIO, NamedTuple

from appliance.engine.decode.matroska import BLOCKS, CLUSTER, GROUP, SEGMENT, element_of

_HEAD, _CUES, _SEEK_HEAD = 0x1A45DFA3, 0x1C53BB6B, 0x114D9B74
_SEEK, _SEEK_NAME, _SEEK_PLACE = 0x4DBB, 0x53AB, 0x53AC
_CUE, _CUE_TIME, _CUE_PLACE, _CUE_TRACK, _CUE_CLUSTER = 0xBB, 0xB3, 0xB7, 0xF7, 0xF1
_TIME = 0xE7
_NEXT = tuple(name.to_bytes(4, "big") for name in (CLUSTER, _CUES))  # what may follow a cluster

_HEAD_BYTES = 256 * 1024  # the first cluster begins within these
_CLUSTER_HEAD_BYTES = 256  # its time stands within these, and is one of so many elements
_MOST_BEFORE_TIME = 10
_MOST_BYTES = 4 * 1024**2  # of a cluster, and of the index
_MOST_PARTS = 5_000  # of a cluster
_MOST_GROUP_PARTS = 10
_MOST_QUESTIONS = 200  # about one file
_MOST_TRIES = 20  # for the beginning of a cluster
_MOST_PLACES = 4  # where an index is looked for
_MOST_CUES = 20  # that are compared for one gap
_LONG_STEP = 1.5  # from the time of one block to that of the next, in usual steps


class _Element(NamedTuple):
    """What an element is, and where its content begins and it ends by its own account."""

    name: int
    start: int
    content: int
    end: int


class _Cue(NamedTuple):
    """What the index says of a block: its time, its track, and where its cluster begins in the segment."""

    time: int
    track: int
    cluster: int


class _Block(NamedTuple):
    """The time of a block, its track, and the byte at which its content begins."""

    time: int
    track: int
    byte: int


class _Cluster(NamedTuple):
    """The time that the blocks of a cluster count from, and whether the next one begins before this one should end."""

    time: int
    is_short: bool
    blocks: list[_Block]


class CutOut:
    """What was cut out of a WebM file. The file keeps its position."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._num_questions = 0
        self._base = 0  # where the content of the segment begins
        self._num_lost = 0  # bytes
        self._cues: list[_Cue] = []
        self._last = _Cluster(0, False, [])
        position = file.tell()
        try:
            self._read_head()
        finally:
            file.seek(position)

    def before(self, next_block: int, block: int) -> float:
        """Return how much was cut out just before a block, in the file's unit of time; 0 if nothing was.

        ``block`` is the one before it in the file, and the most is the time between the two. Both are given by the byte
        at which their content begins.
        """
        if self._num_lost <= 0 or self._num_questions >= _MOST_QUESTIONS:
            return 0
        self._num_questions += 1
        position = self._file.tell()
        try:
            first, start = self._find(block)
            _, end = self._find(next_block)
            if not start or not end or start.track != end.track or start.time >= end.time:
                return 0
            if first.is_short and _is_only_gap(first, start, end):
                return math.inf
            return end.time - self._first_named(start, end)
        finally:
            self._file.seek(position)

    def _read_head(self) -> None:
        """Read what is before the first cluster, and the index if the file is shorter than it says."""
        size, head = self._file.seek(0, 2), self._read(0, _HEAD_BYTES)
        segment = next((part for part in _elements(head, 0) if part.name != _HEAD), None)
        if not segment or segment.name != SEGMENT or _is_open(segment):
            return
        self._base, self._num_lost = segment.content, segment.end - size
        if self._num_lost <= 0:
            return
        stated = [self._base + place for place in _places_of_index(head, segment)]
        moved = [place - self._num_lost for place in stated]  # if it lies behind what was cut out
        for place in stated + moved:
            index = self._read(place, _MOST_BYTES)
            cues = next(_elements(index, 0), None)
            if cues and cues.name == _CUES and cues.end <= len(index):
                self._cues = sorted(_cues_of(index, cues))
                return

    def _read(self, start: int, num_bytes: int) -> bytes:
        self._file.seek(max(0, start))
        return self._file.read(num_bytes)

    def _find(self, block: int) -> tuple[_Cluster, _Block | None]:
        """Return the cluster of a block, and the block; None if it is in no cluster."""
        if not any(each.byte == block for each in self._last.blocks):
            start = max(0, block - _MOST_BYTES)
            data = self._read(start, block - start)
            end = len(data)
            for _ in range(_MOST_TRIES):
                end = data.rfind(_NEXT[0], 0, end)
                if end < 0:
                    break
                if cluster := self._cluster_at(start + end):
                    self._last = cluster
                    break
        return self._last, next((each for each in self._last.blocks if each.byte == block), None)

    def _cluster_at(self, start: int) -> _Cluster | None:
        """Return the cluster that begins at a byte; None if none begins there, or a larger one than is looked at."""
        data = self._read(start, _MOST_BYTES)
        cluster = next(_elements(data, 0), None)
        if not cluster or cluster.name != CLUSTER:
            return None
        begin, is_open = cluster.content, _is_open(cluster)
        ends = (data.find(name, begin, len(data) if is_open else cluster.end) for name in _NEXT)
        end = min((end for end in ends if end >= 0), default=len(data) if is_open else cluster.end)
        if end > len(data):
            return None
        time = _time_of(data, cluster)
        if time is None:
            return None
        blocks = []
        for part in islice(_elements(data, begin, end), _MOST_PARTS):
            group = _elements(data, part.content, part.end) if part.name == GROUP else iter((part,))
            inner = islice(group, _MOST_GROUP_PARTS)
            blocks += [_block_of(data, each, start, time) for each in inner if each.name in BLOCKS]
        return _Cluster(time, not is_open and end < cluster.end, blocks)

    def _first_named(self, start: _Block, end: _Block) -> int:
        """Return the first time between two blocks at which the index names a block whose cluster is not in its place.

        Without such a time it is that of the second block.
        """
        low = bisect_right(self._cues, start.time, key=lambda cue: cue.time)
        high = bisect_left(self._cues, end.time, key=lambda cue: cue.time)
        for cue in self._cues[low : min(high, low + _MOST_CUES)]:
            if cue.track == start.track:
                head = self._read(self._base + cue.cluster, _CLUSTER_HEAD_BYTES)
                cluster = next(_elements(head, 0), None)
                time = _time_of(head, cluster) if cluster and cluster.name == CLUSTER else None
                if time is None or time > cue.time:
                    return cue.time
        return end.time


def _time_of(data: bytes, cluster: _Element) -> int | None:
    """Return the time that the blocks of a cluster count from, which is one of its first elements."""
    first = islice(_elements(data, cluster.content, cluster.end), _MOST_BEFORE_TIME)
    return next((_number(data, part) for part in first if part.name == _TIME), None)


def _is_only_gap(cluster: _Cluster, start: _Block, end: _Block) -> bool:
    """Return whether the time between two blocks is long, and no other one is in the cluster of the first."""
    times = [each.time for each in cluster.blocks if each.track == start.track]
    if end not in cluster.blocks:
        times.append(end.time)
    steps = [after - before for before, after in pairwise(times)]
    if len(steps) < 3:
        return False
    longest = _LONG_STEP * statistics.median(steps)
    return end.time - start.time > longest and sum(step > longest for step in steps) == 1


def _elements(data: bytes, start: int, end: int | None = None) -> Iterator[_Element]:
    """Yield the elements that follow one another from a byte on, up to what is none."""
    end = len(data) if end is None else min(end, len(data))
    while start < end and (head := element_of(data[start : start + 12])):
        name, length, size = head
        yield _Element(name, start, start + length, start + length + size)
        start += length + size


def _is_open(element: _Element) -> bool:
    """Return whether an element does not say where it ends, as in what was sent while it was recorded."""
    name_length = (element.name.bit_length() + 7) // 8
    bits = 7 * (element.content - element.start - name_length)
    return element.end - element.content == (1 << bits) - 1


def _number(data: bytes, element: _Element) -> int:
    return int.from_bytes(data[element.content : min(element.end, element.content + 8)], "big")


def _numbers(data: bytes, element: _Element) -> dict[int, int]:
    return {child.name: _number(data, child) for child in _elements(data, element.content, element.end)}


def _places_of_index(head: bytes, segment: _Element) -> list[int]:
    """Return where in the segment the index is said to begin by what is before the first cluster."""
    places = []
    for part in _elements(head, segment.content):
        if part.name == CLUSTER:
            break
        for seek in _elements(head, part.content, part.end) if part.name == _SEEK_HEAD else ():
            fields = _numbers(head, seek)
            if fields.get(_SEEK_NAME) == _CUES and _SEEK_PLACE in fields:
                places.append(fields[_SEEK_PLACE])
    return places[:_MOST_PLACES]


def _cues_of(data: bytes, cues: _Element) -> Iterator[_Cue]:
    for cue in _elements(data, cues.content, cues.end):
        time = _numbers(data, cue).get(_CUE_TIME, 0) if cue.name == _CUE else 0
        for place in _elements(data, cue.content, cue.end) if cue.name == _CUE else ():
            fields = _numbers(data, place) if place.name == _CUE_PLACE else {}
            if _CUE_TRACK in fields and _CUE_CLUSTER in fields:
                yield _Cue(time, fields[_CUE_TRACK], fields[_CUE_CLUSTER])


def _block_of(data: bytes, block: _Element, start: int, time: int) -> _Block:
    """Return what the head of a block says. ``start`` is where the data begin in the file."""
    length = 9 - data[block.content].bit_length() if block.content < len(data) else 1
    track = int.from_bytes(data[block.content : block.content + length], "big") & (1 << 7 * length) - 1
    place = block.content + length
    return _Block(time + int.from_bytes(data[place : place + 2], "big", signed=True), track, start + block.content)
