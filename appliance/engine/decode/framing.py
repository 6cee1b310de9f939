"""What the frames of MP3 and raw AAC say about what is missing between them.

These files have no clock. But each frame states its length, so the next one begins at its end, and what lies between
two frames is a tag or damage. A frame may have a checksum. One of MP3 also says how many bytes before it hold the
beginning of its data (ISO/IEC 11172-3, 2.4.2.7).
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO, NamedTuple

from appliance.engine.decode.adts import is_checksum_wrong
from appliance.engine.decode.containers import adts_length, id3_length, mp3_length, sync_bytes

_CHUNK_BYTES = 64 * 1024
_TAG_BYTES = 16  # of a tag that say how long it is
_LONGEST_BYTES = 8192 + _TAG_BYTES  # the longest ADTS frame and what comes after it
# Programs that change frames may leave all checksums wrong. So one shows damage only after this many that are right.
# After more than so many in a row that are wrong, all begins anew.
_NUM_RIGHT = 20
_NUM_WRONG_IN_A_ROW = 3


def _tag_length(head: bytes) -> int:
    """Return the length in bytes of the tag that begins with these bytes, 0 if they begin none."""
    if head[:8] == b"APETAGEX":
        return 32 + int.from_bytes(head[12:16], "little")
    if head[:3] == b"TAG":
        return 227 if head[3:4] == b"+" else 128
    return id3_length(head[:10])


class Skip(NamedTuple):
    """What was left out of a file up to a place."""

    position: int  # in what was kept
    num_bytes: int
    num_damaged: int  # of these bytes: those that are in no tag


class WholeFrames(io.RawIOBase):
    """An MP3 or raw AAC file without what lies between its frames.

    FFmpeg drops that too, but does not say where, loses the frame after it in MP3, and takes text in tags for frames.
    FFmpeg looks at the beginning, asks for the size, looks for a tag at the end, and then reads the whole. So a seek to
    the end finds nothing there, a seek back begins anew, and the size is that of the file.
    """

    def __init__(self, file: BinaryIO, container: str) -> None:
        self._file = file
        self._is_mp3 = container == "mp3"
        self._length_of = mp3_length if self._is_mp3 else adts_length
        self._position = 0
        self._begin()

    def _begin(self) -> None:
        self._file.seek(0)
        self._chain = Mp3Chain() if self._is_mp3 else AdtsChain()
        self._parts = self._whole_parts()
        self._part = memoryview(b"")
        self._num_read = 0
        self._skips: deque[Skip] = deque()
        self._skip = Skip(0, 0, 0)
        self._missing: deque[int] = deque()
        self._rate: int | None = None  # of the last frame

    def skip_before(self, position: int) -> Skip:
        """Return what was left out before a position in what was kept. The position never goes back."""
        while self._skips and self._skips[0].position <= position:
            self._skip = self._skips.popleft()
        return self._skip

    def is_missing(self, position: int) -> bool:
        """Return whether the data of the frame at a position are missing or damaged. The position never goes back."""
        while self._missing and self._missing[0] < position:
            self._missing.popleft()
        return bool(self._missing) and self._missing[0] == position

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        if whence == io.SEEK_END:
            position = self._file.tell()
            offset += self._file.seek(0, io.SEEK_END)
            self._file.seek(position)
        self._position = offset + (self._position if whence == io.SEEK_CUR else 0)
        return self._position

    def tell(self) -> int:  # noqa: D102
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # noqa: D102
        if self._position < self._num_read:
            self._begin()
            while self._num_read < self._position and self._next_part(self._position - self._num_read):
                pass
        if self._position != self._num_read:
            return 0
        part = self._next_part(len(buffer))
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _next_part(self, most: int) -> memoryview:
        if not self._part:
            self._part = memoryview(next(self._parts, b""))
        part, self._part = self._part[:most], self._part[most:]
        self._num_read += len(part)
        return part

    def _whole_parts(self) -> Iterator[bytes]:
        """Yield stretches of whole frames. What is left at the end of a file that was cut off is yielded too."""
        data, position, is_last = b"", 0, False
        kept, skipped = 0, Skip(0, 0, 0)
        while not is_last or position < len(data):
            if not is_last and len(data) - position < _LONGEST_BYTES:
                more = self._file.read(_CHUNK_BYTES)
                data, position, is_last = data[position:] + more, 0, not more
                continue
            start = position
            position = self._after_frames(data, start, kept, is_last)
            is_cut_off = is_last and self._length_of(data[position : position + 6]) > len(data) - position
            if position > start or is_cut_off:
                position = len(data) if is_cut_off else position
                if skipped.num_bytes > (self._skips[-1] if self._skips else self._skip).num_bytes:
                    self._skips.append(skipped._replace(position=kept))
                kept += position - start
                yield data[start:position]
            elif len(data) - position >= _LONGEST_BYTES or is_last:
                position, num_damaged = self._after_gap(data, position, is_last)
                skipped = Skip(0, skipped.num_bytes + position - start, skipped.num_damaged + num_damaged)
                if position > len(data):
                    self._file.seek(position - len(data), io.SEEK_CUR)
                    position = len(data)

    def _after_gap(self, data: bytes, start: int, is_last: bool) -> tuple[int, int]:
        """Return where a tag ends, or damaged bytes do, and how many bytes are damaged."""
        if tag := _tag_length(data[start : start + _TAG_BYTES]):
            self._chain.begin_anew()
            return start + tag, 0
        last = len(data) if is_last else max(start + 1, len(data) - _LONGEST_BYTES)
        end = self._next_frame(data, start + 1, last)
        self._chain.lose(end - start)
        return end, end - start

    def _after_frames(self, data: bytes, start: int, kept: int, is_last: bool) -> int:
        """Return the end of the frames that follow one another from ``start`` on."""
        position = start
        while length := self._length_of(data[position : position + 6]):
            end = position + length
            if end + (0 if is_last else _TAG_BYTES) > len(data) or self._is_head_damaged(data, position, end):
                break
            self._rate = self._rate_of(data, position)
            if self._chain.is_missing(data[position : position + length]):
                self._missing.append(kept + position - start)
            position += length
        return position

    def _is_head_damaged(self, data: bytes, start: int, end: int) -> bool:
        """Return whether a frame has another rate than its neighbors, or does not end where the next one begins."""
        head = data[end : end + _TAG_BYTES]
        is_other = self._rate not in (None, self._rate_of(data, start))
        if self._length_of(head[:6]):
            return is_other and self._rate == self._rate_of(head, 0)
        if len(head) < 6 or _tag_length(head):
            return False
        return is_other or self._next_frame(data, start + 1, end) < end

    def _rate_of(self, data: bytes, start: int) -> int:
        """Return what the header of a frame says of the sample rate."""
        return (data[start + 1] & 0x18) << 8 | data[start + 2] & 0x0C if self._is_mp3 else data[start + 2] & 0x3C

    def _next_frame(self, data: bytes, start: int, end: int) -> int:
        """Return where the first frame before ``end`` begins that another one follows; ``end`` without one."""
        for offset in sync_bytes(data, start, end):
            length = self._length_of(data[offset : offset + 6])
            if length and self._length_of(data[offset + length : offset + length + 6]):
                return offset
        return end


class Checksums:
    """Tells whether the checksums of a recording can be trusted, and so whether one that is wrong shows damage."""

    def __init__(self) -> None:
        self._num_right = self._num_wrong_in_a_row = 0

    def is_damage(self, is_wrong: bool) -> bool:
        """Return whether the checksum of the next frame shows damage."""
        if not is_wrong:
            self._num_right += 1
            self._num_wrong_in_a_row = 0
            return False
        self._num_wrong_in_a_row += 1
        if self._num_wrong_in_a_row > _NUM_WRONG_IN_A_ROW:
            self._num_right = 0
        return self._num_right >= _NUM_RIGHT


class AdtsChain:
    """Follows the frames of a raw AAC file."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Note that the next frame is of another recording."""
        self._checksums = Checksums()

    def lose(self, num_bytes: int) -> None:
        """Note that so many bytes before the next frame are damaged."""

    def is_missing(self, frame: bytes) -> bool:
        """Return whether the checksum of the next frame is wrong."""
        is_wrong = is_checksum_wrong(frame)
        return is_wrong is not None and self._checksums.is_damage(is_wrong)


