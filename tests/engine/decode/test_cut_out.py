"""What was cut out of a WebM file of Opus is lost. Pauses, which its recorders leave out too, are not."""

from __future__ import annotations

import io
import itertools
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from appliance.engine.decode.cut_out import CutOut
from appliance.engine.decode.recording import open_audio
from tests.support.encoded_files import encode, noise

RATE_HZ = 48_000
SECONDS = 24
PACKET_SECONDS = 0.02
SEGMENT, CLUSTER, CUES = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\x1c\x53\xbb\x6b"
SIMPLE_BLOCK, FILLING = b"\xa3", 0xEC
Span = tuple[float, float]


@pytest.fixture(scope="module")
def opus() -> bytes:
    return encode("opus", noise(RATE_HZ, SECONDS), RATE_HZ, b="32000")


def webm(opus: bytes, pauses: tuple[range, ...] = (), muxer: str = "webm", offset_ms: int = 0, **options: str) -> bytes:
    """The packets in clusters of five seconds. Those of the pauses, by their numbers, are left out."""
    with (
        tempfile.NamedTemporaryFile() as target,  # an index in front needs the file a second time
        av.open(io.BytesIO(opus)) as source,
        av.open(target.name, "w", format=muxer, options=options) as sink,
    ):
        stream = sink.add_stream_from_template(source.streams.audio[0])
        for number, packet in enumerate(source.demux(audio=0)):
            if packet.dts is not None and not any(number in pause for pause in pauses):
                packet.stream = stream
                packet.pts = packet.dts = packet.pts + offset_ms * RATE_HZ // 1000
                sink.mux(packet)
        sink.close()
        return Path(target.name).read_bytes()


def places(content: bytes, name: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(name), content)]


def clusters(content: bytes) -> list[int]:
    """Where each cluster begins, and where the last one ends."""
    starts, index = places(content, CLUSTER), places(content, CUES)[-1]
    return [*starts, index if index > starts[-1] else len(content)]


def losses_of(content: bytes) -> list[Span]:
    recording = open_audio(io.BytesIO(content))
    for _ in recording.blocks():
        pass
    return [(start / RATE_HZ, end / RATE_HZ) for start, end in recording.damage.losses]


def without_clusters(content: bytes, *numbers: int) -> bytes:
    starts = clusters(content)
    for number in sorted(numbers, reverse=True):
        content = content[: starts[number]] + content[starts[number + 1] :]
    return content


def blocks(content: bytes) -> list[int]:
    """Where each block of audio begins."""
    with av.open(io.BytesIO(content)) as source:
        contents = [packet.pos for packet in source.demux(audio=0) if packet.pos is not None and packet.size]
    return [content.rindex(SIMPLE_BLOCK, 0, place) for place in contents]


def without_blocks(content: bytes, first: int, count: int) -> bytes:
    starts = blocks(content)
    return content[: starts[first]] + content[starts[first + count] :]


def block_seconds(content: bytes, cluster: int) -> float:
    """When the first block of a cluster begins."""
    with av.open(io.BytesIO(content)) as source:
        packets = ((packet.pos, packet.pts) for packet in source.demux(audio=0) if packet.size)
        return next((pts or 0) / 1000 for pos, pts in packets if pos is not None and pos > cluster)


def near(*spans: Span) -> list[object]:
    return [pytest.approx(span, abs=0.05) for span in spans]


