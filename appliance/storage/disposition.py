"""A client's file name as a Content-Disposition header (RFC 6266), whatever characters it contains."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

_LONGEST_NAME = 200
# The other characters of RFC 5987's attr-char; quote() itself keeps letters, digits and "_.-~".
_PLAIN = "!#$&+^`|"


def content_disposition(filename: str) -> str:
    """Return ``attachment`` with the name in ASCII for old clients and, if that differs, in UTF-8 for all others."""
    name = _printable(filename)
    decomposed = unicodedata.normalize("NFKD", name)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c))
    # Some browsers decode "%". Quotes and backslashes end or escape the quoted string.
    ascii_name = "".join(c if c.isascii() and c not in '"\\%;' else "_" for c in plain)
    header = f'attachment; filename="{ascii_name}"'
    return header if ascii_name == name else f"{header}; filename*=UTF-8''{quote(name, safe=_PLAIN)}"


def _printable(filename: str) -> str:
    """Return the name without folders, control and direction characters, cut to a length that file systems take."""
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    name = "".join(c for c in name if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}).strip()
    if len(name) > _LONGEST_NAME:
        stem, dot, suffix = name.rpartition(".")
        name = f"{stem[: _LONGEST_NAME - 20]}{dot}{suffix[:19]}" if dot else name[:_LONGEST_NAME]
    return name if name.strip(".") else "download"
