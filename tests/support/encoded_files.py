"""Sounds as the bytes of audio files in every format, encoded when a test asks for them."""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import soundfile

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)


@dataclass(frozen=True)
class Kind:
    """A container and codec, and how to write it."""

    extension: str
    codec: str
    muxer: str = ""  # if empty, soundfile writes it
    options: dict[str, str] = field(default_factory=dict)
    rates_hz: range = range(8_000, 192_001)
    max_channels: int = 8


KINDS = {
    "wav": Kind("wav", "PCM_16"),
    "flac": Kind("flac", "PCM_16"),
    "ogg": Kind("ogg", "VORBIS"),
    "opus": Kind("ogg", "libopus", "ogg"),
    "mp3": Kind("mp3", "libmp3lame", "mp3", rates_hz=range(8_000, 48_001), max_channels=2),
    "mp3-no-header": Kind("mp3", "libmp3lame", "mp3", {"write_xing": "0"}, range(8_000, 48_001), 2),
    "m4a": Kind("m4a", "aac", "ipod", rates_hz=range(8_000, 96_001)),
    "m4a-faststart": Kind("m4a", "aac", "ipod", {"movflags": "faststart"}, range(8_000, 96_001)),
    "mp4-fragmented": Kind("mp4", "aac", "mp4", {"movflags": "frag_keyframe+empty_moov"}, range(8_000, 96_001)),
    "alac": Kind("m4a", "alac", "ipod", max_channels=6),
    "aac": Kind("aac", "aac", "adts", rates_hz=range(8_000, 96_001)),
    "webm": Kind("webm", "libopus", "webm"),
    "webm-vorbis": Kind("webm", "VORBIS"),
}


