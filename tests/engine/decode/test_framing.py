"""Facts of streams whose frames have no clock, or a checksum: what is damaged is a loss, and what is odd is not."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable

import av
import numpy as np
import pytest

from appliance.engine.decode.containers import adts_length, id3_length, mp3_length
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.decode.framing import WholeFrames
from appliance.engine.decode.recording import open_audio
from tests.engine.decode.test_clips import Memory
from tests.support.encoded_files import encode, noise

RATE_HZ = 44_100
SECONDS = 4.0
AT = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
# Bursts in a tone, so that frames need more and less room than they have.
SOUND = (0.2 * np.sin(2 * np.pi * 440 * AT))[:, None].astype(np.float32)
SOUND += noise(RATE_HZ, SECONDS, level=0.3) * (AT % 0.3 < 0.05)[:, None]
LENGTHS: dict[str, Callable[[bytes], int]] = {"mp3": mp3_length, "aac": adts_length}
SAMPLES = {"mp3": 1152, "aac": 1024}

ID3_V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + (2000).to_bytes(4, "little") + (300).to_bytes(4, "little") + bytes(16) + bytes(300)


def id3_v2(content: bytes) -> bytes:
    size = bytes(len(content) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + content


# UTF-16 text in a tag looks like the header of an MPEG frame.
TEXT = id3_v2(b"TIT2\0\0\0\x20\0\0\x01\xff\xfeA\0b\0c\0" * 300)
PICTURE = id3_v2(np.random.default_rng(1).bytes(150_000))


def frames_of(kind: str, content: bytes) -> list[bytes]:
    """The frames of a recording; a tag may be in front."""
    frames, position = [], id3_length(content[:10])
    while position < len(content):
        length = LENGTHS[kind](content[position : position + 6])
        assert length, position
        frames.append(content[position : position + length])
        position += length
    return frames


def decoded(content: bytes, rate_hz: int = RATE_HZ) -> tuple[float, list[tuple[float, float]]]:
    """The length and the losses in seconds, by a whole decode."""
    recording = open_audio(io.BytesIO(content))
    num_samples = sum(map(len, recording.blocks()))
    return num_samples / rate_hz, [(start / rate_hz, end / rate_hz) for start, end in recording.damage.losses]


def losses_of(content: bytes, rate_hz: int = RATE_HZ) -> list[tuple[float, float]]:
    return decoded(content, rate_hz)[1]


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 48_000])
@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize(
    "options",
    [{}, {"flags": "+qscale", "global_quality": "472"}, {"abr": "1"}, {"b": "32000"}],
    ids=["constant", "variable", "average", "small"],
)
def test_a_whole_mp3_misses_nothing(rate_hz: int, num_channels: int, options: dict[str, str]) -> None:
    sound = np.repeat(SOUND[: 2 * rate_hz], num_channels, axis=1)
    sound[:, -1] *= np.linspace(0, 1, len(sound), dtype=np.float32)
    assert losses_of(encode("mp3", sound, rate_hz, **options), rate_hz) == []


@pytest.mark.parametrize("kind", ["mp3", "mp3-no-header", "aac", "flac", "opus", "ogg"])
def test_recordings_behind_each_other_miss_nothing(kind: str) -> None:
    whole = encode(kind, SOUND, 48_000)
    tags = [b""] if kind in ("flac", "opus", "ogg") else [b"", TEXT, ID3_V1 + TEXT, APE + ID3_V1 + PICTURE]
    for tag in tags:
        seconds, losses = decoded(TEXT + whole + tag + whole + APE + ID3_V1, 48_000)
        assert losses == []
        assert seconds == pytest.approx(2 * len(SOUND) / 48_000, abs=0.1)


@pytest.mark.parametrize("kind", ["mp3", "aac"])
def test_a_recording_that_was_cut_out_of_another_misses_nothing(kind: str) -> None:
    content = encode(kind, SOUND, RATE_HZ)
    frames = frames_of(kind, content)
    for number in range(20, 40):
        assert losses_of(b"".join(frames[number:])) == []
        assert losses_of(b"".join([frames[0], *frames[number:]])) == [] or kind == "aac"  # the first one is the header
    for place in range(3000, 3400, 57):
        assert losses_of(content[place:-place]) == []


@pytest.mark.parametrize("kind", ["mp3", "aac"])
def test_frames_whose_bytes_are_overwritten_are_lost_and_the_rest_keeps_its_time(kind: str) -> None:
    content = encode(kind, SOUND, RATE_HZ)
    frames = frames_of(kind, content)
    for first, count in ((40, 1), (60, 4), (80, 30)):
        junk = np.random.default_rng(first).bytes(len(b"".join(frames[first : first + count])))
        damaged = b"".join([*frames[:first], junk, *frames[first + count :]])
        (seconds, losses), whole = decoded(damaged), decoded(content)[0]
        frame_seconds = SAMPLES[kind] / RATE_HZ
        # The frames of constant MP3 are equally long; those of AAC are not, so their number is only near.
        spare = 0 if kind == "mp3" else max(1, count // 5)
        assert seconds == pytest.approx(whole, abs=(spare + 1) * frame_seconds)  # FFmpeg cuts the end by its own count
        assert losses[0][0] == pytest.approx(first * frame_seconds, abs=2 * frame_seconds)
        lost = sum(end - start for start, end in losses)
        assert lost == pytest.approx(count * frame_seconds, abs=(spare + 2.1) * frame_seconds)
        assert losses[-1][1] < (first + count + spare + 3) * frame_seconds


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        ("mp3", {"sync": 5, "version": 12, "layer": 13, "bitrate": 18, "rate": 20}),
        ("aac", {"sync": 5, "layer": 13, "rate": 21, "length": 30, "small length": 34, "smaller length": 40}),
    ],
)
def test_a_frame_whose_header_has_a_wrong_bit_is_lost_and_the_rest_keeps_its_time(
    kind: str, bits: dict[str, int]
) -> None:
    content = encode(kind, SOUND[: 2 * RATE_HZ], RATE_HZ)
    frames, whole, frame_seconds = frames_of(kind, content), decoded(content)[0], SAMPLES[kind] / RATE_HZ
    number = 40
    for name, bit in bits.items():
        head = bytearray(frames[number])
        head[bit // 8] ^= 0x80 >> bit % 8
        seconds, losses = decoded(b"".join([*frames[:number], bytes(head), *frames[number + 1 :]]))
        assert seconds == pytest.approx(whole, abs=0.5 * frame_seconds), name  # FFmpeg cuts the end by its own count
        assert losses[0][0] == pytest.approx(number * frame_seconds, abs=2 * frame_seconds), name
        # An MP3 frame also takes along what the next one stored in it.
        assert losses[-1][1] < (number + (2.1 if kind == "aac" else 3)) * frame_seconds, name


@pytest.mark.parametrize("kind", ["mp3", "aac"])
def test_a_few_bytes_between_frames_hold_no_frame(kind: str) -> None:
    frames = frames_of(kind, encode(kind, SOUND, RATE_HZ))
    content = b"".join(frame + bytes(number % 7 if number % 4 == 3 else 0) for number, frame in enumerate(frames))
    assert losses_of(content) == []


def test_an_mp3_frame_whose_data_were_taken_out_is_lost() -> None:
    frames = frames_of("mp3", encode("mp3-no-header", SOUND, RATE_HZ, b="64000"))
    frame_seconds = SAMPLES["mp3"] / RATE_HZ
    num_known = 0
    for number in range(20, 80):
        losses = losses_of(b"".join([*frames[:number], *frames[number + 3 :]]))
        assert len(losses) <= 1
        for start, end in losses:
            num_known += 1
            assert start == pytest.approx(number * frame_seconds, abs=2 * frame_seconds)
            assert end - start == pytest.approx(frame_seconds, abs=1e-4)
    assert num_known >= 15  # the others begin where the frame before the gap has no data any more


def with_checksums(frames: list[bytes]) -> list[bytes]:
    """Frames with a checksum, in the room of their last two bytes, which hold no audio."""
    protected = []
    for frame in frames:
        side_end = 4 + 17
        covered = frame[2:4] + frame[4:side_end]
        header = bytes([frame[0], frame[1] & 0xFE]) + frame[2:4]
        protected.append(header + crc16(covered).to_bytes(2, "big") + frame[4:-2])
    return protected


def crc16(data: bytes) -> int:
    remainder = 0xFFFF
    for bit in itertools.chain.from_iterable(((byte >> shift & 1) for shift in range(7, -1, -1)) for byte in data):
        remainder = (remainder << 1 & 0xFFFF) ^ (0x8005 if remainder >> 15 ^ bit else 0)
    return remainder


def test_an_mp3_frame_whose_checksum_is_wrong_is_lost() -> None:
    content = encode("mp3-no-header", 0.1 * SOUND, RATE_HZ, b="320000", reservoir="0")
    frames = with_checksums(frames_of("mp3", content))
    assert losses_of(b"".join(frames)) == []
    number = 60
    frames[number] = frames[number][:20] + bytes([frames[number][20] ^ 0x10]) + frames[number][21:]
    [(start, end)] = losses_of(b"".join(frames))
    assert start == pytest.approx(number * SAMPLES["mp3"] / RATE_HZ, abs=0.03)
    assert end - start == pytest.approx(SAMPLES["mp3"] / RATE_HZ, abs=1e-4)


def test_checksums_that_are_all_wrong_say_nothing() -> None:
    content = encode("mp3-no-header", 0.1 * SOUND, RATE_HZ, b="320000", reservoir="0")
    frames = [frame[:4] + b"\x12\x34" + frame[6:] for frame in with_checksums(frames_of("mp3", content))]
    assert losses_of(b"".join(frames)) == []


def test_a_flac_frame_whose_checksum_is_wrong_is_lost() -> None:
    content = encode("flac", SOUND, RATE_HZ)
    starts = [match.start() for match in re.finditer(rb"\xff\xf8[\x00-\xff]\x08", content)]
    whole = decoded(content)[0]
    for number in (5, 17, 30):
        for place in (starts[number] + 4, starts[number] + 5, starts[number] + 700, starts[number + 1] - 1):
            damaged = bytearray(content)
            damaged[place] ^= 1
            seconds, losses = decoded(bytes(damaged))
            assert losses == [pytest.approx((number * 4096 / RATE_HZ, (number + 1) * 4096 / RATE_HZ), abs=1e-6)]
            assert seconds == whole


def remuxed(content: bytes, muxer: str, left_out: range) -> bytes:
    target = io.BytesIO()
    with av.open(io.BytesIO(content)) as source, av.open(target, "w", format=muxer) as sink:
        stream = sink.add_stream_from_template(source.streams.audio[0])
        for number, packet in enumerate(source.demux(audio=0)):
            if packet.dts is not None and number not in left_out:
                packet.stream = stream
                sink.mux(packet)
    return target.getvalue()


@pytest.mark.parametrize("kind", ["ogg", "flac", "m4a"])
def test_packets_that_are_missing_in_matroska_are_a_gap_in_its_times(kind: str) -> None:
    content = encode(kind, noise(RATE_HZ, SECONDS), RATE_HZ)
    assert losses_of(remuxed(content, "matroska", range(0))) == []
    packet_seconds = {"ogg": 1024, "flac": 4096, "m4a": 1024}[kind] / RATE_HZ
    [(start, end)] = losses_of(remuxed(content, "matroska", range(20, 23)))
    assert end - start == pytest.approx(3 * packet_seconds, abs=1.1 * packet_seconds)
    assert start == pytest.approx(20 * packet_seconds, abs=3 * packet_seconds)


def test_a_damaged_cluster_of_opus_is_lost() -> None:
    content = encode("webm", noise(48_000, 16), 48_000)
    clusters = [match.start() for match in re.finditer(rb"\x1f\x43\xb6\x75", content)]
    first, second = clusters[:2]
    overwritten = bytearray(content)
    overwritten[second : second + 400] = np.random.default_rng(1).bytes(400)
    [(start, end)] = losses_of(bytes(overwritten), 48_000)
    assert (start, end) == pytest.approx((5.0, 10.0), abs=0.1)
    middle = bytearray(content)
    place = (first + second) // 2
    middle[place : place + 400] = np.random.default_rng(2).bytes(400)
    [(start, end)] = losses_of(bytes(middle), 48_000)
    assert (start, end) == pytest.approx((2.5, 5.0), abs=0.2)


@pytest.mark.parametrize("kind", ["mp3", "aac"])
def test_clips_are_exact_behind_tags_and_damage(kind: str) -> None:
    plain = {"aac_pns": "0"} if kind == "aac" else {}
    piece = encode(kind, np.concatenate([SOUND] * 4), RATE_HZ, **plain)
    damaged = piece[: len(piece) // 2] + bytes(900) + piece[len(piece) // 2 + 900 :]
    content = piece + ID3_V1 + TEXT + damaged + piece
    whole = np.concatenate(list(open_audio(io.BytesIO(content)).blocks()))
    with Decoder(DecodeLimits()) as decoder:
        outline = decoder.look(Memory(content), io.BytesIO()).outline
        for start in range(0, int(1000 * outline.seconds) - 1000, 2900):
            clip = decoder.clip(Memory(content), start, start + 1000, outline).samples
            first = start * RATE_HZ // 1000
            np.testing.assert_array_equal(clip, whole[first : first + len(clip)])


@pytest.mark.parametrize("container", ["mp3", "aac"])
def test_any_bytes_can_be_read_and_no_byte_is_read_twice(container: str) -> None:
    generator = np.random.default_rng(0)
    tag = b"ID3\x03\x00\x00\x00\x00\x00\x05"
    heads = [b"", b"\xff\xfb\x50\xc4", b"\xff\xfa\x50\xc4", b"\xff\xf1\x50\x40", tag, APE[:16]]
    for size in (*range(40), 300, 70_000, 500_000):
        for head in heads:
            content = head + (b"\xff" * size if size % 2 else b"") + generator.bytes(size)
            whole = WholeFrames(io.BytesIO(content), container)
            kept = io.BufferedReader(whole).read()
            skip = whole.skip_before(len(kept))
            assert len(kept) + skip.num_bytes <= len(content)
            assert skip.num_damaged <= skip.num_bytes
