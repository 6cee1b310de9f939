"""Grey pictures of 8 bits as PNG, and back. Only pictures that were written here are read."""

from __future__ import annotations

import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = struct.Struct(">IIBBBBB")
_CHUNK = struct.Struct(">I4s")


def to_png(picture: np.ndarray) -> bytes:
    """Return the PNG of (height, width) uint8."""
    height, width = picture.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each row begins with the number of its filter: none
    rows[:, 1:] = picture
    chunks = ((b"IHDR", _HEAD.pack(width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows.tobytes(), 6)))
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in (*chunks, (b"IEND", b"")))


def from_png(content: bytes) -> np.ndarray:
    """Return (height, width) uint8 of what ``to_png`` wrote. Raises ValueError if it is damaged."""
    try:
        head = len(_SIGNATURE) + _CHUNK.size
        width, height = _HEAD.unpack_from(content, head)[:2]
        start = head + _HEAD.size + 4
        size, _ = _CHUNK.unpack_from(content, start)
        rows = zlib.decompress(content[start + _CHUNK.size : start + _CHUNK.size + size])
        return np.frombuffer(rows, np.uint8).reshape(height, width + 1)[:, 1:]
    except (struct.error, zlib.error) as error:
        raise ValueError(f"not a picture: {error}") from error


def _chunk(kind: bytes, content: bytes) -> bytes:
    return _CHUNK.pack(len(content), kind) + content + struct.pack(">I", zlib.crc32(kind + content))
