"""Decoded audio has its true place in time, in every format."""

from __future__ import annotations

import io

import numpy as np
import pytest

from appliance.engine.decode.recording import decode_mixed, open_audio
from tests.support import encoded_files
from tests.support.encoded_files import KINDS, OPUS_RATES_HZ, clicks, encode, noise, wav

# Samples by which a file may differ from its source in length if it does not state its end: one frame of the codec.
UNSTATED_END = {"mp3-no-header": 1152, "aac": 1024, "webm-vorbis": 1024}
RATES_HZ = (8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000)


def decoded(content: bytes) -> tuple[np.ndarray, int]:
    """Return (num_samples, num_channels) float32 and their rate in Hz."""
    recording = open_audio(io.BytesIO(content))
    return np.concatenate(list(recording.blocks())), recording.info.sample_rate_hz


def mono_at(content: bytes, rate_hz: int) -> np.ndarray:
    _, mono = decode_mixed(io.BytesIO(content), rate_hz, 12 * 3600)
    return np.concatenate(list(mono))


def onsets(samples: np.ndarray, rate_hz: int, gap_seconds: float = 0.2) -> list[float]:
    """Return the seconds at which something loud begins after at least ``gap_seconds`` of quiet."""
    loud = np.flatnonzero(np.abs(samples) > 0.4)
    first = [i for n, i in enumerate(loud) if n == 0 or i - loud[n - 1] > gap_seconds * rate_hz]
    return [i / rate_hz for i in first]


def writable(kind: str, rate_hz: int, num_channels: int) -> bool:
    limits = KINDS[kind]
    is_wrong_for_opus = limits.codec == "libopus" and rate_hz not in OPUS_RATES_HZ
    return rate_hz in limits.rates_hz and num_channels <= limits.max_channels and not is_wrong_for_opus


@pytest.mark.parametrize("kind", KINDS)
def test_a_click_keeps_its_time(kind: str) -> None:
    rate_hz = 48_000
    source = clicks(rate_hz, 4.321, [0.25, 2.0, 4.1])
    samples, decoded_hz = decoded(encode(kind, source, rate_hz))
    assert onsets(samples[:, 0], decoded_hz) == pytest.approx([0.25, 2.0, 4.1], abs=0.001)
    assert abs(len(samples) - len(source)) <= UNSTATED_END.get(kind, 0)


CASES = [(k, r, 1) for k in KINDS for r in RATES_HZ] + [(k, 48_000, n) for k in KINDS for n in (2, 6, 8)]


@pytest.mark.parametrize(("kind", "rate_hz", "num_channels"), [case for case in CASES if writable(*case)])
def test_every_rate_and_number_of_channels_decodes(kind: str, rate_hz: int, num_channels: int) -> None:
    source = clicks(rate_hz, 1.2, [0.5], num_channels)
    content = encode(kind, source, rate_hz)
    samples, decoded_hz = decoded(content)
    assert decoded_hz == (48_000 if KINDS[kind].codec == "libopus" else rate_hz)
    assert samples.shape[1] == num_channels
    assert samples.dtype == np.float32
    for channel in (0, 1) if num_channels > 1 else (0,):
        assert np.argmax(np.abs(samples[:, channel])) / decoded_hz == pytest.approx(0.5, abs=0.002)
    assert abs(len(mono_at(content, 16_000)) - 16_000 * len(samples) / decoded_hz) <= 1


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "W64"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_sample_format_of_wav_decodes(container: str, subtype: str) -> None:
    source = noise(44_100, 0.5, 2)
    samples, _ = decoded(wav(source, 44_100, subtype, container))
    np.testing.assert_allclose(samples, source, atol=1 / 100 if subtype == "PCM_U8" else 1 / 30_000)


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_every_sample_format_of_flac_decodes(subtype: str) -> None:
    source = noise(44_100, 0.5, 2)
    samples, _ = decoded(wav(source, 44_100, subtype, "FLAC"))
    np.testing.assert_allclose(samples, source, atol=1 / 100 if subtype == "PCM_S8" else 1 / 30_000)


def test_alac_is_exact() -> None:
    source = noise(44_100, 0.5, 2)
    samples, _ = decoded(encode("alac", source, 44_100))
    np.testing.assert_allclose(samples, source, atol=1 / 30_000)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000, 10_000_000], ids=hex)
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_a_wav_with_a_wrong_size_in_its_header_decodes_whole(size: int, subtype: str) -> None:
    source = noise(44_100, 1)
    content = bytearray(wav(source, 44_100, subtype))
    at = content.index(b"data") + 4
    content[at : at + 4] = size.to_bytes(4, "little")
    samples, _ = decoded(bytes(content))
    np.testing.assert_allclose(samples, source, atol=1 / 30_000)