class Mp3Chain:
    """Follows the frames of an MP3 file, and knows which bytes before each hold its data."""

    def __init__(self) -> None:
        # The bytes before the next frame that no frame before has used; None if that is unknown. A file may be cut out
        # of another, and its first frames point to bytes before it.
        self._free: int | None = None
        self._length = 0  # of the last frame, in bytes
        self._checksums = Checksums()

    def begin_anew(self) -> None:
        """Note that the next frame is of another recording."""
        self._free = None
        self._checksums = Checksums()

    def lose(self, num_bytes: int) -> None:
        """Note that so many bytes before the next frame are damaged. A few are not a frame that data could be in."""
        self._free = 0 if 2 * num_bytes >= self._length else None

    def is_missing(self, frame: bytes) -> bool:
        """Return whether the data of the next frame are not where it says, or its checksum is wrong."""
        shape = _shape(frame[:4])
        self._length = len(frame)
        begin, end = shape.begin, shape.end
        bits = int.from_bytes(frame[begin:end], "big")
        back = bits >> shape.back_shift
        num_bits = 0
        for shift in shape.size_shifts:
            num_bits += bits >> shift & 0xFFF
        if not num_bits and (frame[end : end + 4] in (b"Xing", b"Info") or frame[36:40] == b"VBRI"):
            self._free = None  # this frame describes the file and has no audio
            return False
        is_wrong = begin == 6 and self._checksums.is_damage(
            _crc16(frame[2:4] + frame[begin:end]) != int.from_bytes(frame[4:6], "big")
        )
        is_gone = self._free is not None and back > self._free
        free = len(frame) - end + back - (num_bits + 7) // 8
        self._free = free if free >= 0 and not is_wrong else None
        return is_gone or is_wrong


