"""Pages: an opaque name for where the next one starts."""

from __future__ import annotations

import base64
import binascii

from appliance.errors import InvalidRequest


def make_cursor(before: int | None) -> str | None:
    """An opaque name for where the next page starts."""
    return None if before is None else base64.urlsafe_b64encode(f"before:{before}".encode()).decode()


def read_cursor(cursor: str | None) -> int | None:
    """Where a page starts. Raises InvalidRequest for a cursor that was not given out."""
    if cursor is None:
        return None
    try:
        kind, _, number = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(":")
        if kind == "before" and len(number) <= 18:
            return int(number)
    except (binascii.Error, ValueError):
        pass
    raise InvalidRequest("cursor: must be the next_cursor of an earlier page.")
