"""Decodes any of the seven formats into blocks of samples, in memory that does not grow with the recording.

soundfile reads WAV, four times faster than anything else; FFmpeg reads the rest. libsndfile was tried for FLAC, OGG and
MP3 as well: positions are the same to the sample, but it raises at the first damaged FLAC frame, gives up after 1,024
damaged bytes of MP3, loses the time of a lost Ogg page, and decodes Vorbis at 60 % of FFmpeg's speed.

Runs in the decoder process, because the input is untrusted.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol, cast

import numpy as np
import soundfile

from appliance.engine.decode.containers import AudioInfo, check_info, identify_container
from appliance.engine.decode.damage import Damage
from appliance.engine.decode.ffmpeg import open_packets
from appliance.engine.decode.resample import resample
from appliance.engine.decode.resume import PointNotMet, resume_packets
from appliance.engine.decode.seek_points import Resume, SeekPoints
from appliance.errors import AudioTooLong, AudioTooShort, CorruptAudio

MIN_DURATION_SECONDS = 0.1
# Full scale is 1. Some programs write whole numbers of up to 2**31 into float files. The sums of the resampler are
# finite for samples up to here, and not for 1e36.
LOUDEST = np.float32(1e30)

__all__ = ["AudioInfo", "Recording", "decode_mixed", "open_audio", "read_between"]


@dataclass
class Recording:
    """An opened recording. Its blocks can be iterated once."""

    info: AudioInfo
    _blocks: Iterator[np.ndarray]
    damage: Damage = field(default_factory=Damage)  # in the blocks that were iterated so far
    claimed_seconds: float | None = None  # the duration in its header, None if it has none

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield (num_samples, num_channels) float32 blocks of about a second, at the recording's own rate.

        Full scale is ±1; a float file's samples beyond it are not clipped. Decoding goes on after damage: lost audio is
        silence if its length is known. The number of channels may change within a damaged or chained file.
        """
        return self._blocks


def open_audio(file: BinaryIO, points: SeekPoints | None = None) -> Recording:
    """Open a seekable binary file. Its content decides the format.

    The points from which decoding can begin are added to ``points`` while the blocks are iterated; a file that
    libsndfile reads needs none. Raises EmptyFile, CorruptAudio, NoAudioStream, UnsupportedAudio or AudioTooShort (not
    one sample).
    """
    container, file = _contained(file)
    sound = _open_wav(file, container)
    if sound:
        info = AudioInfo("wav", sound.subtype.lower(), sound.samplerate, sound.channels)
        return Recording(check_info(info), _wav_blocks(sound), claimed_seconds=sound.frames / sound.samplerate)
    return Recording(*open_packets(file, container, points))


def read_between(
    file: BinaryIO, start_sample: int, end_sample: int, resume: Resume | None = None
) -> Iterator[np.ndarray]:
    """Yield the samples from ``start_sample`` up to ``end_sample`` as a whole decode gives them.

    The blocks are as those of ``Recording.blocks``. Without ``resume``, all that is before is decoded too, unless
    libsndfile reads the file. Raises what ``open_audio`` raises.
    """
    container, file = _contained(file)
    sound = _open_wav(file, container)
    if sound:
        sound.seek(min(start_sample, sound.frames))
        yield from _cut(_wav_blocks(sound), start_sample, start_sample, end_sample)
        return
    if resume:
        with suppress(PointNotMet):
            blocks = resume_packets(file, container, resume)
            yield from _cut(blocks, resume.first_sample, start_sample, end_sample)
            return
    file.seek(0)
    yield from _cut(open_packets(file, container)[1], 0, start_sample, end_sample)


def _cut(blocks: Iterator[np.ndarray], position: int, start_sample: int, end_sample: int) -> Iterator[np.ndarray]:
    """Yield what lies between two samples of blocks that begin at the sample ``position``."""
    for block in blocks:
        part = block[max(0, start_sample - position) : max(0, end_sample - position)]
        if len(part):
            yield part
        position += len(block)
        if position >= end_sample:
            return


def _contained(file: BinaryIO) -> tuple[str, BinaryIO]:
    """Return the container, and the file without tags and junk before it, at its beginning."""
    container, start = identify_container(file)
    if start:
        file = cast(BinaryIO, io.BufferedReader(_Remainder(file, start)))
    file.seek(0)
    return container, file


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


def _open_wav(file: BinaryIO, container: str) -> soundfile.SoundFile | None:
    """Return None if libsndfile finds no samples. FFmpeg then reads it: streaming encoders leave a data size of 0."""
    if container not in ("wav", "w64"):
        return None
    with suppress(soundfile.LibsndfileError):
        sound = soundfile.SoundFile(file)
        if sound.frames:
            return sound
    file.seek(0)
    return None


def _wav_blocks(sound: soundfile.SoundFile) -> Iterator[np.ndarray]:
    with sound:
        while True:
            block = sound.read(sound.samplerate, dtype="float32", always_2d=True)
            if not len(block):
                return
            yield block


