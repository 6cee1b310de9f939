"""The appliance exists to find damage: decoding goes on after it, keeps the time, and raises only an AudioError."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.engine.decode.recording import decode_mixed
from appliance.errors import AudioError
from tests.support.encoded_files import KINDS, clicks, encode, noise

pytestmark = pytest.mark.slow  # decodes every format many times
SECONDS = 16
CLICKS = [float(second) for second in range(1, SECONDS)]
# Seconds of error for each damaged place, if a stream has no clock and the loss is guessed from its bytes.
GUESSED = {"aac": 0.03, "mp3": 0.03, "mp3-no-header": 0.03, "webm-vorbis": 0.03, "ogg": 0.03}
SMALL = {kind: encode(kind, noise(48_000, 1.5), 48_000) for kind in KINDS}


def mono(content: bytes, rate_hz: int = 16_000) -> np.ndarray:
    _, blocks = decode_mixed(io.BytesIO(content), rate_hz, 3600)
    return np.concatenate(list(blocks))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_zeros", [False, True])
def test_audio_after_damage_keeps_its_time(kind: str, with_zeros: bool) -> None:
    source = clicks(48_000, SECONDS, CLICKS) + noise(48_000, SECONDS, level=0.02)
    content = bytearray(encode(kind, source, 48_000))
    for place in (0.35, 0.6):
        start = int(place * len(content))
        content[start : start + 300] = bytes(300) if with_zeros else np.random.default_rng(7).bytes(300)
    samples = mono(bytes(content), 48_000)
    loud = np.flatnonzero(np.abs(samples) > 0.4) / 48_000
    tolerance = 0.002 + 2 * GUESSED.get(kind, 0)
    in_time = [second for second in CLICKS if np.any(np.abs(loud - second) < tolerance)]
    assert len(in_time) >= (5 if kind.startswith("webm") else 8), in_time  # a damaged WebM cluster is lost whole
    assert abs(len(samples) / 48_000 - SECONDS) < 0.1 or kind.startswith("webm")


@pytest.mark.parametrize("kind", ["mp3", "flac", "ogg", "opus"])
def test_several_lost_frames_become_silence_of_the_same_length(kind: str) -> None:
    source = clicks(48_000, SECONDS, CLICKS) + noise(48_000, SECONDS, level=0.02)
    content = bytearray(encode(kind, source, 48_000))
    start = len(content) // 2
    content[start : start + len(content) // 16] = bytes(len(content) // 16)  # a second
    samples = mono(bytes(content), 48_000)
    assert len(samples) / 48_000 == pytest.approx(SECONDS, abs=0.3)
    last = np.flatnonzero(np.abs(samples) > 0.4)[-1] / 48_000
    assert last == pytest.approx(SECONDS - 1, abs=0.3)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    places=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=64)), max_size=6),
    cut=st.floats(0, 1),
    removed=st.floats(0, 0.1),
)
def test_any_damage_gives_samples_or_an_audio_error(
    kind: str, places: list[tuple[float, bytes]], cut: float, removed: float
) -> None:
    content = bytearray(SMALL[kind])
    for place, junk in places:
        start = int(place * len(content))
        content[start : start + len(junk)] = junk
    start = int(cut * len(content))
    del content[start : start + int(removed * len(content))]
    try:
        samples = mono(bytes(content))
    except AudioError:
        return
    assert len(samples) >= 1_599
    assert np.isfinite(samples).all()


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), head=st.binary(min_size=1, max_size=200), offset=st.integers(0, 400))
def test_any_damaged_header_gives_samples_or_an_audio_error(kind: str, head: bytes, offset: int) -> None:
    content = bytearray(SMALL[kind])
    content[offset : offset + len(head)] = head
    try:
        samples = mono(bytes(content))
    except AudioError:
        return
    assert np.isfinite(samples).all()
