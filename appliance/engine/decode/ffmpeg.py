"""Decodes MP3, MP4, OGG, FLAC, WebM and AAC with FFmpeg, and keeps every sample at its true time in spite of damage.

Encoders add delay in front and padding at the end. FFmpeg removes what the file states (LAME's info header, edit lists,
Opus pre-skip and discard padding); this module removes what the last packet's and the edit list's durations state. If a
file states no delay, the usual one is removed: 1,105 samples of MP3, the first frame (1,024 samples; 2,048 with SBR)
of AAC.

Audio lost to damage becomes silence of the same length. The length comes from the time stamps if the container has a
clock, and from the number of damaged bytes in MP3 and raw AAC (``framing.py``). FFmpeg's "out of memory" is damage too:
nearly always an impossible size in the file. What was lost is noted (``damage.py``). Recorders of Opus in WebM leave
packets out in pauses, so there a gap in the time stamps is a loss only if something in it could not be read or decoded,
or was cut out of the file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, BinaryIO, NamedTuple, cast

import av
import av.subtitles.stream  # PyAV imports it with the first file, when the decoder process can open nothing
import numpy as np
from av.codec.context import Flags2
from av.stream import Discard

from appliance.engine.decode.containers import MAX_CHANNELS, AudioInfo, check_info
from appliance.engine.decode.cut_out import CutOut
from appliance.engine.decode.damage import Damage
from appliance.engine.decode.framing import WholeFrames
from appliance.engine.decode.matroska import is_readable_between
from appliance.engine.decode.seek_points import SeekPoints
from appliance.errors import AudioTooShort, CorruptAudio, NoAudioStream, UnsupportedAudio

MP3_DELAY_SAMPLES = 1105  # 576 of LAME's encoder, 528 + 1 of every decoder (LAME's technical FAQ)
MAX_GAP_SECONDS = 3600  # a longer jump in the time stamps is a damaged stamp, not lost audio
MAX_PADDING_SAMPLES = 4096  # an encoder pads its last frame and no more
MAX_ERRORS_IN_A_ROW = 1000
ALMOST_ALL = 0.9  # of a packet; a gap that is shorter comes from time stamps that are not exact

_DEMUXERS = {"mp4": "mov", "webm": "matroska"}
_CODECS = {"mp3", "mp3float", "aac", "alac", "flac", "opus", "libopus", "vorbis"}
_CODECS |= {name for name in av.codecs_available if name.startswith("pcm_")}
SELF_FRAMED = ("mp3", "aac")  # containers without a clock: FFmpeg makes their time stamps by counting packets
_DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}.items()
}


@dataclass
class Frame:
    """One decoded frame and its place in time."""

    audio: av.AudioFrame
    packet_samples: float  # duration of its packet in samples; 0 if the packet states none
    stamp: float | None  # when it begins, in samples; None if it has no time stamp
    place: Place | None = None  # of the packet that begins with this frame
    is_missing: bool = False  # its data are missing or damaged; the coder made something of the rest


class Place(NamedTuple):
    """A packet's time stamp, where it lies in the file, and the counts after it was decoded."""

    pts: int
    byte: int
    nth: int  # of the packets at this byte
    good_bytes: int
    good_packets: int
    lost_frames: int


def open_packets(
    file: BinaryIO, container: str, points: SeekPoints | None = None
) -> tuple[AudioInfo, Iterator[np.ndarray], Damage, float | None]:
    """Open ``file`` as ``container`` and decode up to the first frame, which has the properties of the recording.

    Returns the info, an iterator of (num_samples, num_channels) float32 blocks of about a second, the damage that was
    met so far, and the duration in the header in seconds, None if the header has none.
    The points from which decoding can begin are added to ``points`` on the way.
    Raises CorruptAudio, NoAudioStream, UnsupportedAudio or AudioTooShort.
    """
    packets = Packets(file, container)
    source = packets.source
    try:
        packets.cut_out = CutOut(file) if container == "webm" else None
        frames = packets.frames()
        first = next(frames, None)
        if first is None:
            if packets.damage.num_places:
                raise CorruptAudio(f"The file looks like {container}, but no audio in it can be decoded.")
            raise AudioTooShort("The file holds no audio samples; at least 100 ms are needed.")
        rate_hz, num_channels = first.audio.sample_rate, first.audio.layout.nb_channels
        info = check_info(AudioInfo(container, packets.codec, rate_hz, num_channels))
    except BaseException:
        source.close()
        raise
    pieces = _trim(align(chain([first], frames), packets, rate_hz, points), packets, rate_hz, points)
    blocks = close_after(source, join_blocks(pieces, rate_hz))
    return info, blocks, packets.damage, packets.claimed_seconds


