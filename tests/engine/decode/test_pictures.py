"""FFmpeg decodes the sound of a film and never starts a decoder for its pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import av.logging
import pytest

from appliance.engine.decode.recording import open_audio
from tests.support.encoded_files import noise, with_picture

PICTURE_DECODERS = {"mjpeg": "mjpeg", "ffv1": "ffv1", "mpeg4": "mpeg4", "libx264": "h264"}


@pytest.fixture(autouse=True)
def debug_messages() -> Iterator[None]:
    level = av.logging.get_level()
    av.logging.set_level(av.logging.DEBUG)
    yield
    av.logging.set_level(level)


def messages_of(logs: list[tuple[int, str, str]], decoder: str) -> str:
    return "\n".join(message for _, name, message in logs if name == decoder)


@pytest.mark.parametrize(
    ("muxer", "codec", "picture"),
    [("mp4", "aac", "mjpeg"), ("mp4", "aac", "libx264"), ("mp4", "aac", "mpeg4"), ("matroska", "libopus", "ffv1")],
)
def test_no_decoder_is_started_for_pictures(muxer: str, codec: str, picture: str) -> None:
    film = with_picture(muxer, codec, noise(48_000, 1), 48_000, picture)
    with av.logging.Capture(local=False) as probing, av.open(io.BytesIO(film)):
        pass
    # A decoder of pictures asks for the format of its frames when it has read the first header.
    assert "chosen by get_format" in messages_of(probing, PICTURE_DECODERS[picture])
    with av.logging.Capture(local=False) as logs:
        num_samples = sum(map(len, open_audio(io.BytesIO(film)).blocks()))
    assert num_samples == 48_000
    messages = messages_of(logs, PICTURE_DECODERS[picture])
    assert "not on whitelist" in messages
    assert "get_format" not in messages
