"""Every kind of unusable file has its own error, with a sentence for the owner of the file."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.decode.recording import decode_mixed, open_audio
from appliance.errors import (
    AudioError,
    AudioTooLong,
    AudioTooShort,
    CorruptAudio,
    EmptyFile,
    NoAudioStream,
    UnsupportedAudio,
)
from tests.support.encoded_files import KINDS, encode, noise, noise_as, video_only, wav

RNG = np.random.default_rng(3)
CUT_MP4 = encode("m4a", noise(44_100, 2), 44_100)[:-3_000]


def decode(content: bytes, max_duration_seconds: float = 3600) -> int:
    _, mono = decode_mixed(io.BytesIO(content), 16_000, max_duration_seconds)
    return sum(len(block) for block in mono)


@pytest.mark.parametrize(
    ("content", "error", "message"),
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
        (noise_as("ac3", "mp4"), UnsupportedAudio, "ac3"),
        (noise_as("ac3", "matroska"), UnsupportedAudio, "ac3"),
        (noise_as("ac3", "ac3"), UnsupportedAudio, "AC-3"),
        (noise_as("pcm_s16be", "aiff"), UnsupportedAudio, "AIFF"),
        (b"#!AMR\n" + bytes(100), UnsupportedAudio, "AMR"),
        (wav(noise(4_000, 1), 4_000), UnsupportedAudio, "4000 Hz"),
        (wav(noise(384_000, 0.2), 384_000), UnsupportedAudio, "384000 Hz"),
        (wav(noise(16_000, 1, 10), 16_000), UnsupportedAudio, "10 channels"),
        (wav(noise(16_000, 0), 16_000), AudioTooShort, "100 ms"),
    ],
)
def test_each_unusable_file_has_its_error(content: bytes, error: type[AudioError], message: str) -> None:
    with pytest.raises(error, match=message):
        decode(content)


@pytest.mark.parametrize("kind", ["wav", "flac", "m4a", "ogg", "webm", "mp3", "aac"])
def test_a_recording_under_100_ms_is_too_short(kind: str) -> None:
    with pytest.raises(AudioTooShort, match="ms"):
        decode(encode(kind, noise(16_000, 0.03), 48_000 if kind == "webm" else 16_000))
    assert decode(encode(kind, noise(48_000, 0.1), 48_000)) >= 1_600


def test_a_recording_too_short_yields_no_block() -> None:
    _, mono = decode_mixed(io.BytesIO(wav(noise(16_000, 0.0999), 16_000)), 8_000, 10)
    with pytest.raises(AudioTooShort, match="100 ms"):
        next(iter(mono))


def test_a_recording_too_long_fails_at_the_first_block_over_the_limit() -> None:
    content = wav(noise(8_000, 60), 8_000)
    _, mono = decode_mixed(io.BytesIO(content), 16_000, 5)
    with pytest.raises(AudioTooLong, match="5 s"):
        list(mono)
    assert mono.num_source_samples <= 7 * 8_000
    assert decode(content, 60) == 60 * 16_000


def test_the_file_name_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(encode("mp3", noise(44_100, 1), 44_100))
    with path.open("rb") as file:
        assert open_audio(file).info.codec == "mp3"


INDEX_AT_THE_END = ("m4a", "alac")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in INDEX_AT_THE_END])
def test_a_file_cut_in_half_decodes_up_to_the_cut(kind: str) -> None:
    content = encode(kind, noise(48_000, 6), 48_000)
    assert decode(content[: len(content) // 2]) == pytest.approx(3 * 16_000, rel=0.35)


@pytest.mark.parametrize("kind", INDEX_AT_THE_END)
def test_a_file_cut_before_its_index_is_corrupt(kind: str) -> None:
    content = encode(kind, noise(48_000, 6), 48_000)
    with pytest.raises(CorruptAudio):
        decode(content[: len(content) // 2])


def test_a_file_without_its_header_is_corrupt() -> None:
    content = encode("m4a", noise(48_000, 2), 48_000)
    with pytest.raises(CorruptAudio):
        decode(content[1_000:])


def test_a_file_damaged_almost_whole_is_corrupt_and_not_too_short() -> None:
    content = bytearray(encode("m4a-faststart", noise(48_000, 5), 48_000))
    start = content.index(b"mdat") + 400
    content[start:] = RNG.bytes(len(content) - start)
    with pytest.raises(CorruptAudio, match="decoded"):
        decode(bytes(content))


def test_a_wav_header_with_more_channels_than_its_data_is_an_audio_error() -> None:
    content = bytearray(wav(noise(8_000, 0.05), 8_000))
    struct.pack_into("<H", content, content.index(b"fmt ") + 10, 4)
    with pytest.raises(AudioError):
        decode(bytes(content))