VARIANTS: dict[str, Callable[[bytes], bytes]] = {
    "webm": webm,
    "matroska": lambda opus: webm(opus, muxer="matroska"),
    "index in front": lambda opus: webm(opus, cues_to_front="1"),
    "late start": lambda opus: webm(opus, offset_ms=7000),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_clusters_that_were_cut_out_are_lost(opus: bytes, variant: str) -> None:
    content = VARIANTS[variant](opus)
    assert len(clusters(content)) == 6
    assert losses_of(content) == []
    assert losses_of(without_clusters(content, 1)) == near((5, 10))
    assert losses_of(without_clusters(content, 1, 2)) == near((5, 15))
    assert losses_of(without_clusters(content, 1, 3)) == near((5, 10), (15, 20))


@pytest.mark.parametrize(("first", "count"), [(300, 1), (300, 7), (252, 3), (494, 4), (720, 25)])
def test_blocks_that_were_cut_out_are_lost(opus: bytes, first: int, count: int) -> None:
    start = first * PACKET_SECONDS
    assert losses_of(without_blocks(webm(opus), first, count)) == near((start, start + count * PACKET_SECONDS))


PAUSES = (range(60, 75), range(120, 170), range(260, 263), range(400, 460), range(640, 648), range(800, 1050))


def test_pauses_are_no_losses(opus: bytes) -> None:
    content = webm(opus, PAUSES)
    assert losses_of(content) == []
    assert losses_of(webm(opus, PAUSES, live="1")) == []
    assert losses_of(webm(opus, PAUSES, "matroska")) == []
    for whole in (content, webm(opus, PAUSES, cues_to_front="1")):
        for end in range(len(whole) // 2, len(whole), len(whole) // 7):
            assert losses_of(whole[:end]) == []  # a file that was cut off lost nothing between its blocks


def test_silence_that_an_encoder_left_out_is_no_loss() -> None:
    """An encoder that leaves silence out sends a packet of it every 400 ms."""
    at = np.arange(12 * RATE_HZ) / RATE_HZ
    speech = noise(RATE_HZ, 12, level=0.2) * (at % 2 < 0.8)[:, None]
    pauses = tuple(range(first, first + 19) for first in range(45, 600, 20) if first % 100 >= 45)
    content = webm(encode("opus", speech, RATE_HZ), pauses)
    assert losses_of(content) == []
    assert losses_of(without_blocks(content, 100, 3)) == []
    [(start, end)] = losses_of(without_clusters(content, 1))
    before, after = (block_seconds(content, clusters(content)[number]) for number in (1, 2))
    assert (start, end) == pytest.approx((before, after), abs=0.05)


def test_a_pause_just_before_a_loss_is_not_lost(opus: bytes) -> None:
    content = webm(opus, (range(200, 600),))
    seconds = [block_seconds(content, cluster) for cluster in clusters(content)[:-1]]
    assert seconds[2] == pytest.approx(12, abs=0.01)
    assert losses_of(content) == []
    assert losses_of(without_clusters(content, 2)) == near((12, seconds[3]))


def test_pauses_beside_a_loss_are_no_losses(opus: bytes) -> None:
    content = webm(opus, PAUSES)
    assert losses_of(without_clusters(content, 1)) == near((5, 10))
    starts = blocks(content)
    # Of two gaps in a cluster nobody knows which one was a pause.
    assert losses_of(content[: starts[200]] + content[starts[204] :]) == []


def test_what_an_index_does_not_name_may_be_a_pause(opus: bytes) -> None:
    content = webm(opus)
    begin = clusters(content)[-1]
    entries = [match.start() for match in re.finditer(rb"\xbb.\xb3", content[begin:], re.DOTALL)]
    index = bytearray(content[begin:])
    index[entries[0]] = index[entries[1]] = FILLING
    assert losses_of(without_clusters(content[:begin] + index, 1)) == []
    assert losses_of(without_clusters(content[:begin] + index, 2)) == near((10, 15))
    live = webm(opus, live="1")
    starts = places(live, CLUSTER)
    assert losses_of(live[: starts[1]] + live[starts[2] :]) == []


def test_what_was_cut_out_elsewhere_makes_no_pause_a_loss(opus: bytes) -> None:
    content = webm(opus, PAUSES)
    begin = places(content, b"\x12\x54\xc3\x67")[0]  # tags, before the first cluster
    tags = content[begin : begin + 4 + 1 + content[begin + 4] % 128]
    assert begin + len(tags) < clusters(content)[0]
    assert losses_of(content.replace(tags, b"")) == []
    assert losses_of(content[: -(len(content) - clusters(content)[-1])]) == []


def test_the_last_blocks_of_a_cluster_that_were_cut_out_are_lost(opus: bytes) -> None:
    content = webm(opus)
    end = clusters(content)[2]
    start = [place for place in blocks(content) if place < end][-6]
    assert losses_of(content[:start] + content[end:]) == near((9.88, 10))


def test_a_crafted_file_takes_little_time(opus: bytes) -> None:
    """Every part of a large cluster is an element of two bytes, and a block cannot be found in it."""
    whole = webm(opus)
    start = clusters(whole)[0]
    size, place = 4_000_000, whole.index(SEGMENT) + 4
    cluster = CLUSTER + (1 << 28 | size).to_bytes(4, "big") + b"\xe7\x81\x00" + b"\xec\x80" * (size // 2)
    head = whole[:start].replace(whole[place : place + 8], (1 << 56 | 2 * size).to_bytes(8, "big"))
    cut_out = CutOut(io.BytesIO(head + cluster))
    began = time.process_time()
    for number in range(20):
        assert cut_out.before(start + size - 2 * number, start + size - 2 * number - 2) == 0
    assert time.process_time() - began < 10


def test_any_bytes_can_be_looked_at(opus: bytes) -> None:
    content = webm(opus)
    shorter = without_clusters(content, 2)
    places_of_blocks = [place + 4 for place in blocks(shorter)[::90]]
    generator = np.random.default_rng(0)
    for number in range(60):
        damaged = bytearray(shorter if number % 3 else generator.bytes(3000))
        index = damaged.find(CUES)
        for _ in range(generator.integers(1, 8)):
            low, high = [(0, 300), (index, index + 80), (0, len(damaged))][generator.integers(3)]
            place = min(int(generator.integers(low, high)), len(damaged) - 1)
            damaged[place] = int(generator.choice([0, 1, 127, 128, 255]))
        file = io.BytesIO(bytes(damaged))
        file.seek(123)
        cut_out = CutOut(file)
        for block, next_block in itertools.pairwise(places_of_blocks):
            assert cut_out.before(next_block, block) >= 0
        assert file.tell() == 123
