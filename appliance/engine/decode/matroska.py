"""Reads the elements of a WebM file, to know whether a block between two others was damaged."""

from __future__ import annotations

from typing import BinaryIO

SEGMENT, CLUSTER, GROUP, BLOCKS = 0x18538067, 0x1F43B675, 0xA0, (0xA1, 0xA3)
_ENTERED = (SEGMENT, CLUSTER, GROUP)  # they hold what follows
_MOST_ELEMENTS = 10_000


def is_readable_between(file: BinaryIO, block: int, next_block: int) -> bool:
    """Return whether elements alone lead from one block to another; true also if they are too many to tell.

    The blocks are given by the byte at which their content begins. The file keeps its position.
    """
    position = file.tell()
    try:
        end = _end_of(file, block)
        for _ in range(_MOST_ELEMENTS):
            if end is None or end >= next_block:
                return False
            file.seek(end)
            element = element_of(file.read(12))
            if element is None:
                return False
            name, head, size = element
            if name in BLOCKS and end + head == next_block:
                return True
            end += head if name in _ENTERED else head + size
        return True
    finally:
        file.seek(position)


def _end_of(file: BinaryIO, block: int) -> int | None:
    """Return the byte after a block, whose size stands before its content."""
    start = max(0, block - 9)
    file.seek(start)
    head = file.read(block - start)
    for length in range(1, len(head)):
        element = element_of(head[-length - 1 :])
        if element and element[0] in BLOCKS and element[1] == length + 1:
            return block + element[2]
    return None


def element_of(head: bytes) -> tuple[int, int, int] | None:
    """Return the identifier of an element, the length of its head in bytes and the size of its content.

    None if no element begins with these bytes. A size that is unknown is the largest of its length.
    """
    if not head or not 0 < (length := 9 - head[0].bit_length()) <= 4 or len(head) <= length:
        return None
    name, first = int.from_bytes(head[:length], "big"), head[length]
    size_length = 9 - first.bit_length()
    if size_length > 8 or len(head) < length + size_length:
        return None
    size = int.from_bytes(head[length : length + size_length], "big") & (1 << 7 * size_length) - 1
    return name, length + size_length, size