class Looker(Protocol):
    """Collects what somebody who looks at a recording needs, while it is decoded."""

    @property
    def points(self) -> SeekPoints:
        """Takes the points from which decoding can begin."""

    def add(self, block: np.ndarray) -> None:
        """Take (num_samples, num_channels) float32 at the recording's own rate."""


class MixedDecode:
    """One recording as blocks of one or two channels at ``sample_rate_hz``. Counts the samples of the source."""

    def __init__(
        self,
        recording: Recording,
        sample_rate_hz: int,
        max_duration_seconds: float,
        looker: Looker | None = None,
        num_channels: int = 1,
    ) -> None:
        self._recording = recording
        self._looker = looker
        self._sample_rate_hz = sample_rate_hz
        self._num_channels = num_channels
        self._max_samples = int(max_duration_seconds * recording.info.sample_rate_hz)
        self._max_duration_seconds = max_duration_seconds
        self.num_source_samples = 0

    @property
    def losses(self) -> list[tuple[int, int]]:
        """The stretches that are missing in the stream, in samples of the source. Known after the last block."""
        return self._recording.damage.losses

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield (num_samples,) float32, or (num_samples, 2) if there are two channels.

        Raises AudioTooLong at the first block over the limit, AudioTooShort (CorruptAudio if damaged) before any block.
        """
        rate = self._recording.info.sample_rate_hz
        return resample(self._mixed_blocks(), rate, self._sample_rate_hz, self._num_channels)

    def _mixed_blocks(self) -> Iterator[np.ndarray]:
        rate = self._recording.info.sample_rate_hz
        waiting: list[np.ndarray] = []  # until there are 100 ms, so that a recording too short gives no block
        for block in self._recording.blocks():
            self.num_source_samples += len(block)
            if self.num_source_samples > self._max_samples:
                seconds = self._max_duration_seconds
                limit = f"{seconds:g} s" if seconds < 3600 else f"{seconds / 3600:g} hours"
                raise AudioTooLong(f"The recording is longer than {limit}, the longest that is accepted.")
            if self._looker:
                self._looker.add(block)
            waiting.append(mono(block) if self._num_channels == 1 else stereo(block))
            if self.num_source_samples >= MIN_DURATION_SECONDS * rate:
                yield from waiting
                waiting.clear()
        if self.num_source_samples < MIN_DURATION_SECONDS * rate:
            milliseconds = 1000 * self.num_source_samples / rate
            if self._recording.damage.num_places:
                raise CorruptAudio(f"The recording is damaged: only {milliseconds:.0f} ms of it can be decoded.")
            raise AudioTooShort(f"The recording lasts {milliseconds:.0f} ms; at least 100 ms are needed.")


def decode_mixed(
    file: BinaryIO,
    sample_rate_hz: int,
    max_duration_seconds: float,
    looker: Looker | None = None,
    num_channels: int = 1,
) -> tuple[AudioInfo, MixedDecode]:
    """Return the properties of ``file`` and its blocks at ``sample_rate_hz``; 0 is the recording's own rate.

    ``num_channels`` is 1 (``mono``) or 2 (``stereo``). ``looker`` gets every block before it is mixed, and the seek
    points. Raises what ``open_audio`` raises.
    """
    recording = open_audio(file, looker.points if looker else None)
    rate = sample_rate_hz or recording.info.sample_rate_hz
    return recording.info, MixedDecode(recording, rate, max_duration_seconds, looker, num_channels)


@np.errstate(over="ignore", invalid="ignore")
def mono(block: np.ndarray) -> np.ndarray:
    """Return the mean of the channels of (num_samples, num_channels) float32: (num_samples,) float32.

    A sample becomes 0 if any channel is not finite there, or the mean is beyond LOUDEST. Columns are summed one by one,
    since ``mean(axis=1)`` is seventeen times slower.
    """
    num_channels = block.shape[1]
    if num_channels == 1:
        mixed = np.ascontiguousarray(block[:, 0])
    else:
        mixed = block[:, 0] + block[:, 1]
        for channel in range(2, num_channels):
            mixed += block[:, channel]
        mixed *= np.float32(1 / num_channels)
    sound = np.abs(mixed) <= LOUDEST  # false for what is not a number
    if not sound.all():
        mixed = np.where(sound, mixed, np.float32(0))
    return mixed


def stereo(block: np.ndarray) -> np.ndarray:
    """Return two channels of (num_samples, num_channels) float32: (num_samples, 2) float32.

    A single channel is both of them. Of more than two, the first, third and so on are mixed as ``mono`` does, and so
    are the others: left and right stay apart, and nothing is left out.
    """
    return np.stack([mono(block[:, ::2]), mono(block[:, 1::2] if block.shape[1] > 1 else block)], axis=1)