def id3(num_bytes: int) -> bytes:
    return b"ID3\x04\x00\x00" + bytes(num_bytes >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(num_bytes)


@pytest.mark.parametrize("kind", ["mp3", "flac", "aac", "wav"])
@pytest.mark.parametrize("num_bytes", [300, 400_000])
def test_tags_in_front_change_nothing(kind: str, num_bytes: int) -> None:
    content = encode(kind, clicks(44_100, 2, [1]), 44_100)
    tagged, rate_hz = decoded(id3(num_bytes) + content)
    assert np.array_equal(tagged, decoded(content)[0])
    assert onsets(tagged[:, 0], rate_hz) == pytest.approx([1], abs=0.001)


@pytest.mark.parametrize("kind", ["mp3", "mp3-no-header", "aac"])
def test_junk_before_the_first_frame_changes_nothing(kind: str) -> None:
    content = encode(kind, clicks(44_100, 2, [1]), 44_100)
    junk = np.random.default_rng(1).integers(0, 255, 100_000, np.uint8).tobytes()
    assert np.array_equal(decoded(junk + content)[0], decoded(content)[0])


def test_mono_is_the_mean_of_the_channels() -> None:
    for num_channels in (2, 3, 6, 8):
        source = noise(16_000, 0.5, num_channels)
        mono = mono_at(wav(source, 16_000, "FLOAT"), 16_000)
        np.testing.assert_allclose(mono, source.mean(axis=1), atol=1e-6)


def test_samples_that_are_not_finite_become_silence_and_loud_ones_stay() -> None:
    source = np.full((8_000, 2), 3.5, np.float32)
    source[100, 0], source[200, 1], source[300] = np.nan, np.inf, -np.inf
    mono = mono_at(wav(source, 8_000, "FLOAT"), 8_000)
    assert sorted(set(mono.tolist())) == [0.0, 3.5]
    assert np.flatnonzero(mono == 0).tolist() == [100, 200, 300]


@pytest.mark.parametrize("peak", [1e36, 3e38, -3e38, 1.1e30])
def test_samples_beyond_every_scale_become_silence_also_after_resampling(peak: float) -> None:
    source = np.full((44_100, 2), 0.25, np.float32)
    source[20_000:20_100] = peak
    mono = mono_at(wav(source, 44_100, "FLOAT"), 16_000)
    assert np.isfinite(mono).all()
    assert np.abs(mono).max() < 0.5
    assert mono[1_000] == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize("to_hz", [8_000, 22_050, 48_000])
def test_the_loudest_samples_that_are_kept_stay_finite(to_hz: int) -> None:
    signs = np.random.default_rng(0).choice([-1e30, 1e30], 44_100)
    assert np.isfinite(mono_at(wav(signs.astype(np.float32)[:, None], 44_100, "FLOAT"), to_hz)).all()


@pytest.mark.parametrize(("muxer", "codec"), [("mp4", "aac"), ("matroska", "libopus"), ("mp4", "libmp3lame")])
def test_the_audio_of_a_video_file_is_decoded(muxer: str, codec: str) -> None:
    samples, rate_hz = decoded(encoded_files.with_picture(muxer, codec, clicks(48_000, 2, [1]), 48_000))
    assert onsets(samples[:, 0], rate_hz) == pytest.approx([1], abs=0.001)


def test_two_ogg_streams_in_a_row_are_one_recording() -> None:
    chained = encode("ogg", noise(44_100, 2), 44_100) + encode("ogg", noise(44_100, 1), 44_100)
    samples, _ = decoded(chained)
    assert len(samples) == pytest.approx(3 * 44_100, abs=4096)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "minutes"),
    [("wav", 60), ("flac", 60), ("m4a", 20), ("aac", 20), ("ogg", 20), ("mp3", 12), ("opus", 8), ("webm", 8)],
)
def test_no_drift_in_a_long_recording(kind: str, minutes: int) -> None:
    times = [1.0, 30.0 * minutes, 60.0 * minutes - 1]
    content = encode(kind, clicks(8_000, 60 * minutes, times), 8_000)
    samples = mono_at(content, 16_000)
    slack = {"aac": 2 * 1024, "mp3": 200}.get(kind, 1)  # at 8 kHz LAME's header leaves 38 samples of padding
    assert len(samples) == pytest.approx(60 * minutes * 16_000, abs=slack)
    assert onsets(samples, 16_000) == pytest.approx(times, abs=0.002)


def test_blocks_are_about_a_second() -> None:
    for kind in ("wav", "mp3", "flac"):
        recording = open_audio(io.BytesIO(encode(kind, noise(44_100, 5.5), 44_100)))
        lengths = [len(block) for block in recording.blocks()]
        assert all(44_100 <= length < 2 * 44_100 for length in lengths[:-1])


def test_the_info_has_the_properties_of_the_content() -> None:
    info = open_audio(io.BytesIO(encode("alac", noise(48_000, 1, 2), 48_000))).info
    assert (info.container, info.codec, info.sample_rate_hz, info.num_channels) == ("mp4", "alac", 48_000, 2)
    assert open_audio(io.BytesIO(encoded_files.encode("opus", noise(48_000, 1), 48_000))).info.codec == "opus"


def test_mp3_in_a_wav_is_decoded() -> None:
    samples, rate_hz = decoded(encoded_files.noise_as("libmp3lame", "wav"))
    assert len(samples) / rate_hz == pytest.approx(1, abs=0.06)
