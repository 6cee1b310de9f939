"""Figures, their targets, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Figure:
    """What was measured in one or more rounds. Its value is their median."""

    name: str
    values: list[float]
    target: str = ""  # "≥ 0.95", "≤ 40", or none

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the value is within the target; None without a target."""
        if not self.target:
            return None
        sign, limit = self.target.split()
        return self.value >= float(limit) if sign == "≥" else self.value <= float(limit)

    def row(self) -> str:
        """Return the row of the table."""
        verdict = {None: "", True: "yes", False: "no"}[self.reached]
        spread = f"{min(self.values):.3g} to {max(self.values):.3g}" if len(self.values) > 1 else ""
        return f"| {self.name} | {self.value:.3g} | {self.target} | {verdict} | {spread} |"


HEAD = "| figure | measured | target | reached | rounds |\n|---|---|---|---|---|"


@dataclass
class Rounds:
    """Collects the values of several rounds by name."""

    _figures: dict[str, Figure] = field(default_factory=dict)

    def add(self, name: str, value: float, target: str = "") -> None:
        """Add the value of a round."""
        self._figures.setdefault(name, Figure(name, [], target)).values.append(value)

    def __iter__(self) -> Iterator[Figure]:
        return iter(self._figures.values())


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value that ``share`` of the values do not exceed."""
    in_order = sorted(values)
    return in_order[min(len(in_order) - 1, int(share * len(in_order)))]
