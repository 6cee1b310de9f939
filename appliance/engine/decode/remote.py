"""A file whose bytes the parent fetches range by range, so that a look at a recording does not copy all of it.

The child asks down a socket with ASK (offset and number of bytes, which lie inside the file), and the parent sends
exactly those bytes. The parent closes the socket to cancel.
"""

from __future__ import annotations

import io
import os
import struct
from collections import OrderedDict
from typing import Protocol

ASK = struct.Struct("<QI")
BLOCK_BYTES = 256 * 1024
KEPT_BLOCKS = 16  # an MP4 reader goes back and forth


class Ranges(Protocol):
    """A recording that can be read at any place."""

    @property
    def size_bytes(self) -> int:
        """The number of bytes of the recording."""

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Return exactly these bytes."""


class RemoteFile(io.RawIOBase):
    """The child's end: a seekable file that keeps the blocks it read last. See ``io.RawIOBase`` for its methods."""

    def __init__(self, socket_fd: int, size_bytes: int) -> None:
        self._socket_fd = socket_fd
        self._size_bytes = size_bytes
        self._position = 0
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place and return it. Raises ValueError before the beginning."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning of the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer, or a part of it. Raises BrokenPipeError if the parent has cancelled."""
        if self._position >= self._size_bytes:
            return 0
        number, start = divmod(self._position, BLOCK_BYTES)
        block = self._block(number)
        chunk = block[start : start + len(buffer)]
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def _block(self, number: int) -> memoryview:
        if number not in self._blocks:
            self._blocks[number] = self._fetch(number * BLOCK_BYTES)
            if len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _fetch(self, offset: int) -> memoryview:
        block = memoryview(bytearray(min(BLOCK_BYTES, self._size_bytes - offset)))
        os.write(self._socket_fd, ASK.pack(offset, len(block)))
        unread = block
        while unread:
            count = os.readv(self._socket_fd, [unread])
            if not count:
                raise BrokenPipeError("the parent has cancelled")
            unread = unread[count:]
        return block
