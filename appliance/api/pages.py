"""Pages of lists: by cursor (``limit``, ``cursor``), or by number (``page``, ``page_size``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from appliance.api.cursors import make_cursor, read_cursor
from appliance.api.schemas import NumberedPage
from appliance.errors import InvalidRequest


@dataclass(frozen=True)
class Window:
    """The part of a list that a client asked for: ``limit`` rows past a sequence, or past the first ``offset`` rows."""

    limit: int
    place: int | None = None
    offset: int = 0
    number: int | None = None  # None unless the client asked by number


def read_page(query: NumberedPage) -> Window:
    """Return the part of the list that a query means. Raises InvalidRequest if it mixes both ways to ask."""
    if query.page is None and query.page_size is None:
        return Window(query.limit, place=read_cursor(query.cursor))
    if query.model_fields_set & {"limit", "cursor"}:
        raise InvalidRequest("page and page_size cannot be combined with limit and cursor.")
    return numbered(query.page, query.page_size)


def numbered(page: int | None, page_size: int | None) -> Window:
    """Return the rows of a numbered page."""
    number, size = page or 1, page_size or 50
    return Window(size, offset=(number - 1) * size, number=number)


def page_numbers(window: Window, count: Callable[[], int]) -> dict[str, int | None]:
    """Return the keys of a numbered page; they are null, and nothing is counted, if it was asked for by cursor."""
    if window.number is None:
        return {"total": None, "page": None, "page_size": None}
    return {"total": count(), "page": window.number, "page_size": window.limit}


def page_answer(
    names: tuple[str, ...],
    rows: list[dict[str, Any]],
    window: Window,
    next_place: int | None,
    count: Callable[[], int],
) -> dict[str, Any]:
    """Return the JSON of a page: the rows under each of ``names``, the next cursor and the numbers.

    ``count`` returns the rows of the whole list. ``next_place`` is the sequence past which the next page starts.
    """
    return dict.fromkeys(names, rows) | {"next_cursor": make_cursor(next_place)} | page_numbers(window, count)
