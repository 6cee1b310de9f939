"""Decodes any of the seven formats into blocks of samples, in memory that does not grow with the recording.

soundfile reads WAV, four times faster than anything else; FFmpeg reads the rest. libsndfile was tried for FLAC, OGG and
MP3 as well: positions are the same to the sample, but it raises at the first damaged FLAC frame, gives up after 1,024
damaged bytes of MP3, loses the time of a lost Ogg page, and decodes Vorbis at 60 % of FFmpeg's speed.

Runs in the decoder process, because the input is untrusted.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile

from appliance.engine.decode.containers import AudioInfo, check_info, identify_container
from appliance.engine.decode.ffmpeg import open_packets
from appliance.engine.decode.resample import resample
from appliance.errors import AudioTooLong, AudioTooShort, CorruptAudio

MIN_DURATION_SECONDS = 0.1

__all__ = ["AudioInfo", "Recording", "decode_mono", "open_audio"]


@dataclass
class Recording:
    """An opened recording. Its blocks can be iterated once."""

    info: AudioInfo
    _blocks: Iterator[np.ndarray]
    _damaged: Callable[[], bool] = lambda: False
    claimed_seconds: float | None = None  # the duration in its header, None if it has none

    @property
    def is_damaged(self) -> bool:
        """Whether audio that could not be decoded was met, in the blocks that were iterated so far."""
        return self._damaged()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield (num_samples, num_channels) float32 blocks of about a second, at the recording's own rate.

        Full scale is ±1; a float file's samples beyond it are not clipped. Decoding goes on after damage: lost audio is
        silence if its length is known. The number of channels may change within a damaged or chained file.
        """
        return self._blocks


def open_audio(file: BinaryIO) -> Recording:
    """Open a seekable binary file. Its content decides the format.

    Raises EmptyFile, CorruptAudio, NoAudioStream, UnsupportedAudio or AudioTooShort (not one sample).
    """
    container, start = identify_container(file)
    if start:
        file = io.BufferedReader(_Remainder(file, start))
    file.seek(0)
    if container in ("wav", "w64"):
        recording = _open_wav(file)
        if recording:
            return recording
    return Recording(*open_packets(file, container))


class _Remainder(io.RawIOBase):
    """A file without its first bytes. After tags and junk neither FFmpeg nor libsndfile reads headers correctly."""

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
    """Return None if libsndfile finds no samples. FFmpeg then reads it: streaming encoders leave a data size of 0."""
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError:
        file.seek(0)
        return None
    if not sound.frames:
        file.seek(0)
        return None
    info = AudioInfo("wav", sound.subtype.lower(), sound.samplerate, sound.channels)
    return Recording(check_info(info), _wav_blocks(sound), claimed_seconds=sound.frames / sound.samplerate)


def _wav_blocks(sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
    with sound:
        while True:
            block = sound.read(sound.samplerate, dtype="float32", always_2d=True)
            if not len(block):
                return
            yield block


class MonoDecode:
    """One recording as mono blocks at ``sample_rate_hz``. Counts the samples of the source on the way."""

    def __init__(self, recording: Recording, sample_rate_hz: int, max_duration_seconds: float) -> None:
        self._recording = recording
        self._sample_rate_hz = sample_rate_hz
        self._max_samples = int(max_duration_seconds * recording.info.sample_rate_hz)
        self._max_duration_seconds = max_duration_seconds
        self.num_source_samples = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield (num_samples,) float32.

        Raises AudioTooLong at the first block over the limit, AudioTooShort (CorruptAudio if damaged) before any block.
        """
        return resample(self._mono_blocks(), self._recording.info.sample_rate_hz, self._sample_rate_hz)

    def _mono_blocks(self) -> Iterator[np.ndarray]:
        rate = self._recording.info.sample_rate_hz
        waiting: list[np.ndarray] = []  # until there are 100 ms, so that a recording too short gives no block
        for block in self._recording.blocks():
            self.num_source_samples += len(block)
            if self.num_source_samples > self._max_samples:
                seconds = self._max_duration_seconds
                limit = f"{seconds:g} s" if seconds < 3600 else f"{seconds / 3600:g} hours"
                raise AudioTooLong(f"The recording is longer than {limit}, the longest that is accepted.")
            waiting.append(mono(block))
            if self.num_source_samples >= MIN_DURATION_SECONDS * rate:
                yield from waiting
                waiting.clear()
        if self.num_source_samples < MIN_DURATION_SECONDS * rate:
            milliseconds = 1000 * self.num_source_samples / rate
            if self._recording.is_damaged:
                raise CorruptAudio(f"The recording is damaged: only {milliseconds:.0f} ms of it can be decoded.")
            raise AudioTooShort(f"The recording lasts {milliseconds:.0f} ms; at least 100 ms are needed.")


def decode_mono(file: BinaryIO, sample_rate_hz: int, max_duration_seconds: float) -> tuple[AudioInfo, MonoDecode]:
    """Return the properties of ``file`` and its mono blocks at ``sample_rate_hz``. Raises what open_audio raises."""
    recording = open_audio(file)
    return recording.info, MonoDecode(recording, sample_rate_hz, max_duration_seconds)


def mono(block: np.ndarray) -> np.ndarray:
    """Return the mean of the channels of (num_samples, num_channels) float32: (num_samples,) float32.

    A sample becomes 0 if any channel is not finite there. Columns are summed one by one, since ``mean(axis=1)`` is
    seventeen times slower.
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
