"""What a file is, by its first bytes: never by its name, and never by asking every demuxer there is.

FFmpeg's own guess would let a stranger reach playlists, image sequences and other demuxers that open further files.
So the container is named here, and FFmpeg is told to use that demuxer alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from appliance.errors import CorruptAudio, EmptyFile, UnsupportedAudio

MIN_SAMPLE_RATE_HZ = 8_000
MAX_SAMPLE_RATE_HZ = 192_000
MAX_CHANNELS = 8

SCANNED_BYTES = 256 * 1024  # how far into a file the first MP3 or ADTS frame is looked for

_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"pnot", b"sidx", b"uuid")
_FOREIGN = {
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
    """What a recording is made of, as found in its bytes."""

    container: str
    codec: str
    sample_rate_hz: int
    num_channels: int


def checked(info: AudioInfo) -> AudioInfo:
    """Return ``info``, or raise UnsupportedAudio where its sample rate or its channels are out of range."""
    if not MIN_SAMPLE_RATE_HZ <= info.sample_rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise UnsupportedAudio(
            f"The sample rate is {info.sample_rate_hz} Hz; "
            f"{MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz can be analysed."
        )
    if not 1 <= info.num_channels <= MAX_CHANNELS:
        raise UnsupportedAudio(f"The recording has {info.num_channels} channels; 1 to {MAX_CHANNELS} can be analysed.")
    return info


def container_of(file: BinaryIO) -> tuple[str, int]:
    """Name the container of a seekable file (wav, w64, flac, ogg, mp4, webm, mp3 or aac) and the byte it begins at.

    Looks past ID3v2 tags, zeros and junk in front of the first MP3 or ADTS frame.
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
    found = _by_frames(head)
    if found:
        return found[0], start + found[1]
    for magic, foreign in _FOREIGN.items():
        if head.startswith(magic):
            raise UnsupportedAudio(f"The file is {foreign}, which is none of WAV, MP3, MP4, OGG, FLAC, WebM and AAC.")
    raise CorruptAudio("The file is not a recording: none of WAV, MP3, MP4, OGG, FLAC, WebM and AAC begins like this.")


def _end_of_id3(file: BinaryIO) -> int:
    """Offset of the first byte after any ID3v2 tags at the start of the file."""
    start = 0
    while True:
        file.seek(start)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3" or any(byte & 0x80 for byte in tag[6:10]):
            return start
        size = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        start += 10 + size + (10 if tag[5] & 0x10 else 0)


def _by_magic(head: bytes) -> str | None:
    if head[:4] in (b"RIFF", b"RF64", b"RIFX", b"BW64"):
        if head[8:12] == b"WAVE":
            return "wav"
        if head[8:12] == b"AVI ":
            raise UnsupportedAudio("The file is AVI, which is none of WAV, MP3, MP4, OGG, FLAC, WebM and AAC.")
    if head[:16] == b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00":
        return "w64"
    if head[4:8] in _BOXES:
        return "mp4"
    magics = {b"fLaC": "flac", b"OggS": "ogg", b"\x1a\x45\xdf\xa3": "webm"}
    return magics.get(head[:4])


def _by_frames(head: bytes) -> tuple[str, int] | None:
    """``mp3`` or ``aac``, and where the first of three frames lies that follow one another as their headers say."""
    for offset in _sync_bytes(head):
        for name, length_of in (("aac", _adts_length), ("mp3", _mp3_length)):
            position = offset
            for _ in range(3):
                length = length_of(head[position : position + 6])
                position += length
                if not length or position >= len(head):
                    break
            else:
                return name, offset
            # A file of one or two whole frames is a recording too, if it starts and ends with them.
            if offset == 0 and length and position == len(head):
                return name, offset
    return None


def _sync_bytes(head: bytes) -> Iterator[int]:
    offset = head.find(b"\xff")
    while offset >= 0:
        yield offset
        offset = head.find(b"\xff", offset + 1)


def _adts_length(header: bytes) -> int:
    """Length in bytes of the ADTS frame that begins with these six bytes; 0 if none does."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length > 7 else 0


_KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),  # MPEG-1
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),  # MPEG-2 and 2.5
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _mp3_length(header: bytes) -> int:
    """Length in bytes of the MPEG layer III frame that begins with these bytes; 0 if none does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, rate_index = header[1] >> 3 & 3, header[2] >> 2 & 3
    if version not in _RATES_HZ or rate_index == 3:
        return 0
    bits_per_second = 1000 * _KBITS[version == 3][header[2] >> 4]
    samples_per_byte_rate = 144 if version == 3 else 72
    length = samples_per_byte_rate * bits_per_second // _RATES_HZ[version][rate_index]
    return length + (header[2] >> 1 & 1) if length else 0
