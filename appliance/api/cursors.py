"""Cursors: opaque names of the place at which a page starts."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import cast

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


def make_place(place: Sequence[float | int] | None) -> str | None:
    """Return an opaque name of a place in a list that is sorted by several numbers, None if there is no next page."""
    return None if place is None else base64.urlsafe_b64encode(json.dumps([*place]).encode()).decode()


def read_place(cursor: str | None, length: int) -> list[float | int] | None:
    """Return the numbers of a place. Raises InvalidRequest if the cursor is not of a list that is sorted so."""
    if cursor is None:
        return None
    try:
        place = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        if isinstance(place, list) and len(place) == length and all(map(_is_number, place)):
            return place
    except (binascii.Error, ValueError, RecursionError):
        pass
    raise InvalidRequest("cursor: must be the next_cursor of an earlier page with the same order.")


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(cast(float, value)) < 2**53
