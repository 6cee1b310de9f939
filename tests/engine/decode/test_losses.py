"""What is missing in a stream is a fact that the decode reports, with its place; what is whole misses nothing."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from appliance.engine.decode.damage import MAX_LOSSES, Damage
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.decode.recording import open_audio
from appliance.engine.decode.wire import BadFrame, parse_losses
from tests.support.encoded_files import KINDS, encode, noise, ogg_pages, without_ogg_page

RATE_HZ = 48_000
SECONDS = 6.0
SOUND = noise(RATE_HZ, SECONDS)


def losses_of(content: bytes) -> list[tuple[float, float]]:
    """The losses in seconds, from a whole decode."""
    recording = open_audio(io.BytesIO(content))
    for _ in recording.blocks():
        pass
    return [(start / RATE_HZ, end / RATE_HZ) for start, end in recording.damage.losses]


def page_end_seconds(page: bytes) -> float:
    return float(struct.unpack_from("<q", page, 6)[0]) / RATE_HZ


def packets_of(content: bytes) -> list[tuple[int, int]]:
    """Where the packets of audio lie in a file, and how long they are."""
    with av.open(io.BytesIO(content)) as source:
        return [(packet.pos, packet.size) for packet in source.demux(audio=0) if packet.size and packet.pos is not None]


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_stream_misses_nothing(kind: str) -> None:
    assert losses_of(encode(kind, SOUND, RATE_HZ)) == []


@pytest.mark.parametrize("kind", ["opus", "ogg"])
@pytest.mark.parametrize("is_removed", [True, False], ids=["missing sequence number", "failed checksum"])
def test_a_page_that_is_missing_or_damaged_is_lost(kind: str, is_removed: bool) -> None:
    pages = ogg_pages(encode(kind, SOUND, RATE_HZ))
    lost = len(pages) // 2 + 1
    damaged = b"" if is_removed else pages[lost][:-1] + bytes([pages[lost][-1] ^ 1])
    [(start, end)] = losses_of(b"".join([*pages[:lost], damaged, *pages[lost + 1 :]]))
    before, after = page_end_seconds(pages[lost - 1]), page_end_seconds(pages[lost])
    # Opus counts its delay. Vorbis overlaps packets, so the first one after a loss is lost too.
    delay = 312 / RATE_HZ if kind == "opus" else 0.0
    assert start == pytest.approx(before - delay, abs=0.03)
    assert end - start == pytest.approx(after - before, abs=0.05)


def test_packets_that_are_missing_inside_a_page_are_a_gap_in_its_granule_position() -> None:
    pages = ogg_pages(encode("opus", SOUND, RATE_HZ))
    place = len(pages) // 2 + 1
    page = pages[place]
    num_segments = page[26]
    lacing, body = list(page[27 : 27 + num_segments]), page[27 + num_segments :]
    sizes = [0]
    for value in lacing:
        sizes[-1] += value
        if value < 255:
            sizes.append(0)
    kept = len(sizes) - 1 - 5  # the last five packets, 20 ms each
    num_kept = [n for n, value in enumerate(lacing) if value < 255][kept - 1] + 1
    header = bytearray(page[:26]) + bytes([num_kept]) + bytes(lacing[:num_kept])
    shorter = bytearray(header + body[: sum(lacing[:num_kept])])
    shorter[22:26] = struct.pack("<I", ogg_checksum(bytes(shorter[:22]) + bytes(4) + bytes(shorter[26:])))
    [(start, end)] = losses_of(b"".join([*pages[:place], bytes(shorter), *pages[place + 1 :]]))
    assert end - start == pytest.approx(0.1, abs=0.001)
    assert page_end_seconds(pages[place - 1]) - 0.1 < start < page_end_seconds(page)


def ogg_checksum(data: bytes) -> int:
    remainder = 0
    for byte in data:
        remainder ^= byte << 24
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x04C11DB7 if remainder & 0x80000000 else 0)) & 0xFFFFFFFF
    return remainder


@pytest.mark.parametrize("kind", ["flac", "mp3", "aac", "m4a"])
def test_a_frame_that_cannot_be_decoded_is_lost(kind: str) -> None:
    content = bytearray(encode(kind, SOUND, RATE_HZ))
    packets = packets_of(bytes(content))
    number = len(packets) // 2
    position, size = packets[number]
    spared = 7 if kind == "aac" else 0  # FFmpeg skips a frame of raw AAC without a header, and does not say so
    content[position + spared : position + size] = np.random.default_rng(3).bytes(size - spared)
    losses = losses_of(bytes(content))
    assert 1 <= len(losses) <= 2  # an MP3 frame also takes along what the next ones stored in it
    assert losses[0][0] == pytest.approx(SECONDS * number / len(packets), abs=0.1)
    assert 0.02 <= sum(end - start for start, end in losses) <= 0.2


def test_a_flac_frame_that_is_missing_is_a_gap_in_the_numbers() -> None:
    content = encode("flac", SOUND, RATE_HZ)
    position, size = packets_of(content)[20]
    [(start, end)] = losses_of(content[:position] + content[position + size :])
    assert (start, end) == pytest.approx((20 * 4096 / RATE_HZ, 21 * 4096 / RATE_HZ), abs=1e-6)


def test_a_pause_of_a_webm_recorder_is_no_loss() -> None:
    content = encode("webm", SOUND, RATE_HZ)
    target = io.BytesIO()
    with av.open(io.BytesIO(content)) as source, av.open(target, "w", format="webm") as sink:
        stream = sink.add_stream_from_template(source.streams.audio[0])
        for number, packet in enumerate(source.demux(audio=0)):
            if packet.dts is not None and not 100 <= number < 150:
                packet.stream = stream
                sink.mux(packet)
    recording = open_audio(io.BytesIO(target.getvalue()))
    assert sum(map(len, recording.blocks())) / RATE_HZ == pytest.approx(SECONDS, abs=0.05)
    assert recording.damage.losses == []


def test_losses_are_counted_without_the_delay_and_bounded() -> None:
    damage = Damage(delay=100)
    for number in range(MAX_LOSSES + 5):
        damage.lose(1000 * number, 150)
    assert damage.losses[:2] == [(0, 50), (900, 1050)]
    assert len(damage.losses) == MAX_LOSSES


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(DecodeLimits()) as decoder:
        yield decoder


def test_losses_cross_the_pipe(decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / "lost.ogg"
    path.write_bytes(without_ogg_page(encode("opus", SOUND, RATE_HZ), 4))
    expected = open_audio(io.BytesIO(path.read_bytes()))
    num_samples = sum(map(len, expected.blocks()))
    with path.open("rb") as file:
        for look in (False, True):
            audio = decoder.decode(file, 16_000, look_file=io.BytesIO() if look else None)
            assert sum(map(len, audio)) == pytest.approx(num_samples / 3, abs=2)
            assert audio.losses == expected.damage.losses != []
            assert (audio.look is not None) is look


@pytest.mark.parametrize(
    "edges",
    [[], [0], [5, 5], [-1, 5], [10, 20, 15, 30], [0, 1001]],
    ids=["none", "odd", "empty", "early", "back", "late"],
)
def test_impossible_losses_are_refused(edges: list[int]) -> None:
    with pytest.raises(BadFrame):
        parse_losses(bytearray(np.array(edges, "<i8").tobytes()), 1000)
