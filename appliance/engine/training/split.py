"""Which recordings are for fitting and which are held out: whole groups, and whether there is enough of each label."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from appliance.engine.training.intervals import Interval, total_ms, without
from appliance.engine.training.limits import (
    MAX_AUDIO_SECONDS,
    MAX_LABELS,
    MIN_EVENTS,
    MIN_GROUPS,
    MIN_HELD_OUT_EVENTS,
    MIN_HELD_OUT_GROUPS,
)
from appliance.engine.training.request import Said, TrainingRecording, TrainingRequest
from appliance.text import counted

TRIES = 200


@dataclass(frozen=True)
class Split:
    """The recordings on both sides, and those that are on neither: held out by name, but copies of fitted ones."""

    fit: tuple[TrainingRecording, ...]
    held_out: tuple[TrainingRecording, ...]
    left_out: tuple[TrainingRecording, ...] = ()


def split(request: TrainingRequest) -> Split:
    """Divide the recordings by group. The same request is always divided in the same way.

    Recordings with the same bytes are of one group, whatever their groups are called.
    """
    same: dict[str, list[str]] = {}
    for recording in request.recordings:
        same.setdefault(recording.sha256, []).append(recording.id)
    recordings = joined(request.recordings, same.values())
    fixed = [r for r in recordings if r.held_out is not None]
    fit_groups = {r.group for r in fixed if not r.held_out}
    free = [r for r in recordings if r.held_out is None and r.group not in fit_groups]
    if any(r.held_out for r in fixed):  # the client named what is held out; all else is for fitting
        held_groups = {r.group for r in fixed if r.held_out} - fit_groups - {r.group for r in free}
    else:
        held_groups = choose_groups(free, request.labels, request.holdout_share, request.seed, MIN_HELD_OUT_GROUPS)
    named = {r.id for r in fixed if r.held_out}
    held_out = tuple(r for r in recordings if r.group in held_groups)
    left_out = tuple(r for r in recordings if r.id in named and r.group not in held_groups)
    others = {r.id for r in (*held_out, *left_out)}
    return Split(tuple(r for r in recordings if r.id not in others), held_out, left_out)


def choose_groups(
    recordings: Sequence[TrainingRecording], labels: Sequence[str], share: float, seed: int, least: int = 1
) -> set[str]:
    """Return groups that have about this share of each label's events, and of the labels' groups.

    If ``least`` is more than 1, at least so many are chosen, and if possible so that both sides have enough.
    """
    events, members = _counts(recordings)
    names = sorted(members)
    rng = random.Random(seed)
    best, best_cost = set[str](), float("inf")
    for _ in range(TRIES):
        order = rng.sample(names, len(names))
        chosen = set(order[: max(least, round(share * len(order)))])
        cost = sum(_unevenness(events[label], chosen, share) for label in labels)
        if least > 1:
            cost += 10 * sum(_shortage(events[label], chosen) for label in labels)
        if cost < best_cost:
            best, best_cost = chosen, cost
    return best


def _shortage(events: Counter[str], chosen: set[str]) -> int:
    """Return how much of a label is missing on both sides, in events and groups."""
    held_out = {group: count for group, count in events.items() if group in chosen}
    wanted = (
        (MIN_HELD_OUT_EVENTS, sum(held_out.values())),
        (MIN_HELD_OUT_GROUPS, len(held_out)),
        (MIN_EVENTS, events.total() - sum(held_out.values())),
        (MIN_GROUPS, len(events) - len(held_out)),
    )
    return sum(max(0, needed - there) for needed, there in wanted)


def folds(recordings: Sequence[TrainingRecording], labels: Sequence[str], count: int, seed: int) -> list[set[str]]:
    """Return the groups in ``count`` parts, each with about as many events of each label. Parts may be empty."""
    left = list(recordings)
    parts = []
    for number in range(count - 1):
        parts.append(choose_groups(left, labels, 1 / (count - number), seed + number))
        left = [r for r in left if r.group not in parts[-1]]
    return [*parts, {r.group for r in left}]


def _counts(recordings: Iterable[TrainingRecording]) -> tuple[dict[str, Counter[str]], set[str]]:
    """Return the number of each label's events by group, and all groups."""
    events: dict[str, Counter[str]] = {}
    groups = set()
    for recording in recordings:
        groups.add(recording.group)
        for event in recording.events:
            events.setdefault(event.label, Counter())[recording.group] += 1
    return _Default(events), groups


class _Default(dict[str, Counter[str]]):
    def __missing__(self, key: str) -> Counter[str]:
        return Counter()


def _unevenness(events: Counter[str], chosen: set[str], share: float) -> float:
    """Return by how much a label's events and groups among the chosen differ from their share."""
    if not events:
        return 0.0
    of_events = sum(count for group, count in events.items() if group in chosen) / events.total()
    of_groups = len(chosen & events.keys()) / len(events)
    return abs(of_events - share) + abs(of_groups - share)


def negatives_of(recording: Said, label: str) -> list[Interval]:
    """Return the time in which a person found that the label is not there."""

    def stretches(name: str) -> list[Interval]:
        return [(s.start_ms, s.end_ms) for s in getattr(recording, name) if s.label == label]

    return without([*stretches("reviewed"), *stretches("absents")], [*stretches("events"), *stretches("unsures")])


def lacks(request: TrainingRequest) -> list[str]:
    """Return a sentence for each thing of which there is too little, or too much; none if the training can begin."""
    sentences = []
    if len(request.labels) > MAX_LABELS:
        sentences.append(f"labels: {len(request.labels)} labels; a training can have {MAX_LABELS}.")
    seconds = sum(r.duration_ms for r in request.recordings) / 1000
    if seconds > MAX_AUDIO_SECONDS:
        sentences.append(
            f"The recordings last {seconds / 3600:.0f} h; a training can use {MAX_AUDIO_SECONDS / 3600:.0f} h."
        )
    parts = split(request)
    for label in request.labels:
        for side, recordings, events_needed, groups_needed in (
            ("for fitting", parts.fit, MIN_EVENTS, MIN_GROUPS),
            ("held out", parts.held_out, MIN_HELD_OUT_EVENTS, MIN_HELD_OUT_GROUPS),
        ):
            groups = _counts(recordings)[0][label]
            if groups.total() < events_needed:
                sentences.append(f"{label}: {counted(groups.total(), 'event')} {side}; {events_needed} are needed.")
            if len(groups) < groups_needed:
                sentences.append(
                    f"{label}: its events {side} are of {counted(len(groups), 'group')}; {groups_needed} are needed."
                )
        reviewed = sum(total_ms(negatives_of(r, label)) for r in (*parts.fit, *parts.held_out)) / 1000
        if reviewed < request.min_reviewed_seconds:
            sentences.append(
                f"{label}: {reviewed / 60:.1f} minutes are reviewed and without it; "
                f"{request.min_reviewed_seconds / 60:.1f} are needed."
            )
    return sentences


def joined(recordings: Sequence[TrainingRecording], copies: Iterable[Sequence[str]]) -> tuple[TrainingRecording, ...]:
    """Return the recordings with the groups joined that have a recording in common, or copies of one.

    ``copies`` are ids of recordings that are the same sound. A joined group gets the first of its names.
    """
    leader = {r.group: r.group for r in recordings}

    def find(group: str) -> str:
        while leader[group] != group:
            group = leader[group]
        return group

    by_id = {r.id: r.group for r in recordings}
    for same in copies:
        roots = {find(by_id[one]) for one in same}
        first = min(roots)
        leader |= dict.fromkeys(roots, first)
    return tuple(replace(r, group=find(r.group)) for r in recordings)
