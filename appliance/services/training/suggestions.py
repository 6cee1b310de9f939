"""What to listen to next: stretches in which a model is the surest of a label, and in which it is the least sure.

They come from the scores that a job kept of the dataset's recordings. Stretches that somebody reviewed or annotated for
the label are left out. The groups take turns, so that one recording with many events does not fill the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from appliance.engine.scoring.kept import KeptScores
from appliance.engine.scoring.levels import TOP
from appliance.errors import InvalidRequest
from appliance.services.box import Box
from appliance.services.datasets.datasets import find_dataset
from appliance.services.inference.jobs import find_settings
from appliance.services.inference.kept_scores import ScoreShelf
from appliance.state import annotations as annotation_rows
from appliance.state import audio as audio_rows
from appliance.state import inference_files, reviewed_stretches
from appliance.state import reviews as review_rows
from appliance.state.audio import Audio

STRETCH_MS = 6000
Reason = Literal["surest", "least_sure"]


@dataclass(frozen=True)
class Suggestion:
    """A stretch of a recording to listen to, and the highest score of the label in it."""

    audio_id: str
    group: str
    start_ms: int
    end_ms: int
    confidence: float
    reason: Reason


def suggest(
    box: Box, shelf: ScoreShelf, tenant_id: int, dataset_id: str, job_id: str, label: str, k: int
) -> list[Suggestion]:
    """Return up to ``k`` stretches for a label: half the surest, half the least sure, each the best first.

    Raises NotFound, ScoresNotKept, and InvalidRequest if the job's model has no such label or no file of the job is a
    recording of the dataset.
    """
    find_dataset(box, tenant_id, dataset_id)
    find_settings(box, tenant_id, job_id)
    pairs = review_rows.pair_with_audio(box.db, job_id, dataset_id)
    if not pairs:
        raise InvalidRequest("job_id: no completed file of the job is a recording of this dataset.")
    stretches: list[Suggestion] = []
    for file_id, audio_id in pairs.items():
        file, recording = inference_files.find_file(box.db, file_id), audio_rows.find_audio(box.db, audio_id)
        if file is not None and recording is not None:
            stretches += _open_stretches(box, recording, shelf.scores_of(file), label)
    return choose(stretches, k)


def choose(stretches: Sequence[Suggestion], k: int) -> list[Suggestion]:
    """Return up to ``k`` of the stretches: half the surest, half the least sure, each the best first."""
    surest = _in_turns(sorted(stretches, key=lambda s: -s.confidence), (k + 1) // 2)
    rest = set(stretches).difference(surest)
    # 0.5 is where a calibrated model does not know.
    doubtful = _in_turns(sorted(rest, key=lambda s: (abs(s.confidence - 0.5), s.audio_id, s.start_ms)), k // 2)
    return surest + [Suggestion(**vars(stretch) | {"reason": "least_sure"}) for stretch in doubtful]


def _open_stretches(box: Box, recording: Audio, scores: KeptScores, label: str) -> Iterable[Suggestion]:
    """Yield the stretches of a recording that nobody reviewed or annotated for the label."""
    names = [rule.name for rule in scores.rules]
    if label not in names:
        raise InvalidRequest(f"label: the model of the job finds {', '.join(names)}, not {label!r}.")
    levels, edges_ms = scores.track.levels[names.index(label)], scores.track.edges_ms
    stretches = reviewed_stretches.list_stretches(box.db, recording.id)
    known = [(stretch.start_ms, stretch.end_ms) for stretch in stretches if label in stretch.labels]
    marks = annotation_rows.list_annotations(box.db, recording.id)
    known += [(mark.start_ms, mark.end_ms) for mark in marks if mark.artifact_type == label]
    duration_ms = recording.duration_ms or 0
    is_known = np.zeros(-(-duration_ms // STRETCH_MS), bool)
    for start_ms, end_ms in known:
        is_known[start_ms // STRETCH_MS : -(-end_ms // STRETCH_MS)] = True
    for number in np.flatnonzero(~is_known):
        start_ms = int(number) * STRETCH_MS
        end_ms = min(start_ms + STRETCH_MS, duration_ms)
        first, last = np.searchsorted(edges_ms, [start_ms, end_ms])
        if first < last:
            confidence = float(levels[first:last].max()) / TOP
            group = recording.group_name or recording.id
            yield Suggestion(recording.id, group, start_ms, end_ms, confidence, "surest")


def _in_turns(ordered: Sequence[Suggestion], count: int) -> list[Suggestion]:
    """Return the first ``count`` if each group may give one in each round."""
    turns: Counter[str] = Counter()
    placed = []
    for place, suggestion in enumerate(ordered):
        placed.append((turns[suggestion.group], place, suggestion))
        turns[suggestion.group] += 1
    return [suggestion for _, _, suggestion in sorted(placed, key=lambda item: item[:2])[:count]]
