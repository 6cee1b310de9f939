"""A clip has the very samples that a whole decode gives there, in every format, damaged or not."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.decode import recording as recording_module
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.decode.look import Outline
from appliance.engine.decode.recording import open_audio, read_between
from appliance.engine.decode.seek_points import SeekPoints, resume_before
from appliance.errors import CorruptAudio, StorageUnavailable
from tests.support.encoded_files import KINDS, clicks, encode, noise

pytestmark = pytest.mark.slow  # encodes half a minute in every format
RATE, SECONDS = 24_000, 22
SOURCE = (clicks(RATE, SECONDS, range(1, SECONDS), 2) + noise(RATE, SECONDS, 2)) * np.linspace(
    0.2, 1, RATE * SECONDS, dtype=np.float32
)[:, None]
PLACES = [0, 1, 7 * RATE, 12 * RATE + 1, 17 * RATE + 4711, 21 * RATE + 1]


class Memory:
    """A recording in memory, which counts the bytes that are read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.num_read = 0

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def read(self, offset: int, num_bytes: int) -> bytes:
        self.num_read += num_bytes
        return self.content[offset : offset + num_bytes]


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(DecodeLimits()) as decoder:
        yield decoder


@functools.cache
def encoded(kind: str) -> bytes:
    return encode(kind, SOURCE, RATE)


def damaged(kind: str, content: bytes) -> bytes:
    """The same file with 300 bytes of junk at three places, and 500 bytes lost, unless it has an index at its end."""
    random, damaged = np.random.default_rng(3), bytearray(content)
    for place in (0.25, 0.5, 0.75):
        start = int(place * len(content))
        damaged[start : start + 300] = random.bytes(300)
    if not kind.startswith(("m4a", "mp4", "alac")):
        del damaged[int(0.6 * len(content)) : int(0.6 * len(content)) + 500]
    return bytes(damaged)


@pytest.mark.parametrize("is_damaged", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_is_what_a_whole_decode_gives(kind: str, is_damaged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(kind)
    if is_damaged:
        content = damaged(kind, content)
    points = SeekPoints()
    whole_recording = open_audio(io.BytesIO(content), points)
    whole = np.concatenate([block for block in whole_recording.blocks() if block.shape[1] == 2])
    table, rate = points.table(), whole_recording.info.sample_rate_hz
    assert kind == "wav" or len(table) > 3
    if kind != "wav" and not (is_damaged and kind == "aac"):  # FFmpeg drops bytes of damaged AAC and miscounts
        monkeypatch.setattr(recording_module, "open_packets", None)  # so that nothing is decoded from the beginning
    for start in PLACES:
        end = min(start + RATE, len(whole))
        resume = resume_before(table, rate, points.delay, start)
        if kind != "wav" and resume is None:
            continue
        clip = np.concatenate(list(read_between(io.BytesIO(content), start, end, resume)))
        np.testing.assert_array_equal(clip, whole[start:end])


def test_a_place_that_is_not_met_is_decoded_from_the_beginning() -> None:
    content = encoded("mp3")
    points = SeekPoints()
    whole = np.concatenate(list(open_audio(io.BytesIO(content), points).blocks()))
    wrong = points.table()
    wrong["byte"][1:] += 1
    resume = resume_before(wrong, RATE, points.delay, 16 * RATE)
    clip = np.concatenate(list(read_between(io.BytesIO(content), 16 * RATE, 17 * RATE, resume)))
    np.testing.assert_array_equal(clip, whole[16 * RATE : 17 * RATE])


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3-no-header", "m4a", "aac", "ogg", "webm"])
def test_the_confined_decoder_reads_only_what_a_clip_needs(decoder: Decoder, kind: str) -> None:
    recording = Memory(encode(kind, np.tile(SOURCE, (3, 1)), RATE))
    look = decoder.look(recording, io.BytesIO())
    outline = Outline.from_bytes(look.outline.to_bytes())
    rate = outline.info.sample_rate_hz // 1000
    whole = np.concatenate(list(open_audio(io.BytesIO(recording.content)).blocks()))
    assert outline.num_samples == len(whole)
    recording.num_read = 0
    clip = decoder.clip(recording, 50_001, 51_500, outline)
    np.testing.assert_array_equal(clip.samples, whole[50_001 * rate : 51_500 * rate])
    assert kind not in ("wav", "flac") or recording.num_read < 0.5 * len(recording.content)  # the others are small
    last = decoder.clip(recording, outline.num_samples // rate - 500, outline.num_samples // rate + 500, outline)
    np.testing.assert_array_equal(last.samples, whole[(outline.num_samples // rate - 500) * rate :])


def test_the_workers_decode_gives_the_same_look_and_the_same_audio(decoder: Decoder, tmp_path: Path) -> None:
    look = decoder.look(Memory(encoded("ogg")), first := io.BytesIO())
    path = tmp_path / "recording"
    path.write_bytes(encoded("ogg"))
    with path.open("rb") as file:
        alone = np.concatenate(list(decoder.decode(file, 16_000)))
        audio = decoder.decode(file, 16_000, look_file=(envelope := io.BytesIO()))
        np.testing.assert_array_equal(np.concatenate(list(audio)), alone)
    assert audio.look
    assert envelope.getvalue() == first.getvalue()
    assert audio.look.outline.to_bytes() == look.outline.to_bytes()


def test_storage_that_fails_fails_the_clip_and_the_same_child_goes_on(decoder: Decoder) -> None:
    class Failing(Memory):
        def read(self, offset: int, num_bytes: int) -> bytes:
            raise StorageUnavailable("Object storage does not answer.")

    good = Memory(encoded("flac"))
    decoder.clip(good, 0, 100)
    pid = decoder.pid
    with pytest.raises(StorageUnavailable):
        decoder.clip(Failing(good.content), 0, 100)
    with pytest.raises(CorruptAudio):
        decoder.clip(Memory(b"no audio" * 1000), 0, 100)
    assert len(decoder.clip(good, 1000, 1100).samples) == 2_400
    assert decoder.pid == pid
