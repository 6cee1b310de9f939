"""How well the models of jobs found what people annotated in the same recordings of a dataset, side by side.

It counts as a training does: events one to one with detections, false alarms only where somebody listened. Recordings
that a model was trained on, or that its training may have fitted, are left out for all of the jobs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from appliance.engine.scoring.events import Detection
from appliance.engine.training.judge import Tally, change_intervals, differences, f1_interval, outcomes, tally, total
from appliance.errors import InvalidRequest
from appliance.services.box import Box
from appliance.services.datasets.datasets import find_dataset
from appliance.services.inference.jobs import find_settings
from appliance.services.training.snapshot import Heard, gather, thaw
from appliance.state import annotations as annotation_rows
from appliance.state import inference_files, training_jobs
from appliance.state import reviews as review_rows
from appliance.state.inference_jobs import JobSettings

SEED = 0  # of the intervals
Truth = Literal["present", "absent", "unknown"]
TRUTHS: dict[str, Truth] = {"hit": "present", "alarm": "absent", "unknown": "unknown"}


@dataclass(frozen=True)
class Difference:
    """A stretch that only one of two jobs reported, to listen to."""

    audio_id: str
    group: str
    label: str
    start_ms: int
    end_ms: int
    reported_by: str  # id of the job
    confidence: float
    truth: Truth


@dataclass(frozen=True)
class Evaluation:
    """What was compared, and of each label the figures of each job, in the order of the jobs.

    With two jobs, a label has the change from the first to the second, and ``differences`` are the first ones of
    ``num_differences``.
    """

    recordings: int
    learned_from: int  # recordings that were left out
    labels: list[dict[str, Any]]
    differences: list[Difference]
    num_differences: int


def evaluate(box: Box, tenant_id: int, dataset_id: str, job_ids: Sequence[str], most_differences: int) -> Evaluation:
    """Compare one job or two with the annotations of a dataset, on the recordings that all of them have.

    Raises NotFound, and InvalidRequest if there is no such recording.
    """
    find_dataset(box, tenant_id, dataset_id)
    jobs = [find_settings(box, tenant_id, job_id) for job_id in job_ids]
    files = [_files_by_audio(box, job, dataset_id) for job in jobs]
    shared = set(files[0]).intersection(*files[1:])
    if not shared:
        raise InvalidRequest("job_id: the jobs have no completed file that is a recording of this dataset.")
    learned = set().union(*(_learned_from(box, job) for job in jobs)) & shared
    labels = annotation_rows.list_types(box.db, dataset_id)
    recordings = [
        heard for heard in gather(box.db, [dataset_id], labels, held_out=None) if heard.audio_id in shared - learned
    ]
    detections = [_detections(box, by_audio) for by_audio in files]
    rows: list[dict[str, Any]] = []
    places: list[Difference] = []
    for label in labels:
        by_job = [_tallies(recordings, label, mine) for mine in detections]
        figures = [
            {"job_id": job.id, "model": job.model} | _figures(groups) for job, groups in zip(jobs, by_job, strict=True)
        ]
        rows.append({"label": label, "jobs": figures, "change": _change(*by_job) if len(jobs) == 2 else None})
        if len(jobs) == 2:
            places += _differences(recordings, label, detections, job_ids)
    return Evaluation(len(recordings), len(learned), rows, places[:most_differences], len(places))


def _files_by_audio(box: Box, job: JobSettings, dataset_id: str) -> dict[str, str]:
    return {audio_id: file_id for file_id, audio_id in review_rows.pair_with_audio(box.db, job.id, dataset_id).items()}


def _learned_from(box: Box, job: JobSettings) -> set[str]:
    """Return the audio that the job's model may have been fitted to: all of its training but what was held out."""
    return {
        heard.audio_id
        for model in training_jobs.list_models(box.db, job.tenant_id)
        if model.id == job.model
        for heard in thaw(training_jobs.get_annotations(box.db, model.training_job_id))
        if not heard.held_out
    }


def _detections(box: Box, files: dict[str, str]) -> dict[str, list[Detection]]:
    """Return the detections of files by their audio."""
    by_audio = {}
    for audio_id, file_id in files.items():
        file = inference_files.find_file(box.db, file_id)
        rows = inference_files.list_detections(box.db, [file]).get(file_id, []) if file else []
        by_audio[audio_id] = [Detection(**asdict(row)) for row in rows]
    return by_audio


def _of_label(heard: Heard, label: str, detections: Mapping[str, list[Detection]]) -> list[Detection]:
    return [d for d in detections[heard.audio_id] if d.artifact_type == label]


def _tallies(recordings: Sequence[Heard], label: str, detections: Mapping[str, list[Detection]]) -> dict[str, Tally]:
    groups: dict[str, Tally] = {}
    for heard in recordings:
        mine = _of_label(heard, label, detections)
        groups[heard.group] = groups.get(heard.group, Tally()) + tally(heard, label, mine)
    return groups


def _figures(groups: Mapping[str, Tally]) -> dict[str, Any]:
    counted = total([*groups.values()])
    known = bool(counted.absent_ms)
    return {
        "hits": counted.hits,
        "misses": counted.misses,
        "false_alarms": counted.alarms,
        "precision": counted.precision,
        "recall": counted.recall,
        "f1": counted.f1,
        "f1_interval": [*f1_interval(groups, SEED)],
        "reviewed_hours": counted.absent_ms / 3_600_000,
        "false_alarms_per_hour": counted.alarms_per_hour if known else None,
        "false_alarms_per_hour_at_most": counted.most_alarms_per_hour if known else None,
    }


def _change(first: Mapping[str, Tally], second: Mapping[str, Tally]) -> dict[str, Any] | None:
    """Return how much better the second is, with intervals by drawing the same groups of both; None without groups."""
    if not first:
        return None
    before, after = (total([*groups.values()]) for groups in (first, second))
    return {
        name: {"value": getattr(after, name) - getattr(before, name), "interval": [*interval]}
        for name, interval in change_intervals(first, second, SEED).items()
    }


def _differences(
    recordings: Sequence[Heard],
    label: str,
    detections: Sequence[Mapping[str, list[Detection]]],
    job_ids: Sequence[str],
) -> Iterable[Difference]:
    """Yield what only one of both jobs reported."""
    for heard in recordings:
        first, second = (outcomes(heard, label, _of_label(heard, label, mine)) for mine in detections)
        for outcome, number in differences(first, second):
            yield Difference(
                audio_id=heard.audio_id,
                group=heard.group,
                label=label,
                start_ms=outcome.start_ms,
                end_ms=outcome.end_ms,
                reported_by=job_ids[number],
                confidence=outcome.confidence or 0.0,
                truth=TRUTHS[outcome.kind],
            )
