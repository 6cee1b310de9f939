"""Every way in which a file is no recording has its own error, with a sentence for its owner."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from appliance.engine.decode.recording import decode_mono, open_audio
from appliance.errors import (
    AudioError,
    AudioTooLong,
    AudioTooShort,
    CorruptAudio,
    EmptyFile,
    NoAudioStream,
    UnsupportedAudio,
)
from tests.support.audio import KINDS, encode, foreign, noise, video_only, wav

RNG = np.random.default_rng(3)
CUT_MP4 = encode("m4a", noise(44_100, 2), 44_100)[:-3_000]


def decode(content: bytes, max_duration_seconds: float = 3600) -> int:
    _, mono = decode_mono(io.BytesIO(content), 16_000, max_duration_seconds)
    return sum(len(block) for block in mono)


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (b"", EmptyFile, "empty"),
        (b"x", CorruptAudio, "not a recording"),
        (b"Dear Sir or Madam, " * 500, CorruptAudio, "not a recording"),
        (RNG.bytes(300_000), CorruptAudio, "not a recording"),
        (b"\xff" * 100_000, CorruptAudio, "not a recording"),
        (bytes(100_000), CorruptAudio, "not a recording"),
        (b"#EXTM3U\n#EXTINF:1\nfile:///etc/passwd\n", CorruptAudio, "not a recording"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", CorruptAudio, "not a recording"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", CorruptAudio, "wav"),
        (b"fLaC" + bytes(100), CorruptAudio, "flac"),
        (b"OggS" + bytes(100), CorruptAudio, "ogg"),
        (b"\x1a\x45\xdf\xa3" + bytes(100), CorruptAudio, "webm"),
        (CUT_MP4, CorruptAudio, "index"),
        (video_only("mp4"), NoAudioStream, "video"),
        (video_only("matroska"), NoAudioStream, "video"),
        (foreign("ac3", "mp4"), UnsupportedAudio, "ac3"),
        (foreign("ac3", "matroska"), UnsupportedAudio, "ac3"),
        (foreign("ac3", "ac3"), UnsupportedAudio, "AC-3"),
        (foreign("pcm_s16be", "aiff"), UnsupportedAudio, "AIFF"),
        (b"#!AMR\n" + bytes(100), UnsupportedAudio, "AMR"),
        (wav(noise(4_000, 1), 4_000), UnsupportedAudio, "4000 Hz"),
        (wav(noise(384_000, 0.2), 384_000), UnsupportedAudio, "384000 Hz"),
        (wav(noise(16_000, 1, 10), 16_000), UnsupportedAudio, "10 channels"),
        (wav(noise(16_000, 0), 16_000), AudioTooShort, "100 ms"),
    ],
)
def test_each_is_named(content: bytes, error: type[AudioError], says: str) -> None:
    with pytest.raises(error, match=says):
        decode(content)


@pytest.mark.parametrize("kind", ["wav", "flac", "m4a", "ogg", "webm", "mp3", "aac"])
def test_too_short_is_under_100_ms(kind: str) -> None:
    with pytest.raises(AudioTooShort, match="ms"):
        decode(encode(kind, noise(16_000, 0.03), 48_000 if kind == "webm" else 16_000))
    assert decode(encode(kind, noise(48_000, 0.1), 48_000)) >= 1_600


def test_nothing_is_given_of_a_recording_too_short() -> None:
    _, mono = decode_mono(io.BytesIO(wav(noise(16_000, 0.0999), 16_000)), 8_000, 10)
    with pytest.raises(AudioTooShort, match="100 ms"):
        next(iter(mono))


def test_too_long_is_told_as_soon_as_it_is() -> None:
    content = wav(noise(8_000, 60), 8_000)
    _, mono = decode_mono(io.BytesIO(content), 16_000, 5)
    with pytest.raises(AudioTooLong, match="5 s"):
        list(mono)
    assert mono.num_source_samples <= 7 * 8_000
    assert decode(content, 60) == 60 * 16_000


def test_a_name_decides_nothing(tmp_path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(encode("mp3", noise(44_100, 1), 44_100))
    with path.open("rb") as file:
        assert open_audio(file).info.codec == "mp3"


INDEX_AT_THE_END = ("m4a", "alac")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in INDEX_AT_THE_END])
def test_a_cut_file_gives_what_is_left(kind: str) -> None:
    content = encode(kind, noise(48_000, 6), 48_000)
    assert decode(content[: len(content) // 2]) == pytest.approx(3 * 16_000, rel=0.35)


@pytest.mark.parametrize("kind", INDEX_AT_THE_END)
def test_a_file_cut_before_its_index_is_corrupt(kind: str) -> None:
    content = encode(kind, noise(48_000, 6), 48_000)
    with pytest.raises(CorruptAudio):
        decode(content[: len(content) // 2])


def test_a_headerless_remainder_is_corrupt() -> None:
    content = encode("m4a", noise(48_000, 2), 48_000)
    with pytest.raises(CorruptAudio):
        decode(content[1_000:])


def test_next_to_nothing_is_corrupt_and_not_short() -> None:
    content = bytearray(encode("m4a-faststart", noise(48_000, 5), 48_000))
    start = content.index(b"mdat") + 400
    content[start:] = RNG.bytes(len(content) - start)
    with pytest.raises(CorruptAudio, match="decoded"):
        decode(bytes(content))


def test_a_wav_that_promises_more_channels_than_its_data_has() -> None:
    content = bytearray(wav(noise(8_000, 0.05), 8_000))
    struct.pack_into("<H", content, content.index(b"fmt ") + 10, 4)
    with pytest.raises(AudioError):
        decode(bytes(content))
