"""Damaged recordings of every kind: bytes changed, cut, repeated or exchanged, lengths that lie, and crafted files."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable

import numpy as np

from tests.support.encoded_files import KINDS, encode, noise, noise_as, video_only, wav

SECONDS = 1.0
RATE_HZ = 48_000
HEAD_BYTES = 256
EXTREMES = (b"\x00", b"\xff", b"\x7f", b"\x80")


def sources() -> list[bytes]:
    """A short recording of every kind that the appliance reads, and files that it refuses."""
    recordings = [encode(kind, noise(RATE_HZ, SECONDS), RATE_HZ) for kind in KINDS]
    return [*recordings, noise_as("ac3", "mp4"), video_only("mp4"), video_only("matroska")]


def mutated(sources: list[bytes], seed: int) -> bytes:
    """Return a damaged file: the same one for the same seed."""
    luck = random.Random(seed)
    if luck.random() < 0.15:
        return luck.choice(CRAFTED)(luck)
    content = bytearray(luck.choice(sources))
    for _ in range(luck.choice((1, 1, 2, 8))):
        luck.choice(MUTATIONS)(content, luck, sources)
    return bytes(content) or b"\x00"


def _change_head(content: bytearray, luck: random.Random, _: list[bytes]) -> None:
    for _number in range(luck.randint(1, 8)):
        if content:
            content[luck.randrange(min(len(content), HEAD_BYTES))] = luck.randrange(256)


def _change_anywhere(content: bytearray, luck: random.Random, _: list[bytes]) -> None:
    for _number in range(luck.randint(1, 64)):
        if content:
            content[luck.randrange(len(content))] = luck.randrange(256)


def _lie_about_a_length(content: bytearray, luck: random.Random, _: list[bytes]) -> None:
    """Write an extreme 32-bit number where a length could be."""
    number = luck.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0))
    if len(content) >= 4:
        place = luck.randrange(min(len(content), HEAD_BYTES) - 3)
        content[place : place + 4] = struct.pack(luck.choice("<>") + "I", number)


def _cut(content: bytearray, luck: random.Random, _: list[bytes]) -> None:
    del content[luck.randrange(len(content) + 1) :]


def _cut_out(content: bytearray, luck: random.Random, _: list[bytes]) -> None:
    start = luck.randrange(len(content) + 1)
    del content[start : start + luck.randint(1, 5000)]


def _fill(content: bytearray, luck: random.Random, _: list[bytes]) -> None:
    start = luck.randrange(len(content) + 1)
    size = min(luck.randint(1, 5000), len(content) - start)
    content[start : start + size] = luck.choice(EXTREMES) * size


def _repeat(content: bytearray, luck: random.Random, _: list[bytes]) -> None:
    start = luck.randrange(len(content) + 1)
    content[start:start] = content[start : start + luck.randint(1, 5000)] * luck.randint(1, 20)


def _splice(content: bytearray, luck: random.Random, sources: list[bytes]) -> None:
    """Go on as another kind of file."""
    other = luck.choice(sources)
    content[luck.randrange(len(content) + 1) :] = other[luck.randrange(len(other)) :]


MUTATIONS: list[Callable[[bytearray, random.Random, list[bytes]], None]] = [
    _change_head,
    _change_head,
    _change_anywhere,
    _lie_about_a_length,
    _lie_about_a_length,
    _cut,
    _cut_out,
    _fill,
    _repeat,
    _splice,
]


def riff(num_channels: int, rate_hz: int, bits: int, data: bytes, *, tag: int = 1, claimed_bytes: int = -1) -> bytes:
    """A WAV file with any header. ``claimed_bytes`` is the length of the data that it claims."""
    block = min(num_channels * bits // 8, 65_535)
    head = struct.pack("<HHIIHH", tag, num_channels, rate_hz, min(rate_hz * block, 2**32 - 1), block, bits)
    size = len(data) if claimed_bytes < 0 else claimed_bytes
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(len(body), 2**32 - 1)) + body


def _many_channels(luck: random.Random) -> bytes:
    return riff(luck.choice((0, 9, 255, 1024, 65_535)), 44_100, 16, bytes(200_000))


def _odd_rate(luck: random.Random) -> bytes:
    return riff(1, luck.choice((0, 1, 2, 10_000_000, 2**31, 2**32 - 1)), 16, bytes(20_000))


def _odd_bits(luck: random.Random) -> bytes:
    return riff(
        2, 44_100, luck.choice((0, 1, 7, 12, 33, 64, 65_535)), bytes(20_000), tag=luck.choice((1, 2, 3, 65_534))
    )


def _lying_wav(luck: random.Random) -> bytes:
    return riff(1, 44_100, 16, bytes(luck.randint(0, 9000)), claimed_bytes=luck.choice((0, 1, 2**31, 2**32 - 1)))


def _wild_floats(luck: random.Random) -> bytes:
    values = np.array([3e38, -3e38, 1e20, np.nan, np.inf, -np.inf, 0.0], np.float32)
    return riff(1, 22_050, 32, values[[luck.randrange(7) for _ in range(20_000)]].tobytes(), tag=3)


def _html(luck: random.Random) -> bytes:
    return b"<!doctype html><title>Sign in</title><p>Your session is over.</p>" * luck.randint(1, 50)


def _zip(luck: random.Random) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("take.wav", wav(noise(22_050, 0.2, seed=luck.randrange(100)), 22_050))
    return target.getvalue()


def _random_bytes(luck: random.Random) -> bytes:
    return luck.randbytes(luck.randint(1, 50_000))


def _playlist(luck: random.Random) -> bytes:
    """A file that names another file, which a demuxer of playlists would open."""
    return luck.choice(
        (
            b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
            b"ffconcat version 1.0\nfile /etc/passwd\n",
            b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        )
    )


CRAFTED: list[Callable[[random.Random], bytes]] = [
    _many_channels,
    _odd_rate,
    _odd_bits,
    _lying_wav,
    _wild_floats,
    _html,
    _zip,
    _random_bytes,
    _playlist,
]
