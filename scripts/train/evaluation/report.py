"""The tables of an evaluation, as markdown that reads well as plain text too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from evaluation import intervals
from evaluation.labels import LABELS
from evaluation.scoring import (
    ScoredFile,
    by_label,
    by_mechanism,
    calibration_error,
    false_alarms_per_hour,
    grouped,
    hours,
    macro_f1,
    onset_errors,
    total,
)

REAL_GROUPS = ("stream", "overload")


def table(header: list[str], rows: Iterable[Iterable[object]]) -> str:
    cells = [header, *[[_cell(value) for value in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = [
        "| " + " | ".join(v.ljust(w) if c == 0 else v.rjust(w) for c, (v, w) in enumerate(zip(r, widths, strict=True)))
        + " |"
        for r in cells
    ]  # fmt: skip
    rule = "|" + "|".join("-" * (w + 2) if c == 0 else "-" * (w + 1) + ":" for c, w in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _rate(files: list[ScoredFile], labels: Sequence[str] = LABELS) -> str:
    low, high = intervals.interval(files, intervals.alarms_per_hour, labels)
    return f"{false_alarms_per_hour(files, labels):.1f} ({low:.1f}–{high:.1f})"


def _f1(files: list[ScoredFile], labels: Sequence[str] = LABELS) -> str:
    low, high = intervals.interval(files, intervals.f1, labels)
    return f"{total(files, labels).f1:.2f} ({low:.2f}–{high:.2f})"


def _macro_f1(files: list[ScoredFile]) -> str:
    low, high = intervals.interval(files, intervals.macro_f1)
    return f"{macro_f1(files):.2f} ({low:.2f}–{high:.2f})"


def _split(files: list[ScoredFile]) -> tuple[list[ScoredFile], list[ScoredFile], list[ScoredFile]]:
    """Faulty clips, clean recordings, and the faulty clips that a real mechanism damaged."""
    faulty = [scored for scored in files if scored.entry["kind"] == "faulty"]
    clean = [scored for scored in files if scored.entry["kind"] == "clean"]
    return faulty, clean, [scored for scored in faulty if scored.entry["group"] in REAL_GROUPS]


def headline(name: str, files: list[ScoredFile]) -> dict[str, object]:
    faulty, clean, real = _split(files)
    error, _bins = calibration_error(files)
    unsure_of_nothing = all(d.confidence == 1.0 for scored in files for d in scored.detections)
    return {
        "detector": name,
        "macro-F1": _macro_f1(faulty),
        "lowest label F1": min(counts.f1 for counts in by_label(faulty).values()),
        "micro-F1": _f1(faulty),
        "real mechanisms micro-F1": _f1(real),
        "false alarms / h": _rate(clean),
        "calibration error": "–" if unsure_of_nothing else f"{error:.3f}",
    }


def summary(results: dict[str, list[ScoredFile]]) -> str:
    rows = [headline(name, files) for name, files in results.items()]
    return table(list(rows[0]), [row.values() for row in rows])


def the_set(files: list[ScoredFile]) -> str:
    faulty, clean, real = _split(files)
    ignored = hours([scored for scored in clean if "clipping" in scored.entry["unsure"]])
    return (
        f"{len(faulty)} faulty clips ({hours(faulty):.2f} h, {sum(len(f.events) for f in faulty)} events; "
        f"{len(real)} clips by real mechanisms) and {len(clean)} clean recordings ({hours(clean):.2f} h; "
        f"{ignored:.2f} h of them hold overloaded masters, where `clipping` counts neither way). In brackets: 95 % "
        f"intervals, bootstrap over the {len({intervals.unit_of(scored) for scored in files})} recordings."
    )


def label_table(files: list[ScoredFile]) -> str:
    """P, R and F1 on faulty clips, with the onset error of what was found; false alarms on clean recordings."""
    faulty, clean, _real = _split(files)
    rows = []
    for name, labels in [*((label, [label]) for label in LABELS), ("all (micro)", list(LABELS))]:
        c, errors = total(faulty, labels), onset_errors(faulty, labels)
        onset = " / ".join(f"{1000 * np.quantile(errors, q):.0f}" for q in (0.5, 0.9)) if errors else "–"
        rows.append((name, c.hits + c.misses, c.precision, c.recall, _f1(faulty, labels), _rate(clean, labels), onset))
    header = ["label", "events", "precision", "recall", "F1", "false alarms / h", "onset error in ms, median / 90 %"]
    return table(header, rows)


def mechanism_table(files: list[ScoredFile]) -> str:
    rows = []
    for mechanism, row in by_mechanism(files).items():
        instead = {what: count for what, count in row.items() if what not in ("events", "found")}
        words = ", ".join(f"{what} {count}" for what, count in sorted(instead.items(), key=lambda item: -item[1]))
        low, high = intervals.interval(files, intervals.recall, mechanism=mechanism)
        recall = f"{row['found'] / row['events']:.2f} ({low:.2f}–{high:.2f})"
        rows.append((mechanism, row["events"], recall, words or "–"))
    return table(["mechanism", "events", "recall", "the others were"], rows)


def real_table(files: list[ScoredFile]) -> str:
    _faulty, _clean, real = _split(files)
    groups = grouped(real, lambda scored: scored.events[0].mechanism)
    rows = [(name, len(part), (c := total(part)).precision, c.recall, _f1(part)) for name, part in groups.items()]
    return table(["real mechanism", "clips", "precision", "recall", "F1"], rows)


def _padded(key: str, scored: ScoredFile) -> str:
    """Return a value of the entry, padded so that rates sort as numbers."""
    return f"{scored.entry[key]:>6}"


def format_table(files: list[ScoredFile]) -> str:
    faulty, clean, _real = _split(files)
    rows = []
    for what in ("container", "rate_hz", "package"):
        groups = grouped(files, partial(_padded, what))
        for name, part in groups.items():
            ill = [scored for scored in part if scored in faulty]
            well = [scored for scored in part if scored in clean]
            alarms = _rate(well) if well else "–"
            rows.append((name.strip(), len(ill), (c := total(ill)).precision, c.recall, _f1(ill), alarms))
    return table(["container, rate in Hz, source", "clips", "precision", "recall", "F1", "false alarms / h"], rows)


def clean_table(files: list[ScoredFile]) -> str:
    _faulty, clean, _real = _split(files)
    groups = grouped(clean, lambda scored: scored.entry["group"])
    groups |= grouped(clean, lambda scored: scored.entry["package"])
    rows = [
        (name, f"{hours(part) * 60:.1f}", _rate(part),
         ", ".join(f"{label} {n}" for label in LABELS if (n := total(part, [label]).alarms)) or "–")
        for name, part in groups.items()
    ]  # fmt: skip
    return table(["clean recordings", "minutes", "false alarms / h", "which"], rows)


def calibration_table(files: list[ScoredFile]) -> str:
    _error, bins = calibration_error(files)
    return table(["mean confidence", "share right", "detections"], bins)


def full_report(name: str, results: dict[str, list[ScoredFile]]) -> str:
    """results : scored files by detector; the tables after the first are those of ``name``."""
    files = results[name]
    failed = [f"`{f.entry['file']}`: {f.error}" for part in results.values() for f in part if f.error]
    parts = [
        the_set(files), summary(results),
        f"Of {name}, by label (precision, recall and F1 on faulty clips, false alarms on clean recordings):",
        label_table(files),
        f"Of {name}, by what damaged the stream:", real_table(files),
        f"Of {name}, by mechanism:", mechanism_table(files),
        f"Of {name}, by container, rate and source:", format_table(files),
        f"Of {name}, on clean recordings:", clean_table(files),
    ]  # fmt: skip
    for other, part in results.items():
        if other != name:
            parts += [f"Of {other}, by label:", label_table(part)]
    for with_confidence in [part_name for part_name in results if not part_name.startswith("Essentia")]:
        parts += [f"Confidence of {with_confidence}, and how often it was right:"]
        parts += [calibration_table(results[with_confidence])]
    if failed:
        parts += ["Files without an answer:", "\n".join(failed)]
    return "\n\n".join(parts) + "\n"
