"""Cursors: opaque names of the place at which a page starts."""

from __future__ import annotations

import base64
import binascii

from appliance.errors import InvalidRequest


def make_cursor(before: int | None) -> str | None:
    """Return an opaque name of the place at which the next page starts, None if there is no next page."""
    return None if before is None else base64.urlsafe_b64encode(f"before:{before}".encode()).decode()


def read_cursor(cursor: str | None) -> int | None:
    """Return the sequence before which a page starts. Raises InvalidRequest for an invalid cursor."""
    if cursor is None:
        return None
    try:
        kind, _, number = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(":")
        if kind == "before" and len(number) <= 18:
            return int(number)
    except (binascii.Error, ValueError):
        pass
    raise InvalidRequest("cursor: must be the next_cursor of an earlier page.")