def open_container(file: BinaryIO, container: str) -> av.container.InputContainer:
    """Open a file with the demuxer of ``container`` alone. Raises CorruptAudio."""
    demuxer = _DEMUXERS.get(container, container)
    # FFmpeg decodes the first frames of every stream while it opens a file, pictures and subtitles too, and some
    # demuxers open other files. The lists keep it to this demuxer, to the codecs of audio, and to this file.
    options = {"format_whitelist": demuxer, "codec_whitelist": ",".join(sorted(_CODECS)), "protocol_whitelist": "none"}
    try:
        return av.open(file, format=demuxer, options=options, buffer_size=1 << 17, metadata_errors="replace")
    except av.FFmpegError as error:
        if container == "mp4":
            raise CorruptAudio(
                "The MP4 file cannot be read: its index is damaged, or missing because the file was cut off."
            ) from error
        raise CorruptAudio(f"The file looks like {container} but cannot be read: {error.strerror}.") from error


def close_after(source: av.container.InputContainer, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the blocks and then close the container they come from."""
    try:
        yield from blocks
    finally:
        source.close()


class Packets:
    """The first audio stream of a file. Decoding goes on after damage. The caller closes ``source``."""

    def __init__(self, file: BinaryIO, container: str) -> None:
        """Open the file. Raises CorruptAudio, NoAudioStream or UnsupportedAudio."""
        self._file = file
        self._whole = WholeFrames(file, container) if container in SELF_FRAMED else None
        self.container = container
        self.source = open_container(cast(BinaryIO, self._whole or file), container)
        try:
            self._choose_stream(self.source, container)
        except BaseException:
            self.source.close()
            raise
        self.metadata = {**self.source.metadata, **self.stream.metadata}
        self.seconds = float(self.stream.time_base)
        self.delay_is_stated = False
        self.cut_out: CutOut | None = None  # only of a whole file
        self.damage = Damage()
        self.good_bytes = self.good_packets = self.lost_frames = 0
        self._byte: int | None = None
        self._bytes = deque[int](maxlen=3)  # where the last packets begin, if not together
        self._nth = 0
        self._num_damaged = 0  # bytes between frames so far
        self._places_before = 0  # num_places of the damage at the last gap

    def _choose_stream(self, source: av.container.InputContainer, container: str) -> None:
        if not source.streams.audio:
            kinds = " and ".join(sorted({stream.type for stream in source.streams}))
            if not kinds:
                raise CorruptAudio(f"The file looks like {container}, but its index is damaged.")
            raise NoAudioStream(f"The {container} file holds no audio, only {kinds}.")
        self.stream = source.streams.audio[0]
        context = self.stream.codec_context
        name = context.name if context else "unknown"
        if name not in _CODECS:
            raise UnsupportedAudio(f"The audio in the {container} file is {name}, which is not supported.")
        context.thread_count = 1
        if name == "flac":
            context.options = {"err_detect": "crccheck+explode"}  # a frame whose checksum is wrong is not decoded
        if container == "ogg" and name == "vorbis":
            # If all audio is in one page, FFmpeg miscounts by a block and cuts too much or nothing; see _stated_end.
            context.flags2 |= Flags2.skip_manual
        for other in source.streams:
            if other is not self.stream:
                other.discard = Discard.all
        self.codec = name.removesuffix("float").removeprefix("lib")

    @property
    def claimed_seconds(self) -> float | None:
        """The duration in the header. For raw AAC FFmpeg guesses from the first frames, which can be far off."""
        return self.source.duration / av.time_base if self.source.duration and self.container != "aac" else None

    def lose(self, position: int, num_samples: int, audio: av.AudioFrame) -> None:
        """Note that the time stamps skip audio before a frame. ``position`` is counted with the encoder's delay."""
        num_lost = self._num_lost(num_samples, audio)
        if num_lost:
            self.damage.lose(position + num_samples - num_lost, num_lost)
        self._places_before = self.damage.num_places

    def note_frame(self, frame: Frame, position: int, num_samples: int) -> None:
        """Note a frame that was decoded without its data."""
        if frame.is_missing:
            self.damage.lose(position, num_samples)

    def _num_lost(self, num_samples: int, audio: av.AudioFrame) -> int:
        """Return how many samples at the end of a gap in the time stamps are missing; the others are a pause."""
        if self.codec == "opus" and num_samples < ALMOST_ALL * audio.samples:
            return 0  # a recording that is joined to another one begins with a delay, shorter than a packet
        if self.container != "webm" or self.damage.num_places > self._places_before:
            return num_samples
        if self.codec != "opus":
            return num_samples if num_samples >= ALMOST_ALL * audio.samples else 0
        # The decoder gives a packet's audio with the next packet.
        blocks = list(pairwise(self._bytes))
        if not all(is_readable_between(self._file, *pair) for pair in blocks):
            return num_samples
        cut_out = max((self.cut_out.before(after, block) for block, after in blocks), default=0) if self.cut_out else 0
        return round(min(num_samples, cut_out * self.seconds * audio.sample_rate))

    def frames(self) -> Iterator[Frame]:
        """Yield every frame that can be decoded, at a time that counts the frames that cannot."""
        for packet in self._demuxed():
            self._locate(packet.pos)
            is_missing = bool(self._whole and packet.pos is not None and self._whole.is_missing(packet.pos))
            if not self.good_packets:
                self.delay_is_stated = self.delay_is_stated or _skips_samples(packet)
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                self.damage.num_places += 1
                continue
            if decoded and packet.size:
                self.good_packets += 1
                self.good_bytes += packet.size
            place: Place | None = self._place_of(packet)
            for audio in decoded:
                rate = audio.sample_rate
                stamp = None
                if audio.pts is not None:
                    stamp = audio.pts * self.seconds * rate + self.lost_frames * audio.samples
                yield Frame(audio, (packet.duration or 0) * self.seconds * rate, stamp, place, is_missing)
                place = None

    def _locate(self, byte: int | None) -> None:
        """Note where in the file a packet begins, and what was left out before it."""
        if self._whole and byte is not None:
            skip = self._whole.skip_before(byte)
            byte += skip.num_bytes
            num_damaged = skip.num_damaged - self._num_damaged
            self.lost_frames += round(num_damaged * self.good_packets / max(1, self.good_bytes))
            self._num_damaged = skip.num_damaged
        self._nth = self._nth + 1 if byte == self._byte else 0
        if byte is not None and byte != self._byte:
            self._bytes.append(byte)
        self._byte = byte

    def _place_of(self, packet: av.Packet) -> Place | None:
        if packet.pts is None or self._byte is None:
            return None
        return Place(packet.pts, self._byte, self._nth, self.good_bytes, self.good_packets, self.lost_frames)

    def _demuxed(self) -> Iterator[av.Packet]:
        errors_in_a_row = 0
        while errors_in_a_row < MAX_ERRORS_IN_A_ROW:
            try:
                for packet in self.source.demux(self.stream):
                    errors_in_a_row = 0
                    yield packet
                return
            except av.FFmpegError as error:
                if self.container == "ogg" and isinstance(error, av.PatchWelcomeError):
                    raise UnsupportedAudio("The sample rate or the channels change within the OGG file.") from error
                errors_in_a_row += 1
                self.damage.num_places += 1


def _skips_samples(packet: av.Packet) -> bool:
    return any(data.data_type == "skip_samples" for data in packet.iter_sidedata())


def align(
    frames: Iterable[Frame],
    packets: Packets,
    rate_hz: int,
    points: SeekPoints | None = None,
    *,
    origin: float | None = None,
    position: int = 0,
) -> Iterator[np.ndarray]:
    """Yield (num_channels, num_samples) float32 of each frame, with silence for the audio lost between frames.

    Time stamps are rounded (to 1 ms in WebM) and guessed between Ogg pages, so only a jump counts. ``position`` is the
    number of samples before the first frame, ``origin`` the stamp of sample 0. Now and then a point is added to
    ``points``.
    """
    tolerance = rate_hz * (0.025 if packets.codec == "vorbis" else 0.005)
    samples_at_other_rate = 0
    for frame, is_last in _with_last(frames):
        if frame.stamp is not None:
            origin = frame.stamp if origin is None else origin
            gap = round(frame.stamp - origin - position)
            if tolerance < gap <= MAX_GAP_SECONDS * rate_hz:
                packets.lose(position, gap, frame.audio)
                position += gap
                yield from _silence(gap, frame.audio.layout.nb_channels, rate_hz)
            elif abs(gap) > tolerance:
                origin = frame.stamp - position
        if points is not None and frame.place and frame.audio.sample_rate == rate_hz:
            points.note(position, rate_hz, origin, frame.stamp, frame.place)
        samples = _samples(frame.audio, rate_hz)
        is_other_rate = frame.audio.sample_rate != rate_hz
        samples_at_other_rate = samples_at_other_rate + samples.shape[1] if is_other_rate else 0
        if samples_at_other_rate > rate_hz:
            raise UnsupportedAudio(
                f"The sample rate changes within the recording, from {rate_hz} to {frame.audio.sample_rate} Hz."
            )
        if is_last and packets.container == "mp4" and frame.packet_samples:
            samples = samples[:, : round(frame.packet_samples)]
        packets.note_frame(frame, position, samples.shape[1])
        position += samples.shape[1]
        yield samples


def _with_last(frames: Iterable[Frame]) -> Iterator[tuple[Frame, bool]]:
    previous = None
    for frame in frames:
        if previous:
            yield previous, False
        previous = frame
    if previous:
        yield previous, True


def _silence(num_samples: int, num_channels: int, rate_hz: int) -> Iterator[np.ndarray]:
    for start in range(0, num_samples, rate_hz):
        yield np.zeros((num_channels, min(rate_hz, num_samples - start)), np.float32)


def _samples(audio: av.AudioFrame, rate_hz: int) -> np.ndarray:
    """Return (num_channels, num_samples) float32 with full scale 1.

    A single frame at another rate than the recording's is damage; it becomes silence of its length.
    """
    num_channels = audio.layout.nb_channels
    if audio.sample_rate != rate_hz or num_channels > MAX_CHANNELS:
        return np.zeros((1, round(audio.samples * rate_hz / audio.sample_rate)), np.float32)
    dtype = _DTYPES[audio.format.name.removesuffix("p")]
    # PyAV's to_ndarray is not used: in 18.1 it sees nine planes in eight channels, and crashes.
    if audio.format.is_planar:
        samples = np.empty((num_channels, audio.samples), dtype)
        for row, plane in zip(samples, audio.planes, strict=False):
            row[:] = np.frombuffer(plane, dtype, audio.samples)
    else:
        samples = np.frombuffer(audio.planes[0], dtype, audio.samples * num_channels).reshape(-1, num_channels).T
    if dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    floats = samples.astype(np.float32)
    full_scale = 2.0 ** (8 * dtype.itemsize - 1)
    if dtype.kind == "u":
        floats -= np.float32(full_scale)
    floats *= np.float32(1 / full_scale)
    return floats


def _trim(
    pieces: Iterable[np.ndarray], packets: Packets, rate_hz: int, points: SeekPoints | None
) -> Iterator[np.ndarray]:
    """Drop the encoder's delay if the file does not state it, and the padding after the end that the file states."""
    first = next(iter(pieces), None)
    if first is None:
        return
    delay = packets.damage.delay = _unstated_delay(packets, first.shape[1])
    if points is not None:
        points.delay = delay
    end = _stated_end(packets, rate_hz)
    position = -delay
    padding: list[np.ndarray] = []
    for piece in chain([first], pieces):
        start, position = position, position + piece.shape[1]
        piece = piece[:, max(0, -start) :]
        start = max(0, start)
        if end is None or position <= end:
            yield piece
            continue
        yield piece[:, : max(0, end - start)]
        padding.append(piece[:, max(0, end - start) :])
        if position > end + MAX_PADDING_SAMPLES:
            end = None  # this is more than padding: the stated end is wrong
            yield from padding


def _unstated_delay(packets: Packets, first_frame_samples: int) -> int:
    """Return the number of samples of delay that FFmpeg has not removed."""
    if packets.container == "ogg" and packets.codec == "vorbis":
        return first_frame_samples  # half an overlap; FFmpeg drops it only if FFmpeg does the trimming
    if packets.delay_is_stated:
        return 0
    return {"mp3": MP3_DELAY_SAMPLES, "aac": first_frame_samples}.get(packets.codec, 0)


def _stated_end(packets: Packets, rate_hz: int) -> int | None:
    """Return the length in samples by Ogg's last page or MP4's iTunes tag or edit list, None if none states it."""
    stream = packets.stream
    if packets.container == "ogg" and packets.codec == "vorbis":
        return stream.duration
    if packets.container != "mp4":
        return None
    tag = packets.metadata.get("iTunSMPB", "").split()
    if len(tag) > 3:
        with suppress(ValueError):
            return int(tag[3], 16)
    if not stream.duration or not packets.delay_is_stated:
        return None
    # An edit list counts in the movie's clock, usually in milliseconds.
    return int(stream.duration * float(stream.time_base) * rate_hz) + rate_hz // 1000


def join_blocks(pieces: Iterable[np.ndarray], rate_hz: int) -> Iterator[np.ndarray]:
    """Join (num_channels, num_samples) pieces into (num_samples, num_channels) blocks of a second or a little more."""
    waiting: list[np.ndarray] = []
    num_waiting = 0
    for piece in pieces:
        if waiting and piece.shape[0] != waiting[0].shape[0]:
            yield np.concatenate(waiting, axis=1).T
            waiting, num_waiting = [], 0
        waiting.append(piece)
        num_waiting += piece.shape[1]
        if num_waiting >= rate_hz:
            yield np.concatenate(waiting, axis=1).T
            waiting, num_waiting = [], 0
    if num_waiting:
        yield np.concatenate(waiting, axis=1).T
