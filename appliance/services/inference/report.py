"""The report of a job for people who do not use the console: what was sent, what is in it, and the worst files."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.services.box import Box
from appliance.services.inference.decided import Event, events_of, reviewed_of
from appliance.services.inference.jobs import find_job
from appliance.services.inference.reviews import LabelQuality, quality
from appliance.state import inference_files
from appliance.state.inference_files import InferenceFile
from appliance.state.inference_jobs import Job

WORST_FILES = 50
WORST_EVENTS = 10  # of each of these files
TARGET_PRECISION = 0.9


@dataclass(frozen=True)
class WorstFile:
    """A file, how many events it has after the reviews, and the longest of them in order of their start."""

    file: InferenceFile
    num_events: int
    events: list[Event]


@dataclass(frozen=True)
class Report:
    """A job, how many of its completed files have each verdict (None without rules), its types, and its worst files."""

    job: Job
    verdicts: dict[str | None, int]
    labels: list[LabelQuality]
    worst: list[WorstFile]


def make_report(box: Box, tenant_id: int, job_id: str) -> Report:
    """Return the report of a job. Its worst files are those with the gravest verdict, then with the most detections.

    Raises NotFound.
    """
    job = find_job(box, tenant_id, job_id)
    worst = []
    for file in inference_files.list_worst(box.db, job_id, WORST_FILES):
        events = events_of(reviewed_of(box.db, file))
        longest = sorted(events, key=lambda event: event.start_ms - event.end_ms)[:WORST_EVENTS]
        worst.append(WorstFile(file, len(events), sorted(longest, key=lambda event: event.start_ms)))
    verdicts = inference_files.count_verdicts(box.db, job_id)
    return Report(job, verdicts, quality(box, tenant_id, job_id, TARGET_PRECISION), worst)
