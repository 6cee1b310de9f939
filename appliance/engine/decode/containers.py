"""Identifies a file's container by its first bytes, never by its name and never by trying every demuxer.

If FFmpeg guessed, untrusted input could reach its demuxers for playlists and image sequences, which open further files.
So the container is identified here, and FFmpeg may use the demuxer of that container alone.

Frame headers are read as in ISO/IEC 11172-3 and 13818-3 (MP3) and 13818-7 (ADTS).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from appliance.errors import CorruptAudio, EmptyFile, UnsupportedAudio

MIN_SAMPLE_RATE_HZ = 8_000
MAX_SAMPLE_RATE_HZ = 192_000
MAX_CHANNELS = 8

SCANNED_BYTES = 256 * 1024  # the first MP3 or ADTS frame must begin within these
SUPPORTED = "WAV, MP3, MP4, OGG, FLAC, WebM and AAC"

_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"pnot", b"sidx", b"uuid")
_UNSUPPORTED = {
    b"FORM": "AIFF",
    b"caff": "CAF",
    b".snd": "AU",
    b"#!AMR": "AMR",
    b"\x0b\x77": "AC-3",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "Windows Media",
    b"FLV": "FLV",
    b"MThd": "MIDI",
    b"MAC ": "Monkey's Audio",
    b"wvpk": "WavPack",
    b"TTA1": "True Audio",
    b"MPCK": "Musepack",
    b"MP+": "Musepack",
    b"DSD ": "DSD",
    b"FRM8": "DSD",
    b"\x7f\xfe\x80\x01": "DTS",
    b".RMF": "RealMedia",
    b"\x00\x00\x01\xba": "MPEG program stream",
}


@dataclass(frozen=True)
class AudioInfo:
    """The properties of a recording, as read from its bytes."""

    container: str
    codec: str
    sample_rate_hz: int
    num_channels: int


def check_info(info: AudioInfo) -> AudioInfo:
    """Return ``info``. Raises UnsupportedAudio if its sample rate or its number of channels is out of range."""
    if not MIN_SAMPLE_RATE_HZ <= info.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise UnsupportedAudio(
            f"The sample rate is {info.sample_rate_hz} Hz; it must be {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz."
        )
    if not 1 <= info.num_channels <= MAX_CHANNELS:
        raise UnsupportedAudio(f"The recording has {info.num_channels} channels; it must have 1 to {MAX_CHANNELS}.")
    return info


def identify_container(file: BinaryIO) -> tuple[str, int]:
    """Return the container of a seekable file (wav, w64, flac, ogg, mp4, webm, mp3 or aac) and the byte it begins at.

    Skips ID3v2 tags, and zeros and junk in front of the first MP3 or ADTS frame.
    Raises EmptyFile, UnsupportedAudio for a format that is known but not decoded, CorruptAudio for anything else.
    """
    file.seek(0)
    if not file.read(1):
        raise EmptyFile("The file is empty.")
    start = _end_of_id3(file)
    file.seek(start)
    head = file.read(SCANNED_BYTES)
    name = _by_magic(head)
    if name:
        return name, start
    framed = _by_frames(head)
    if framed:
        return framed[0], start + framed[1]
    for magic, name in _UNSUPPORTED.items():
        if head.startswith(magic):
            raise _unsupported(name)
    raise CorruptAudio(f"The file is not a recording in a supported format; these are {SUPPORTED}.")


def _unsupported(name: str) -> UnsupportedAudio:
    return UnsupportedAudio(f"The file is {name}; supported formats are {SUPPORTED}.")


def _end_of_id3(file: BinaryIO) -> int:
    """Return the offset of the first byte after any ID3v2 tags at the start of the file."""
    start = 0
    while True:
        file.seek(start)
        length = id3_length(file.read(10))
        if not length:
            return start
        start += length


def id3_length(head: bytes) -> int:
    """Return the length in bytes of the ID3v2 tag that begins with these ten bytes, 0 if they begin none."""
    if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _by_magic(head: bytes) -> str | None:
    if head[:4] in (b"RIFF", b"RF64", b"RIFX", b"BW64"):
        if head[8:12] == b"WAVE":
            return "wav"
        if head[8:12] == b"AVI ":
            raise _unsupported("AVI")
    if head[:16] == b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00":
        return "w64"
    if head[4:8] in _BOXES:
        return "mp4"
    magics = {b"fLaC": "flac", b"OggS": "ogg", b"\x1a\x45\xdf\xa3": "webm"}
    return magics.get(head[:4])


def _by_frames(head: bytes) -> tuple[str, int] | None:
    """Return ``mp3`` or ``aac``, and the offset of the first of three frames whose lengths lead from one to the next.

    None if there are no such frames.
    """
    for offset in sync_bytes(head):
        for name, length_of in (("aac", adts_length), ("mp3", mp3_length)):
            position = offset
            for _ in range(3):
                length = length_of(head[position : position + 6])
                position += length
                if not length or position >= len(head):
                    break
            else:
                return name, offset
            # One or two frames that fill the whole file are a recording too.
            if offset == 0 and length and position == len(head):
                return name, offset
    return None


def sync_bytes(head: bytes, start: int = 0, end: int | None = None) -> Iterator[int]:
    """Yield where a frame may begin, from ``start`` up to before ``end``."""
    offset = head.find(b"\xff", start, end)
    while offset >= 0:
        yield offset
        offset = head.find(b"\xff", offset + 1, end)


def adts_length(header: bytes) -> int:
    """Return the length in bytes of the ADTS frame that begins with these six bytes, 0 if they begin none."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 else 0


_KILOBITS_PER_SECOND = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),  # MPEG-1
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),  # MPEG-2 and 2.5
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def mp3_length(header: bytes) -> int:
    """Return the length in bytes of the MPEG layer III frame that begins with these bytes, 0 if they begin none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, rate_index = header[1] >> 3 & 3, header[2] >> 2 & 3
    if version not in _RATES_HZ or rate_index == 3:
        return 0
    bits_per_second = 1000 * _KILOBITS_PER_SECOND[version == 3][header[2] >> 4]
    eighth_of_samples = 144 if version == 3 else 72  # a frame has 1,152 or 576 samples
    length = eighth_of_samples * bits_per_second // _RATES_HZ[version][rate_index]
    return length + (header[2] >> 1 & 1) if length else 0
