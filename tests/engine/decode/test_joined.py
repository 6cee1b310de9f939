"""Recordings that were joined of others without encoding again, and what a long index costs a decoder."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.engine.decode.recording import open_audio
from tests.engine.decode.test_clips import Memory
from tests.support.encoded_files import encode, joined, noise

pytestmark = pytest.mark.slow  # encodes and joins minutes of audio
RATE = 48_000
TIMES = 3
SECONDS = np.arange(20 * RATE) / RATE
TONE = 0.2 * np.sin(2 * np.pi * (200 + SECONDS) * SECONDS)[:, None]
SOUND = TONE.astype(np.float32) + noise(RATE, 20, 1, 0.02)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(DecodeLimits()) as decoder:
        yield decoder


def clips_and_whole(decoder: Decoder, content: bytes) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Clips of a second each, and the same stretches of a whole decode."""
    whole = np.concatenate(list(open_audio(io.BytesIO(content)).blocks()))
    outline = decoder.look(Memory(content), io.BytesIO()).outline
    for start in range(0, int(1000 * outline.seconds) - 1000, 1000):
        clip = decoder.clip(Memory(content), start, start + 1000, outline).samples
        yield clip, whole[start * RATE // 1000 : (start + 1000) * RATE // 1000]


@pytest.mark.parametrize("kind", ["m4a", "mp4-fragmented", "aac", "alac", "mp3", "webm"])
def test_clips_are_exact_across_joins(decoder: Decoder, kind: str, tmp_path: Path) -> None:
    plain = {"aac_pns": "0"} if kind in ("m4a", "mp4-fragmented", "aac") else {}
    joined(kind, encode(kind, SOUND, RATE, **plain), TIMES, tmp_path / kind)
    for clip, expected in clips_and_whole(decoder, (tmp_path / kind).read_bytes()):
        np.testing.assert_array_equal(clip, expected)


def test_noise_that_aac_substitutes_is_drawn_again_and_nothing_moves(decoder: Decoder, tmp_path: Path) -> None:
    """The file says only how loud the noise is. FFmpeg draws it with a generator that goes on from packet to packet."""
    joined("m4a", encode("m4a", SOUND, RATE), TIMES, tmp_path / "m4a")
    num_others = 0
    for clip, expected in clips_and_whole(decoder, (tmp_path / "m4a").read_bytes()):
        assert clip.shape == expected.shape
        difference = clip - expected
        num_others += bool(difference.any())
        assert np.sqrt(np.mean(difference**2)) < 0.02
        both = np.fft.irfft(np.conj(np.fft.rfft(clip[:, 0])) * np.fft.rfft(expected[:, 0]))
        assert np.argmax(both) == 0  # the place at which they are most alike
    assert num_others  # else this test shows nothing


def test_a_decoder_gives_back_what_an_index_took(decoder: Decoder, tmp_path: Path) -> None:
    """An MP4 with 190,000 packets, more than an hour: a decoder once kept each index until it had no memory left."""
    joined("m4a", encode("m4a", SOUND[:RATE], RATE), 4000, tmp_path / "long")
    content = (tmp_path / "long").read_bytes()
    held = []
    for _ in range(12):
        decoder.clip(Memory(content), 0, 100)
        status = Path(f"/proc/{decoder.pid}/status").read_text()
        held.append(int(re.findall(r"VmRSS:\s+(\d+)", status)[0]))
    assert max(held[6:]) - max(held[:6]) < 20_000  # KiB; it was 9,000 more with each clip
