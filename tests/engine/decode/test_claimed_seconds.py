"""The duration in a recording's header, read in the decoder process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.engine.decode import wire
from appliance.engine.decode.decoder import Decoder
from appliance.errors import CorruptAudio
from tests.support.encoded_files import KINDS, encode, noise

Recording = Callable[..., Path]
RATE_HZ = 48_000


def claimed_seconds(decoder: Decoder, path: Path) -> float | None:
    with path.open("rb") as file:
        return decoder.claimed_seconds(file)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "aac"])
def test_every_format_except_raw_aac_states_its_duration(decoder: Decoder, recording: Recording, kind: str) -> None:
    path = recording(encode(kind, noise(RATE_HZ, 7.5), RATE_HZ))
    assert claimed_seconds(decoder, path) == pytest.approx(7.5, abs=0.1)


def test_raw_aac_states_no_duration(decoder: Decoder, recording: Recording) -> None:
    assert claimed_seconds(decoder, recording(encode("aac", noise(RATE_HZ, 7.5), RATE_HZ))) is None


def test_one_child_reads_headers_decodes_and_survives_an_invalid_file(decoder: Decoder, recording: Recording) -> None:
    path = recording(encode("flac", noise(RATE_HZ, 2), RATE_HZ))
    assert claimed_seconds(decoder, path) == 2.0
    child = decoder.pid
    with pytest.raises(CorruptAudio):
        claimed_seconds(decoder, recording(b"not a recording", "other"))
    with path.open("rb") as file, decoder.decode(file, 16_000) as audio:
        assert sum(map(len, audio)) == pytest.approx(32_000, abs=1)
    assert claimed_seconds(decoder, path) == 2.0
    assert decoder.pid == child


@pytest.mark.parametrize("length", ["0", "-1", '"9"', "1e999", "NaN", "[]"])
def test_an_impossible_duration_is_rejected(length: str) -> None:
    with pytest.raises(wire.BadFrame):
        wire.parse_claimed_seconds(bytearray(f'{{"claimed_seconds": {length}}}'.encode()))