class _Shape(NamedTuple):
    """What the header of an MP3 frame says about its parts. Shifts are in the bits of the side information."""

    begin: int  # of the side information, which says how many bytes before the frame its data begin
    end: int
    back_shift: int  # to that number
    size_shifts: list[int]  # to the sizes in bits of the data of each channel in each granule


@lru_cache(1024)
def _shape(header: bytes) -> _Shape:
    is_v1, is_mono = header[1] & 8 == 8, header[3] >> 6 == 3
    begin = 4 if header[1] & 1 else 6  # a checksum is between
    size = (17 if is_mono else 32) if is_v1 else (9 if is_mono else 17)
    part = 59 if is_v1 else 63
    num_parts = (1 if is_mono else 2) * (2 if is_v1 else 1)
    shifts = [part * number + part - 12 for number in range(num_parts)]  # the parts end the side information
    return _Shape(begin, begin + size, 8 * size - (9 if is_v1 else 8), shifts)


def _crc16(data: bytes) -> int:
    remainder = 0xFFFF
    for byte in data:
        remainder = (remainder << 8 & 0xFFFF) ^ _CRC[remainder >> 8 ^ byte]
    return remainder


def _crc_of(byte: int) -> int:
    remainder = byte << 8
    for _ in range(8):
        remainder = (remainder << 1 ^ (0x8005 if remainder & 0x8000 else 0)) & 0xFFFF
    return remainder


_CRC = [_crc_of(byte) for byte in range(256)]
