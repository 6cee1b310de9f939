"""Scores held-out recordings once: through the exported graph, the product's windows and its merging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from appliance.engine.decode.decoder import Decoder
from appliance.engine.models.manifest import Manifest
from appliance.engine.models.session import Parallel, Session
from appliance.engine.models.store import StoredModel
from appliance.engine.scoring.detector import analyse
from appliance.engine.scoring.events import Detection, DetectionConfig, DetectionFinder, rules_of
from appliance.engine.scoring.levels import Levels
from appliance.engine.scoring.scorer import Scorer
from appliance.engine.training.figures import calibration_error
from appliance.engine.training.judge import Tally, f1_interval, tally, total
from appliance.engine.training.limits import WARN_CLEAN_SECONDS, WARN_EVENTS
from appliance.engine.training.request import TrainingRecording, TrainingRequest
from appliance.engine.training.split import Split
from appliance.errors import AudioError

LOW_CONFIDENCE = 0.2  # from here on, confidences are compared with how often they are right
USABLE_F1 = 0.5

Tallies = dict[str, dict[str, Tally]]  # by label and group


class Kept:
    """Keeps a recording's levels, to detect in them again with another threshold."""

    def __init__(self, manifest: Manifest) -> None:
        self._rules = rules_of(manifest)
        self.pieces: list[Levels] = []
        self.losses_ms: Sequence[tuple[float, float]] = ()  # no label of a training comes from them

    def add(self, piece: Levels) -> None:
        """Add the next segments."""
        self.pieces.append(piece)

    def detections(self, config: DetectionConfig) -> list[Detection]:
        """Return what a job with these settings would report."""
        finder = DetectionFinder(self._rules, config)
        for piece in self.pieces:
            finder.add(piece)
        return finder.finish()


def evaluate(
    model: StoredModel,
    labels: Sequence[str],
    recordings: Sequence[TrainingRecording],
    decoder: Decoder,
    checkpoint: Callable[[float], None],
) -> tuple[Tallies, Tallies]:
    """Return the tallies by label and group, by the model's own rules, and with a low threshold for the confidences.

    ``checkpoint`` gets the share that is done and may raise. Raises AudioError.
    """
    tallies: Tallies = {label: {} for label in labels}
    low: Tallies = {label: {} for label in labels}
    for recording, detections, kept in scored(model, recordings, decoder, checkpoint):
        unsure = kept.detections(DetectionConfig(threshold=LOW_CONFIDENCE))
        for label in labels:
            for sums, heard in ((tallies, detections), (low, unsure)):
                mine = [d for d in heard if d.artifact_type == label]
                groups = sums[label]
                groups[recording.group] = groups.get(recording.group, Tally()) + tally(recording, label, mine)
    return tallies, low


def scored(
    model: StoredModel,
    recordings: Sequence[TrainingRecording],
    decoder: Decoder,
    checkpoint: Callable[[float], None],
) -> Iterator[tuple[TrainingRecording, list[Detection], Kept]]:
    """Yield each recording with its detections and levels, as every job would get them. See ``evaluate``."""
    with Scorer(Session(model, "cpu", how=Parallel(1, 1))) as scorer:
        for number, recording in enumerate(recordings):
            kept = Kept(model.scoring)
            at = partial(_at, checkpoint, number / len(recordings))
            with recording.read() as file:
                try:
                    detections = analyse(file, decoder, scorer, DetectionConfig(), at, kept).detections
                except AudioError as error:
                    raise type(error)(f"The recording {recording.id}: {error}") from error
            yield recording, detections, kept


def _at(checkpoint: Callable[[float], None], share: float, _: float) -> None:
    checkpoint(share)


def per_label(
    request: TrainingRequest, split: Split, tallies: Tallies, low: Tallies, thresholds: Iterable[float]
) -> list[dict[str, Any]]:
    """Return the figures of each label, for the report."""
    rows = []
    for label, threshold in zip(request.labels, thresholds, strict=True):
        counted = total([*tallies[label].values()])
        f1_low, f1_high = f1_interval(tallies[label], request.seed)
        row = {
            "label": label,
            "threshold": threshold,
            "fitted_events": _events(split.fit, label),
            "fitted_groups": _groups(split.fit, label),
            "held_out_events": _events(split.held_out, label),
            "held_out_groups": _groups(split.held_out, label),
            "hits": counted.hits,
            "misses": counted.misses,
            "false_alarms": counted.alarms,
            "precision": round(counted.precision, 4),
            "recall": round(counted.recall, 4),
            "f1": round(counted.f1, 4),
            "f1_interval": [round(f1_low, 4), round(f1_high, 4)],
            "reviewed_hours": round(counted.absent_ms / 3_600_000, 4),
            "false_alarms_per_hour": round(counted.alarms_per_hour, 3) if counted.absent_ms else None,
            "false_alarms_per_hour_at_most": round(counted.most_alarms_per_hour, 3) if counted.absent_ms else None,
            "calibration_error": round(calibration_error(total([*low[label].values()]).peaks), 4),
            "use": "detector" if counted.f1 >= USABLE_F1 else "search only",
        }
        rows.append(
            row | {"warnings": _warnings(row, counted, request.max_false_alarms_per_hour / len(request.labels))}
        )
    return rows


def _warnings(row: dict[str, Any], counted: Tally, most: float) -> list[str]:
    sentences = []
    if counted.alarms_per_hour > most:
        sentences.append(f"It had {counted.alarms_per_hour:.1f} false alarms per hour; its share is {most:g}.")
    if not counted.hits:
        sentences.append(
            f"It found nothing at {row['threshold']:g}, the threshold for its share of {most:g} false alarms per hour; "
            "jobs can use a lower one."
        )
    if row["fitted_events"] < WARN_EVENTS:
        sentences.append(f"{row['fitted_events']} events were fitted; {WARN_EVENTS} or more make a better detector.")
    if counted.absent_ms < 1000 * WARN_CLEAN_SECONDS:
        hours = counted.absent_ms / 3_600_000
        sentences.append(f"False alarms were counted in {hours:.2f} h; less than 3 h tell little of them.")
    return sentences


def _events(recordings: Iterable[TrainingRecording], label: str) -> int:
    return sum(event.label == label for recording in recordings for event in recording.events)


def _groups(recordings: Iterable[TrainingRecording], label: str) -> int:
    return len({r.group for r in recordings if any(event.label == label for event in r.events)})


def to_json(tallies: Tallies) -> dict[str, Any]:
    """Return tallies as JSON; ``from_json`` reads it."""
    return {label: {group: asdict(t) for group, t in groups.items()} for label, groups in tallies.items()}


def from_json(rows: dict[str, Any]) -> Tallies:
    """Return the tallies of ``to_json``."""
    return {
        label: {
            group: Tally(**t | {"peaks": [(confidence, right) for confidence, right in t["peaks"]]})
            for group, t in groups.items()
        }
        for label, groups in rows.items()
    }