def clicks(rate_hz: int, seconds: float, at_seconds: Iterable[float], num_channels: int = 1) -> np.ndarray:
    """Silence with half-millisecond clicks that begin at these times: (num_samples, num_channels) float32."""
    samples = np.zeros((round(rate_hz * seconds), num_channels), np.float32)
    length = max(2, rate_hz // 2000)
    for at in at_seconds:
        start = round(at * rate_hz)
        samples[start : start + length] = 0.8
    return samples


def noise(rate_hz: int, seconds: float, num_channels: int = 1, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """White noise: (num_samples, num_channels) float32."""
    shape = round(rate_hz * seconds), num_channels
    return (level * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def encode(kind: str, samples: np.ndarray, rate_hz: int, **options: str) -> bytes:
    """Encode (num_samples,) or (num_samples, num_channels) float32; returns the bytes of a file of this kind.

    ``options`` are for FFmpeg's encoder, if it is one of FFmpeg's that encodes.
    """
    samples = samples.reshape(len(samples), -1)
    how = KINDS[kind]
    if kind == "webm-vorbis":
        return _remuxed(_by_soundfile("ogg", "VORBIS", samples, rate_hz), "webm")
    if how.muxer:
        return _by_ffmpeg(how, samples, rate_hz, options)
    return _by_soundfile(how.extension, how.codec, samples, rate_hz)


def write(path: Path, kind: str, samples: np.ndarray, rate_hz: int) -> Path:
    """Encode into the file ``path``. Returns the path."""
    path.write_bytes(encode(kind, samples, rate_hz))
    return path


def wav(samples: np.ndarray, rate_hz: int, subtype: str = "PCM_16", container: str = "WAV") -> bytes:
    """A WAV (or WAVEX, RF64, W64) file with this sample format."""
    return _by_soundfile(container, subtype, samples, rate_hz)


def _by_soundfile(container: str, subtype: str, samples: np.ndarray, rate_hz: int) -> bytes:
    target = io.BytesIO()
    num_channels = samples.shape[1] if samples.ndim == 2 else 1
    with soundfile.SoundFile(target, "w", rate_hz, num_channels, subtype, format=container.upper()) as sound:
        for start in range(0, len(samples), 4096):  # libvorbis overflows its stack on one long write
            sound.write(samples[start : start + 4096])
    return target.getvalue()


def _by_ffmpeg(how: Kind, samples: np.ndarray, rate_hz: int, encoder_options: dict[str, str] | None = None) -> bytes:
    layout = LAYOUTS[samples.shape[1]]
    with (
        tempfile.NamedTemporaryFile() as target,  # faststart opens its file a second time
        av.open(target.name, "w", format=how.muxer, options=how.options) as container,
    ):
        stream = container.add_stream(how.codec, rate=rate_hz, layout=layout)
        stream.codec_context.options = encoder_options or {}
        converter = av.AudioResampler(format=stream.codec_context.format.name, layout=layout, rate=rate_hz)
        for start in range(0, len(samples), 1024):
            packed = np.ascontiguousarray(samples[start : start + 1024]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate_hz, start
            for converted in converter.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
        container.close()
        return Path(target.name).read_bytes()


def _remuxed(recording: bytes, muxer: str) -> bytes:
    target = io.BytesIO()
    with av.open(io.BytesIO(recording)) as source, av.open(target, "w", format=muxer) as container:
        stream = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return target.getvalue()


def silent_flac(path: Path, seconds: int, rate_hz: int = 44_100, num_channels: int = 2) -> Path:
    """A long FLAC of silence, written as a stream: 6 hours are 4 MB on disk and 4 GB decoded."""
    minute = np.zeros((60 * rate_hz, num_channels), np.int16)
    with soundfile.SoundFile(path, "w", rate_hz, num_channels, "PCM_16", format="FLAC") as sound:
        for start in range(0, seconds, 60):
            sound.write(minute[: min(60, seconds - start) * rate_hz])
    return path


def video_only(muxer: str = "mp4") -> bytes:
    """A second of black video without any audio."""
    target = io.BytesIO()
    with av.open(target, "w", format=muxer) as container:
        stream = container.add_stream("mpeg4" if muxer == "mp4" else "mjpeg", rate=5)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p" if muxer == "mp4" else "yuvj420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(64, 64, stream.pix_fmt)))
        container.mux(stream.encode(None))
    return target.getvalue()


def noise_as(codec: str, muxer: str) -> bytes:
    """A second of noise in a codec and container that KINDS does not list, such as ac3 in mp4."""
    return _by_ffmpeg(Kind(muxer, codec, muxer), noise(48_000, 1), 48_000)


def with_picture(muxer: str, codec: str, samples: np.ndarray, rate_hz: int, picture: str = "mjpeg") -> bytes:
    """Mono audio with a video stream, like a film or a song with its cover."""
    target = io.BytesIO()
    pixels = "yuvj420p" if picture == "mjpeg" else "yuv420p"
    with av.open(target, "w", format=muxer) as container:
        video = container.add_stream(picture, rate=5)
        video.width = video.height = 64
        video.pix_fmt = pixels
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        for _ in range(5):
            container.mux(video.encode(av.VideoFrame(64, 64, pixels)))
        container.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="flt", layout="mono")
        frame.sample_rate, frame.pts = rate_hz, 0
        converter = av.AudioResampler(format=stream.codec_context.format.name, layout="mono", rate=rate_hz)
        for converted in converter.resample(frame):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return target.getvalue()


def ogg_pages(content: bytes) -> list[bytes]:
    """Cut an Ogg stream into its pages."""
    starts = [0]
    while starts[-1] < len(content):
        lacing = starts[-1] + 27
        body = lacing + content[lacing - 1]
        starts.append(body + sum(content[lacing:body]))
    return [content[start:end] for start, end in itertools.pairwise(starts)]


def without_ogg_page(content: bytes, number: int) -> bytes:
    """Return an Ogg stream that lost a page, as its sequence numbers and its granule positions show."""
    pages = ogg_pages(content)
    return b"".join([*pages[:number], *pages[number + 1 :]])


def joined(kind: str, piece: bytes, times: int, path: Path) -> None:
    """Write a recording of this kind that repeats the packets of ``piece``, as programs join files without encoding."""
    how = KINDS[kind]
    with (
        av.open(str(path), "w", format=how.muxer, options=how.options) as target,
        av.open(io.BytesIO(piece)) as source,
    ):
        audio = source.streams.audio[0]
        packets = [packet for packet in source.demux(audio) if packet.dts is not None and packet.dts >= 0]
        stream = target.add_stream_from_template(audio)
        length = max(packet.dts + (packet.duration or 0) for packet in packets)
        stamps = [(packet.pts, packet.dts) for packet in packets]
        for number in range(times):
            for packet, (pts, dts) in zip(packets, stamps, strict=True):
                packet.pts, packet.dts = pts + number * length, dts + number * length
                packet.stream = stream
                target.mux(packet)
