"""Stretches of time as sorted pairs that do not touch: their union, what is left of them, and their length."""

from __future__ import annotations

from collections.abc import Iterable

Interval = tuple[int, int]  # [start_ms, end_ms)


def union(stretches: Iterable[Interval]) -> list[Interval]:
    """Return the same time as intervals in order, none of which touch."""
    joined: list[Interval] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def without(stretches: Iterable[Interval], removed: Iterable[Interval]) -> list[Interval]:
    """Return what is left of ``stretches``."""
    left, gaps, first = [], union(removed), 0
    for start, end in union(stretches):
        while first < len(gaps) and gaps[first][1] <= start:
            first += 1
        place = first
        while place < len(gaps) and gaps[place][0] < end:
            if gaps[place][0] > start:
                left.append((start, gaps[place][0]))
            start, place = max(start, gaps[place][1]), place + 1
        if start < end:
            left.append((start, end))
    return left


def total_ms(stretches: Iterable[Interval]) -> int:
    """Return how long all of them last together."""
    return sum(end - start for start, end in union(stretches))
