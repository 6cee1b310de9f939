"""Checksums of ADTS frames: one that is wrong is a loss, in whatever way the frame is put together, and no other is.

FFmpeg writes none, so these tests put them in, bit by bit from strings, to share nothing with what they test.
"""

from __future__ import annotations

import numpy as np
import pytest

from appliance.engine.decode.adts import is_checksum_wrong
from tests.engine.decode.test_framing import ID3_V1, SOUND, TEXT, frames_of, losses_of
from tests.support.encoded_files import encode

RATE_HZ = 44_100
FRAME_SECONDS = 1024 / RATE_HZ
SHORT = SOUND[: 2 * RATE_HZ]
SINGLE, PAIR, DATA, FILL, END = (f"{kind:03b}" for kind in (0, 1, 4, 6, 7))
PLAIN = {"aac_tns": "0", "aac_pns": "0"}
FILLING = FILL + "0011" + "10100101" * 3
LONG_FILLING = FILL + "1111" + f"{40:08b}" + "01" * 4 * 54
SOME_DATA = DATA + "0000" + "0" + f"{20:08b}" + "11100010" * 20


def bits_of(content: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in content)


def channel_of(frame: bytes) -> str:
    """The channel in a mono frame of FFmpeg: what lies between the tag of its element and the end."""
    bits = bits_of(frame[7:])
    while bits.startswith(FILL):  # FFmpeg's name, in the first frame
        bits = bits[7 + 8 * int(bits[3:7], 2) :] if bits[3:7] != "1111" else bits[15 + 8 * (14 + int(bits[7:15], 2)) :]
    assert bits.startswith(SINGLE + "0000")
    return bits[7 : bits.rindex(END)]


def crc(bits: str) -> int:
    remainder = 0xFFFF
    for bit in bits:
        remainder = (remainder << 1 & 0xFFFF) ^ (0x8005 if remainder >> 15 ^ int(bit) else 0)
    return remainder


