"""Compares the checksums of ADTS frames, which cover parts of the coded data (ISO/IEC 13818-7, 6.2).

Covered are the header, the first 192 bits of the element that holds the audio, with two channels also the first 128
bits of the second one, and elements of data. Zeros stand for the bits that a short element lacks. Where the second
channel begins and where the element ends, only a decoder knows. So a checksum is wrong if it is wrong wherever they
could lie: one that is right is never called wrong. By chance one that is wrong fits somewhere: with one channel 1 in
thousands, with two channels at 128 kbit/s 1 in 20. A frame takes 0.14 to 0.5 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

_HEADER_BITS = 56
_FIRST_BIT = 72  # after the header and the checksum
_ELEMENT_BITS, _SECOND_BITS = 192, 128
_MOST_BYTES = 1600  # of a frame that is looked at; two channels have 2 × 6,144 bits at most
_MOST_ELEMENTS = 16  # behind one another, without audio
_MOST_ENDS = 8  # where the element of audio could end
_SINGLE, _PAIR, _DATA, _FILL, _END = 0, 1, 4, 6, 7
_PERIOD = 2**15 - 1  # of the powers of x modulo x^16 + x^15 + x^2 + 1


def is_checksum_wrong(frame: bytes) -> bool | None:
    """Return whether the checksum of a frame is wrong; None if it has none, or nobody can tell.

    What can be told are frames with one or two channels in one element, and beside it only data and filling.
    """
    channels = (frame[2] & 1) << 2 | frame[3] >> 6
    if frame[1] & 1 or frame[6] & 3 or channels not in (1, 2) or not 12 <= len(frame) <= _MOST_BYTES:
        return None
    parts = _Parts(frame)
    before = parts.elements_before()
    if before is None or parts.kind(before[-1]) != (_SINGLE if channels == 1 else _PAIR):
        return None
    for number, ends in enumerate(parts.ends_after(before[-1])):
        if number > _MOST_ENDS:
            return None
        if parts.fits(before, ends):
            return False
    return True


class _Parts:
    """The bits of a frame, and what stretches of them add to its checksum.

    Bits are the factors of a polynomial over two values, and its remainder is the checksum. ``_sums[n]`` is that of the
    first n bits, divided by x once for each of them. So two of them give the remainder of any stretch.
    """

    def __init__(self, frame: bytes) -> None:
        self.bits = np.unpackbits(np.frombuffer(frame, np.uint8))
        self.num_bits = len(self.bits)
        self.checksum = int.from_bytes(frame[7:9], "big")
        terms = self.bits * _powers()[-np.arange(1, self.num_bits + 1) % _PERIOD]
        self._sums = np.append(np.uint16(0), np.bitwise_xor.accumulate(terms))
        self._after: np.ndarray | None = None

    def kind(self, position: int) -> int:
        """Return what element begins at a bit."""
        return int(self.bits[position]) << 2 | int(self.bits[position + 1]) << 1 | int(self.bits[position + 2])

    def elements_before(self) -> list[int] | None:
        """Return where the elements without audio begin that are first, and then the next one; None without a next."""
        places = [_FIRST_BIT]
        while self.kind(places[-1]) in (_DATA, _FILL):
            places.append(int(self._next()[places[-1]]))
            if places[-1] + 3 > self.num_bits or len(places) > _MOST_ELEMENTS:
                return None
        return places

    def ends_after(self, element: int) -> Iterator[list[int]]:
        """Yield every way in which an element could end: its end, and where each element after it ends.

        The first way is that it fills the frame, so that nothing is cut off and no data follow, as in most frames.
        """
        yield [self.num_bits]
        numbers = np.arange(self.num_bits)
        is_end = (self._numbers(3) == _END) & (numbers + 3 > self.num_bits - 8) & (numbers + 3 <= self.num_bits)
        is_end = np.append(is_end, np.zeros(1, bool))
        for _ in range(_MOST_ELEMENTS):
            more = np.append(is_end[self._next()], np.zeros(1, bool)) & ~is_end
            if not more.any():
                break
            is_end |= more
        for end in np.flatnonzero(is_end[element + 3 :]) + element + 3:
            ends = [int(end)]
            while self.kind(ends[-1]) != _END:
                ends.append(int(self._next()[ends[-1]]))
            yield ends

    def fits(self, before: list[int], ends: list[int]) -> bool:
        """Return whether the checksum is right, if the element of audio and those after it end there."""
        element, end = before[-1], ends[0]
        state = self._fed(0xFFFF, 0, _HEADER_BITS)
        for start, next_start in pairwise(before):
            if self.kind(start) == _DATA:
                state = self._fed(state, start + 3, next_start)
        state = self._fed(state, element + 3, min(end, element + 3 + _ELEMENT_BITS), _ELEMENT_BITS)
        wanted = self.checksum
        for start, next_start in reversed(list(pairwise(ends))):
            if self.kind(start) == _DATA:
                length = next_start - start - 3
                wanted = int(_times(wanted ^ self._fed(0, start + 3, next_start), -length))
        if self.kind(element) == _SINGLE:
            return state == wanted
        starts = np.arange(element + 3, end)
        stretches = self._sums[np.minimum(starts + _SECOND_BITS, end)] ^ self._sums[starts]
        rest = wanted ^ int(_times(state, _SECOND_BITS))
        return bool((stretches == _times(rest, -(16 + _SECOND_BITS + starts))).any())

    def _fed(self, state: int, start: int, end: int, length: int | None = None) -> int:
        """Return the checksum after a stretch, with zeros up to a length in bits."""
        length = end - start if length is None else length
        return int(_times(state, length) ^ _times(int(self._sums[end] ^ self._sums[start]), 16 + start + length))

    def _next(self) -> np.ndarray:
        """Return where an element of data or filling ends that begins at each bit; the end of the frame for others."""
        if self._after is None:
            numbers, kind, byte = np.arange(self.num_bits), self._numbers(3), self._numbers(8)
            count = self._numbers(4, 3)
            fill = numbers + np.where(count == 15, 15 + 8 * (14 + self._at(byte, 7)), 7 + 8 * count)
            count = self._at(byte, 8)
            start = numbers + np.where(count == 255, 24, 16)
            start = np.where(self._at(self.bits, 7) == 1, -(-start // 8) * 8, start)
            data = start + 8 * (count + np.where(count == 255, self._at(byte, 16), 0))
            after = np.where(kind == _FILL, fill, np.where(kind == _DATA, data, self.num_bits))
            self._after = np.minimum(after, self.num_bits)
        return self._after

    def _numbers(self, width: int, ahead: int = 0) -> np.ndarray:
        """Return the number of so many bits that begins so many bits after each bit; zeros are behind the last one."""
        numbers = np.zeros(self.num_bits, np.int64)
        for bit in range(ahead, ahead + width):
            numbers = numbers << 1 | self._at(self.bits, bit)
        return numbers

    def _at(self, values: np.ndarray, ahead: int) -> np.ndarray:
        """Return the values so many places ahead; zeros are behind the last one."""
        return np.append(values[ahead:], np.zeros(min(ahead, len(values)), values.dtype)).astype(np.int64)


def _times(remainder: int, power: int | np.ndarray) -> Any:
    """Return a remainder after multiplication by a power of x, or by each of some."""
    powers, power = _powers(), power % _PERIOD
    total = powers[power] * (remainder & 1)
    for bit in range(1, 16):
        if remainder >> bit & 1:
            total = total ^ powers[power + bit]
    return total


@lru_cache(1)
def _powers() -> np.ndarray:
    """Return the remainder of each power of x, and of the first ones again: (_PERIOD + 16,) uint16."""
    powers = np.empty(_PERIOD + 16, np.uint16)
    remainder = 1
    for number in range(len(powers)):
        powers[number] = remainder
        remainder = (remainder << 1 ^ (0x8005 if remainder & 0x8000 else 0)) & 0xFFFF
    return powers
