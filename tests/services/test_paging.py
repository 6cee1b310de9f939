"""Pages: every row once, and an end that is told from a full last page."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st

from appliance.services.paging import split_page


@dataclass(frozen=True)
class Row:
    """A row of a list."""

    sequence: int


def read(rows: list[Row], before: int | None, limit: int) -> list[Row]:
    """Rows of the list as a query returns them."""
    return [row for row in rows if before is None or row.sequence < before][:limit]


@given(st.sets(st.integers(1, 1000), max_size=20), st.integers(1, 21))
@example(set(), 1)
@example({1}, 1)
@example({1, 2}, 1)
@example({1, 2}, 2)
@example({1, 2, 3}, 2)
def test_pages_hold_every_row_once_in_order(sequences: set[int], limit: int) -> None:
    rows = [Row(sequence) for sequence in sorted(sequences, reverse=True)]
    pages: list[list[Row]] = []
    before: int | None = None
    while not pages or before is not None:
        page, before = split_page(read(rows, before, limit + 1), limit)
        pages.append(page)
    assert [row for page in pages for row in page] == rows
    assert all(len(page) == limit for page in pages[:-1])
    assert pages[-1] or not rows  # the last page is empty only if the whole list is
