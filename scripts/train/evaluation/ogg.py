"""Ogg pages, taken apart and put together again, so that single packets can be taken out of a Vorbis stream."""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np

HEADER = struct.Struct("<4sBBqIIIB")


@lru_cache(maxsize=1)
def _table() -> list[int]:
    table = []
    for value in range(256):
        remainder = value << 24
        for _ in range(8):
            remainder = ((remainder << 1) ^ 0x04C11DB7 if remainder & 0x80000000 else remainder << 1) & 0xFFFFFFFF
        table.append(remainder)
    return table


def _checksum(data: bytes) -> int:
    table, remainder = _table(), 0
    for byte in data:
        remainder = ((remainder << 8) & 0xFFFFFFFF) ^ table[((remainder >> 24) ^ byte) & 0xFF]
    return remainder


def _pages(stream: bytes) -> list[tuple[tuple, list[int], bytes]]:
    pages, position = [], 0
    while position < len(stream):
        header = HEADER.unpack_from(stream, position)
        lacing = list(stream[position + HEADER.size : position + HEADER.size + header[7]])
        body = position + HEADER.size + header[7]
        pages.append((header, lacing, stream[body : body + sum(lacing)]))
        position = body + sum(lacing)
    return pages


def _segments(lacing: list[int]) -> list[list[int]]:
    """Group a page's lacing values into packets; one that goes on in the next page ends with 255."""
    groups: list[list[int]] = [[]]
    for value in lacing:
        groups[-1].append(value)
        if value < 255:
            groups.append([])
    return groups if groups[-1] else groups[:-1]


def count_packets(stream: bytes) -> int:
    """Return how many packets of audio can be taken out: those that begin and end inside one page."""
    return sum(len(_segments(lacing)) for _header, lacing, _body in _pages(stream)[2:])


def without_packets(stream: bytes, lost: frozenset[int]) -> bytes:
    """Return the stream without the audio packets of these numbers, with valid pages."""
    out, number = [], 0
    for index, (header, lacing, body) in enumerate(_pages(stream)):
        kept_lacing, kept_body, position = [], b"", 0
        for group in _segments(lacing):
            size = sum(group)
            whole = group[-1] < 255 and not (header[2] & 1 and position == 0)
            if index < 2 or number not in lost or not whole:
                kept_lacing += group
                kept_body += body[position : position + size]
            number += index >= 2
            position += size
        fields = (*header[:6], 0, len(kept_lacing))
        page = bytearray(HEADER.pack(*fields) + bytes(kept_lacing) + kept_body)
        struct.pack_into("<I", page, 22, _checksum(bytes(page)))
        out.append(bytes(page))
    return b"".join(out)


def pick_near(stream: bytes, share: float, count: int, rng: np.random.Generator) -> frozenset[int]:
    """Return ``count`` neighboring packets at about this share of the stream."""
    total = count_packets(stream)
    first = int(np.clip(share * total + rng.integers(-3, 4), 4, total - count - 4))
    return frozenset(range(first, first + count))
