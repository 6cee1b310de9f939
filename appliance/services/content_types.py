"""The seven audio types that clients may declare, and the other names that browsers give them."""

from __future__ import annotations

from appliance.errors import UnsupportedContentType

EXTENSIONS = {
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "audio/webm": ".webm",
    "audio/aac": ".aac",
}

ALIASES = {
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-pn-wav": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/mpeg3": "audio/mpeg",
    "audio/x-mpeg-3": "audio/mpeg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/mp4a-latm": "audio/mp4",
    "video/mp4": "audio/mp4",  # what the file names .mp4 and .webm mean to browsers and to Python's mimetypes
    "video/webm": "audio/webm",
    "audio/opus": "audio/ogg",
    "audio/vorbis": "audio/ogg",
    "audio/x-ogg": "audio/ogg",
    "application/ogg": "audio/ogg",
    "audio/x-flac": "audio/flac",
    "audio/aacp": "audio/aac",
    "audio/x-aac": "audio/aac",
    "audio/x-hx-aac-adts": "audio/aac",
}


def canonical_content_type(declared: str, field: str = "content_type") -> str:
    """Return the audio type that a declared type means, without parameters. Raises UnsupportedContentType."""
    essence = declared.partition(";")[0].strip().lower()
    content_type = ALIASES.get(essence, essence)
    if content_type not in EXTENSIONS:
        raise UnsupportedContentType(f"{field}: {declared!r} is not one of {', '.join(EXTENSIONS)}.")
    return content_type


def known_content_type(declared: str) -> str:
    """Return the audio type that a declared type means, or ``application/octet-stream`` for any other.

    For routes that accept every declared type but store only known ones.
    """
    try:
        return canonical_content_type(declared)
    except UnsupportedContentType:
        return "application/octet-stream"
