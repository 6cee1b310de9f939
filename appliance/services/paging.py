"""Pages of a list that is read in the order of its rows, newest first or oldest first."""

from __future__ import annotations

from typing import Protocol, TypeVar


class Sequenced(Protocol):
    """A row with a place in its list."""

    @property
    def sequence(self) -> int:
        """Its place: newer rows have larger numbers."""
        ...


R = TypeVar("R", bound=Sequenced)


def split_page(rows: list[R], limit: int) -> tuple[list[R], int | None]:
    """Split up to ``limit + 1`` rows into a page and the sequence of its last row, past which the next page starts.

    The sequence is None if there is no next page.
    """
    page = rows[:limit]
    return page, page[-1].sequence if len(rows) > limit else None
