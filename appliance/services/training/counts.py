"""How much there is to learn a label from, and what is too little: the label and what it lacks, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.engine.training import limits
from appliance.engine.training.intervals import total_ms
from appliance.engine.training.split import negatives_of
from appliance.errors import AnnotationRefused
from appliance.services.datasets.annotations import Mark, check_contradictions
from appliance.services.training.snapshot import Heard
from appliance.text import counted


@dataclass(frozen=True)
class LabelCounts:
    """What there is of a label. A group counts if it has an event; ``held_out_…`` is 0 if the training chooses."""

    events: int
    groups: int
    held_out_events: int
    held_out_groups: int
    absents: int
    unsures: int
    clean_seconds: float  # reviewed, or absent by name, and without the label


def count(recordings: Sequence[Heard], label: str) -> LabelCounts:
    """Return what there is of a label."""
    with_events = [(r, [s for s in r.events if s.label == label]) for r in recordings]
    fitted = [(r, events) for r, events in with_events if events and not r.held_out]
    held_out = [(r, events) for r, events in with_events if events and r.held_out]
    return LabelCounts(
        events=sum(len(events) for _, events in fitted),
        groups=len({r.group for r, _ in fitted}),
        held_out_events=sum(len(events) for _, events in held_out),
        held_out_groups=len({r.group for r, _ in held_out}),
        absents=sum(s.label == label for r in recordings for s in r.absents),
        unsures=sum(s.label == label for r in recordings for s in r.unsures),
        clean_seconds=sum(total_ms(negatives_of(r, label)) for r in recordings) / 1000,
    )


def lacks(recordings: Sequence[Heard], labels: Iterable[str], least_clean_seconds: float) -> list[str]:
    """Return a sentence for each thing that a training with these labels lacks."""
    sentences = [sentence for recording in recordings for sentence in _invalid(recording)]
    if recordings and len({r.group for r in recordings}) == 1:
        sentences.append("dataset_ids: all recordings are of one group; a training needs several, to hold some out.")
    has_held_out = any(r.held_out is not None for r in recordings)
    for label in labels:
        counts = count(recordings, label)
        if not counts.events + counts.held_out_events:
            sentences.append(f"labels: {label!r} is in no annotation of these datasets.")
            continue
        events, groups = limits.MIN_EVENTS, limits.MIN_GROUPS
        if has_held_out:
            sentences += _below(
                label,
                "in the held-out datasets",
                counts.held_out_events,
                counts.held_out_groups,
                limits.MIN_HELD_OUT_EVENTS,
                limits.MIN_HELD_OUT_GROUPS,
            )
        else:
            events += limits.MIN_HELD_OUT_EVENTS
            groups += limits.MIN_HELD_OUT_GROUPS
        sentences += _below(
            label,
            "to learn from" if has_held_out else "to learn from and to hold out",
            counts.events,
            counts.groups,
            events,
            groups,
        )
        if not counts.clean_seconds:
            sentences.append(f"labels: {label!r} has no reviewed audio without it, to tell it from the rest.")
        elif counts.clean_seconds < least_clean_seconds:
            sentences.append(
                f"labels: {label!r} has {counts.clean_seconds / 60:.1f} minutes of reviewed audio without it; "
                f"{least_clean_seconds / 60:g} are needed."
            )
    return sentences + _on_both_sides(recordings)


def warnings(recordings: Sequence[Heard], labels: Iterable[str]) -> list[str]:
    """Return a sentence for each thing of which there is enough to train, but little."""
    sentences = []
    for label in labels:
        counts = count(recordings, label)
        if counts.events < limits.WARN_EVENTS:
            sentences.append(
                f"{label!r} has {counted(counts.events, 'event')}; below {limits.WARN_EVENTS} a detector finds little, "
                "and search by similarity may serve better."
            )
        if counts.clean_seconds < limits.WARN_CLEAN_SECONDS:
            sentences.append(
                f"{label!r} has {counts.clean_seconds / 3600:.1f} hours of reviewed audio without it; below "
                f"{limits.WARN_CLEAN_SECONDS / 3600:g} its false alarms per hour are hardly known."
            )
    return sentences


def _invalid(recording: Heard) -> list[str]:
    """Return a sentence if a stretch ends after the recording, and one if a label is present and absent at once.

    Routes refuse such annotations. A database that something else wrote can have them.
    """
    sentences, of = [], f"annotations of the recording {recording.audio_id}:"
    stretches = [*recording.events, *recording.absents, *recording.unsures, *recording.reviewed]
    late = next((s for s in stretches if s.end_ms > recording.duration_ms), None)
    if late:
        sentences.append(
            f"{of} {late.label!r} from {late.start_ms} to {late.end_ms} ms ends after the recording, which has "
            f"{recording.duration_ms} ms."
        )
    try:
        check_contradictions(
            [Mark(s.label, s.start_ms, s.end_ms) for s in recording.events]
            + [Mark(s.label, s.start_ms, s.end_ms, "absent") for s in recording.absents]
        )
    except AnnotationRefused as error:
        sentences.append(f"{of} {error}")
    return sentences


def _below(label: str, where: str, events: int, groups: int, least_events: int, least_groups: int) -> list[str]:
    sentences = []
    if events < least_events:
        sentences.append(f"labels: {label!r} has {counted(events, 'event')} {where}; {least_events} are needed.")
    if groups < least_groups:
        sentences.append(f"labels: {label!r} is in {counted(groups, 'group')} {where}; {least_groups} are needed.")
    return sentences


def _on_both_sides(recordings: Sequence[Heard]) -> list[str]:
    """Return a sentence for each group, and for each recording by its bytes, that is fitted and held out."""
    sentences = []
    for name in ("group", "sha256"):
        sides = [{getattr(r, name) for r in recordings if r.held_out is side} for side in (False, True)]
        what = "The group" if name == "group" else "A recording with the SHA-256"
        sentences += [f"holdout: {what} {value!r} is to be learned from and held out." for value in sides[0] & sides[1]]
    return sorted(sentences)
