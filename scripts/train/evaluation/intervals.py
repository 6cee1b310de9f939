"""Confidence intervals: how far a figure moves if the recordings of the set are drawn again (bootstrap).

Clips of one recording are not independent, so recordings are drawn, with all their clips, and not clips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from evaluation.labels import LABELS
from evaluation.scoring import ScoredFile

NUM_DRAWS = 1000
LOW, HIGH = 2.5, 97.5  # percentiles: an interval of 95 %

FOUND, MISSED, FALSE, HOURS = range(4)
Figure = Callable[[np.ndarray], np.ndarray]  # sums (draws, labels, 4) to (draws,)


def f1(sums: np.ndarray) -> np.ndarray:
    """Return F1 over all labels together."""
    return _f1(sums.sum(1))


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """Return the mean of the labels' F1."""
    return np.mean(_f1(sums), axis=1)


def recall(sums: np.ndarray) -> np.ndarray:
    """Return recall over all labels together."""
    found, missed = (sums[:, :, kind].sum(1) for kind in (FOUND, MISSED))
    return found / np.maximum(1, found + missed)


def alarms_per_hour(sums: np.ndarray) -> np.ndarray:
    """Return the false detections per hour. Every label has the hours of all files."""
    return sums[:, :, FALSE].sum(1) / np.maximum(1e-9, sums[:, 0, HOURS])


def _f1(sums: np.ndarray) -> np.ndarray:
    found, missed, false = (sums[..., kind] for kind in (FOUND, MISSED, FALSE))
    return 2 * found / np.maximum(1, 2 * found + missed + false)


def unit_of(scored: ScoredFile) -> tuple[str, str]:
    """Return the recording that a file is cut from: the package and the first name."""
    return scored.entry["package"], scored.entry["source"][0]


def interval(
    files: Sequence[ScoredFile], figure: Figure, labels: Sequence[str] = LABELS, mechanism: str | None = None
) -> tuple[float, float]:
    """Return the 95 % interval of a figure of these files. With ``mechanism`` only its events count, and no alarms."""
    if not files:
        return 0.0, 0.0
    units = sorted({unit_of(scored) for scored in files})
    places = {unit: place for place, unit in enumerate(units)}
    by_unit = np.zeros((len(units), len(labels), 4))
    for scored in files:
        row = by_unit[places[unit_of(scored)]]
        row[:, HOURS] += scored.entry["duration_seconds"] / 3600
        for column, label in enumerate(labels):
            if mechanism is None:
                counts = scored.counts[label]
                row[column, :HOURS] += counts.hits, counts.misses, counts.alarms
            else:
                for event, ok in zip(scored.events, scored.found, strict=True):
                    row[column, FOUND if ok else MISSED] += (event.label, event.mechanism) == (label, mechanism)
    draws = np.random.default_rng(0).multinomial(len(units), np.full(len(units), 1 / len(units)), NUM_DRAWS)
    sums = np.tensordot(draws, by_unit, 1)
    low, high = np.percentile(figure(sums), [LOW, HIGH])
    return float(low), float(high)