def protected(head: bytes, channels: list[str], before: str = "", after: str = "", data: str = "") -> bytes:
    """A frame with a checksum. ``before`` and ``after`` are elements, and ``data`` is one that is after."""
    if len(channels) == 1:
        element = "0000" + channels[0]
        covered = f"{element:0<192}"[:192]
    else:
        element = "0000" + "0" + channels[0] + channels[1]
        covered = f"{element:0<192}"[:192] + f"{channels[1]:0<128}"[:128]
    payload = before + (PAIR if len(channels) == 2 else SINGLE) + element + after + data + END
    covered += data[3:]
    payload += "0" * (-len(payload) % 8)
    size = 9 + len(payload) // 8
    shape = len(channels)
    header = bytes(
        [0xFF, 0xF0, head[2] & 0xFE | shape >> 2, shape << 6 | size >> 11, size >> 3 & 255, size << 5 & 255 | 31, 0xFC]
    )
    body = int(payload, 2).to_bytes(len(payload) // 8, "big")
    return header + crc(bits_of(header) + covered).to_bytes(2, "big") + body


@pytest.fixture(scope="module")
def mono() -> list[bytes]:
    return frames_of("aac", encode("aac", SHORT, RATE_HZ, b="48000", **PLAIN))


@pytest.fixture(scope="module")
def streams(mono: list[bytes]) -> dict[str, list[bytes]]:
    """Streams with checksums that are right, frame by frame. The quiet frames are shorter than what is covered."""
    quiet = frames_of("aac", encode("aac", 0.00003 * SHORT, RATE_HZ, b="8000", **PLAIN))
    channels, hushed = [channel_of(frame) for frame in mono], [channel_of(frame) for frame in quiet]
    head = mono[0]
    assert min(map(len, hushed)) < 128 < 192 < np.median([len(channel) for channel in channels])
    both = list(zip(channels, reversed(channels), strict=True))
    mixed = list(zip(channels, hushed, strict=True))
    return {
        "mono": [protected(head, [channel]) for channel in channels],
        "stereo": [protected(head, list(pair)) for pair in both],
        "quiet": [protected(head, [channel], after=FILLING) for channel in hushed],
        "quiet stereo": [protected(head, [channel, channel]) for channel in hushed],
        "loud and quiet": [protected(head, list(pair)) for pair in mixed],
        "quiet and loud": [protected(head, list(reversed(pair)), after=FILLING) for pair in mixed],
        "filled": [protected(head, list(pair), before=FILLING, after=LONG_FILLING * 2) for pair in both],
        "with data": [protected(head, [channel], after=FILLING, data=SOME_DATA) for channel in channels],
        "stereo with data": [protected(head, list(pair), data=SOME_DATA) for pair in both],
    }


def test_checksums_that_are_right_are_never_called_wrong(streams: dict[str, list[bytes]]) -> None:
    for name, frames in streams.items():
        assert [is_checksum_wrong(frame) for frame in frames] == [False] * len(frames), name
    assert losses_of(b"".join(streams["stereo"])) == []


def test_a_frame_whose_checksum_is_wrong_is_lost(streams: dict[str, list[bytes]]) -> None:
    for name, frames in streams.items():
        num_known = 0
        covered = 14 if name == "filled" else 10
        for number in range(25, 85):
            frame = bytearray(frames[number])
            frame[covered + number % 8] ^= 1 << number % 8
            num_known += is_checksum_wrong(bytes(frame)) is True
        is_mono = name in ("mono", "quiet", "with data")
        assert num_known >= (60 if is_mono else 50), name


def test_the_loss_is_where_the_frame_is(streams: dict[str, list[bytes]]) -> None:
    frames = list(streams["mono"])
    for number in (40, 41, 70):
        frames[number] = frames[number][:12] + bytes([frames[number][12] ^ 4]) + frames[number][13:]
    losses = losses_of(b"".join(frames))
    assert losses[0][0] == pytest.approx(40 * FRAME_SECONDS, abs=1.1 * FRAME_SECONDS)
    assert losses[-1][0] == pytest.approx(70 * FRAME_SECONDS, abs=1.1 * FRAME_SECONDS)
    assert sum(end - start for start, end in losses) == pytest.approx(3 * FRAME_SECONDS, abs=1e-4)


def test_checksums_that_are_all_wrong_say_nothing(streams: dict[str, list[bytes]]) -> None:
    for name in ("mono", "stereo"):
        frames = streams[name]
        wrong = [frame[:7] + bytes([number % 256, 77]) + frame[9:] for number, frame in enumerate(frames)]
        assert losses_of(b"".join(wrong)) == []
        assert losses_of(b"".join([*frames, ID3_V1 + TEXT, *wrong])) == []


def test_frames_without_a_checksum_or_with_other_elements_say_nothing(mono: list[bytes]) -> None:
    assert {is_checksum_wrong(frame) for frame in mono} == {None}
    frame = protected(mono[0], [channel_of(mono[40])])
    assert is_checksum_wrong(frame[:9] + bytes([frame[9] | 0xA0]) + frame[10:]) is None  # a description comes first
    assert is_checksum_wrong(frame[:6] + bytes([frame[6] | 1]) + frame[7:]) is None  # two blocks in a frame
    assert is_checksum_wrong(frame[:3] + bytes([frame[3] & 0x3F | 0xC0]) + frame[4:]) is None  # three channels


def test_any_bytes_can_be_checked() -> None:
    generator = np.random.default_rng(0)
    for size in (12, 13, 40, 700, 1600, 8191):
        for number in range(20):
            head = bytes([0xFF, 0xF0, 0x50, 0x40 if number % 2 else 0x80, 0, 0, 0])
            filling = [b"", b"\xc0" * 40, b"\xff" * 40, b"\x86\x1f" * 20][number % 4]
            content = (head + generator.bytes(2) + filling + generator.bytes(size))[:size]
            assert is_checksum_wrong(content) in (True, False, None)
