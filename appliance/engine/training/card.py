"""The model card of a trained detector."""

from __future__ import annotations

from typing import Any

HEAD = "| label | events fitted / held out | F1 (95 %) | precision | recall | false alarms/h (at most) | ECE | use |"


def card(report: dict[str, Any], licence: str) -> str:
    """Return the card in Markdown."""
    split, controls = report["split"], report["controls"]
    lines = [
        f"# {report['model']}",
        "",
        f"A detector of {', '.join(report['labels'])}, trained on the features of {report['base_model']} "
        f"({report['mode']}). License: {licence}.",
        "",
        "## Measured on held-out recordings",
        "",
        "Once, through this graph, with the windows and the merging that every job uses. No group of recordings, "
        "and no copy of one, is on both sides.",
        "",
        HEAD,
        "|" + "---|" * (HEAD.count("|") - 1),
        *(_row(row) for row in report["per_label"]),
        "",
        *(f"- {row['label']}: {warning}" for row in report["per_label"] for warning in row["warnings"]),
        "",
        "## Data",
        "",
        *(
            f"- {side}: {split[key]['recordings']} recordings, {split[key]['groups']} groups, {split[key]['hours']} h"
            for side, key in (("Fitted", "fit"), ("Held out", "held_out"))
        ),
        f"- SHA-256 of the annotations and checksums: {report['data_sha256']}; seed {report['seed']}",
        "",
        "## Controls",
        "",
        f"- Fitted to labels at wrong times, F1 {controls['shuffled_f1']}: what chance gives.",
        f"- Largest difference between the trainer and this graph: {controls['graph_difference']:.1e}.",
    ]
    if controls["base_scores_identical"] is not None:
        lines.append(f"- Scores of the base model's labels identical: {controls['base_scores_identical']}.")
    return "\n".join(lines) + "\n"


def _row(row: dict[str, Any]) -> str:
    low, high = row["f1_interval"]
    alarms = "–"
    if row["false_alarms_per_hour"] is not None:
        alarms = f"{row['false_alarms_per_hour']} ({row['false_alarms_per_hour_at_most']})"
    cells = (
        row["label"].replace("|", "\\|"),
        f"{row['fitted_events']} / {row['held_out_events']}",
        f"{row['f1']} ({low}–{high})",
        row["precision"],
        row["recall"],
        alarms,
        row["calibration_error"],
        row["use"],
    )
    return "| " + " | ".join(map(str, cells)) + " |"
