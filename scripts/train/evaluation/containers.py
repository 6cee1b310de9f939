"""Write audio into the containers that clients send, at the bit rates that they use."""

from __future__ import annotations

import fractions
import io
from pathlib import Path

import av
import numpy as np
import soundfile

LOSSLESS = ("wav", "flac")
LOSSY = ("mp3", "ogg", "opus", "m4a")
OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)


def write(path: Path, audio: np.ndarray, rate_hz: int, kilobits: int = 64, subtype: str = "PCM_16") -> None:
    """Write (num_samples, num_channels) float32; the suffix of the path names the container.

    kilobits : bits per millisecond over all channels, for the lossy containers.
    """
    container = path.suffix[1:]
    if container in LOSSLESS:
        soundfile.write(path, audio, rate_hz, subtype=subtype)
    elif container == "ogg":
        path.write_bytes(vorbis_bytes(audio, rate_hz, quality_for(kilobits, rate_hz, audio.shape[1])))
    elif container == "mp3":
        _encode(path, "mp3", "libmp3lame", audio, rate_hz, kilobits)
    elif container == "opus":
        _encode(path, "ogg", "libopus", audio, rate_hz, kilobits)
    elif container == "m4a":
        _encode(path, "ipod", "aac", audio, rate_hz, kilobits)
    else:
        raise ValueError(f"no writer for {path.suffix}")


def quality_for(kilobits: int, rate_hz: int, num_channels: int) -> float:
    """libsndfile's Vorbis quality in [0, 1] that comes near a bit rate: about 1.1 bit a sample at 0.3, 3 at 0.9."""
    return float(np.clip(kilobits * 1000 / (rate_hz * num_channels) * 0.3 - 0.05, 0.0, 0.9))


def vorbis_bytes(audio: np.ndarray, rate_hz: int, quality: float) -> bytes:
    stream = io.BytesIO()
    sink = soundfile.SoundFile(
        stream, "w", rate_hz, audio.shape[1], subtype="VORBIS", format="OGG", compression_level=1.0 - quality
    )
    with sink:
        for first in range(0, len(audio), 4096):  # libvorbis overruns its stack on long buffers
            sink.write(audio[first : first + 4096])
    return stream.getvalue()


def mp3_bytes(audio: np.ndarray, rate_hz: int, kilobits: int) -> bytes:
    stream = io.BytesIO()
    _encode(stream, "mp3", "libmp3lame", audio, rate_hz, kilobits)
    return stream.getvalue()


def _encode(
    target: Path | io.BytesIO, container: str, codec: str, audio: np.ndarray, rate_hz: int, kilobits: int
) -> None:
    opened = av.open(target if isinstance(target, io.BytesIO) else str(target), "w", format=container)
    with opened:
        stream = opened.add_stream(codec, rate=rate_hz)
        stream.bit_rate = kilobits * 1000
        stream.layout = "mono" if audio.shape[1] == 1 else "stereo"
        sample_format = {"libopus": "flt"}.get(codec, "fltp")
        stream.codec_context.format = sample_format
        size = 960 * max(1, rate_hz // 8000)
        for first in range(0, len(audio), size):
            block = np.ascontiguousarray(audio[first : first + size].T)
            if sample_format == "flt":
                block = np.ascontiguousarray(block.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format=sample_format, layout=stream.layout.name)
            frame.sample_rate = rate_hz
            frame.pts = first
            frame.time_base = fractions.Fraction(1, rate_hz)
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
