"""Any of the seven formats in, blocks of samples out, in memory that does not grow with the recording.

soundfile reads WAV, four times faster than anything else; FFmpeg reads the rest. libsndfile was tried for FLAC, OGG and
MP3 as well: positions are the same to the sample, but it raises at the first damaged FLAC frame, gives up after 1,024
damaged bytes of MP3, loses the time of a lost Ogg page, and decodes Vorbis at 60 % of FFmpeg's speed.

Runs in the decoder process: the bytes are a stranger's.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile

from appliance.engine.decode.containers import AudioInfo, checked, container_of
from appliance.engine.decode.ffmpeg import open_packets
from appliance.engine.decode.resample import resampled
from appliance.errors import AudioTooLong, AudioTooShort, CorruptAudio

MIN_DURATION_SECONDS = 0.1

__all__ = ["AudioInfo", "Recording", "decode_mono", "open_audio"]


@dataclass
class Recording:
    """An opened recording; its blocks can be taken once."""

    info: AudioInfo
    _blocks: Iterator[np.ndarray]
    _damaged: Callable[[], bool] = lambda: False
    claimed_seconds: float | None = None  # how long it is, as its header says; None where that says nothing

    @property
    def is_damaged(self) -> bool:
        """Whether something that should have been audio could not be decoded, as far as the blocks were taken."""
        return self._damaged()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield (num_samples, num_channels) float32 blocks of about a second, on the recording's own clock.

        Full scale is ±1; what a float file holds beyond it passes unclipped. Damage is decoded past: what is lost is
        silence where its length is known. The number of channels may change within a damaged or chained file.
        """
        return self._blocks


def open_audio(file: BinaryIO) -> Recording:
    """Open a seekable binary file by its content.

    Raises EmptyFile, CorruptAudio, NoAudioStream, UnsupportedAudio or AudioTooShort (not one sample).
    """
    container, start = container_of(file)
    if start:
        file = io.BufferedReader(_Remainder(file, start))
    file.seek(0)
    if container in ("wav", "w64"):
        recording = _open_wav(file)
        if recording:
            return recording
    return Recording(*open_packets(file, container))


class _Remainder(io.RawIOBase):
    """A file without its first bytes. Behind tags and junk neither FFmpeg nor libsndfile reads headers as it should."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._start = start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self._file.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset + (self._start if whence == io.SEEK_SET else 0), whence) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start


def _open_wav(file: BinaryIO) -> Recording | None:
    """None where libsndfile finds no samples: FFmpeg also reads what streaming encoders leave, a data size of 0."""
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError:
        file.seek(0)
        return None
    if not sound.frames:
        file.seek(0)
        return None
    info = AudioInfo("wav", sound.subtype.lower(), sound.samplerate, sound.channels)
    return Recording(checked(info), _wav_blocks(sound), claimed_seconds=sound.frames / sound.samplerate)


def _wav_blocks(sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
    with sound:
        while True:
            block = sound.read(sound.samplerate, dtype="float32", always_2d=True)
            if not len(block):
                return
            yield block


class MonoDecode:
    """One recording as mono blocks at the rate that a model wants, with its source's samples counted."""

    def __init__(self, recording: Recording, sample_rate_hz: int, max_duration_seconds: float) -> None:
        self._recording = recording
        self._sample_rate_hz = sample_rate_hz
        self._max_samples = int(max_duration_seconds * recording.info.sample_rate_hz)
        self._max_duration_seconds = max_duration_seconds
        self.num_source_samples = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield (num_samples,) float32; raises AudioTooLong as soon as it is, AudioTooShort before any block."""
        return resampled(self._counted(), self._recording.info.sample_rate_hz, self._sample_rate_hz)

    def _counted(self) -> Iterator[np.ndarray]:
        rate = self._recording.info.sample_rate_hz
        held: list[np.ndarray] = []  # the first 100 ms are kept back, so that a recording too short gives nothing
        for block in self._recording.blocks():
            self.num_source_samples += len(block)
            if self.num_source_samples > self._max_samples:
                seconds = self._max_duration_seconds
                limit = f"{seconds:g} s" if seconds < 3600 else f"{seconds / 3600:g} hours"
                raise AudioTooLong(f"The recording is longer than {limit}, the longest that is analysed.")
            held.append(mono(block))
            if self.num_source_samples >= MIN_DURATION_SECONDS * rate:
                yield from held
                held.clear()
        if self.num_source_samples < MIN_DURATION_SECONDS * rate:
            milliseconds = 1000 * self.num_source_samples / rate
            if self._recording.is_damaged:
                raise CorruptAudio(f"The recording is damaged: only {milliseconds:.0f} ms of it can be decoded.")
            raise AudioTooShort(f"The recording lasts {milliseconds:.0f} ms; at least 100 ms are needed.")


def decode_mono(file: BinaryIO, sample_rate_hz: int, max_duration_seconds: float) -> tuple[AudioInfo, MonoDecode]:
    """Open ``file`` and return what it is and its mono blocks at ``sample_rate_hz``."""
    recording = open_audio(file)
    return recording.info, MonoDecode(recording, sample_rate_hz, max_duration_seconds)


def mono(block: np.ndarray) -> np.ndarray:
    """Mean of the channels of (num_samples, num_channels) float32: (num_samples,) float32.

    An instant at which any channel is not a number or infinite becomes 0. Sums of columns, since ``mean(axis=1)``
    is seventeen times slower.
    """
    num_channels = block.shape[1]
    if num_channels == 1:
        mixed = np.ascontiguousarray(block[:, 0])
    else:
        mixed = block[:, 0] + block[:, 1]
        for channel in range(2, num_channels):
            mixed += block[:, channel]
        mixed *= np.float32(1 / num_channels)
    finite = np.isfinite(mixed)
    if not finite.all():
        mixed = np.where(finite, mixed, np.float32(0))
    return mixed
