"""The report of a job for people who do not use the console: what was sent, what is in it, and the worst files."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from appliance.engine.decode import spectrogram
from appliance.engine.decode.png import to_png
from appliance.errors import ApplianceError, AudioError
from appliance.services.box import Box
from appliance.services.inference.decided import Event, events_of, reviewed_of
from appliance.services.inference.jobs import find_job
from appliance.services.inference.recordings import find_recording
from appliance.services.inference.reviews import LabelQuality, quality
from appliance.services.inference.waveforms import Looking
from appliance.state import inference_files
from appliance.state.inference_files import InferenceFile
from appliance.state.inference_jobs import Job

WORST_FILES = 50
WORST_EVENTS = 10  # of each of these files
TARGET_PRECISION = 0.9
PICTURES = 20  # of the worst files
PICTURE_SECONDS = 20.0  # for all of them: the rest has none
LONGEST_MS, LEAST_MS = 10_000, 1000  # that a picture shows
COLUMNS = 512


@dataclass(frozen=True)
class WorstFile:
    """A file, how many events it has after the reviews, and the longest of them in order of their start."""

    file: InferenceFile
    num_events: int
    events: list[Event]


@dataclass(frozen=True)
class Picture:
    """The spectrogram of a stretch of a file as PNG, dark for loud, and which part of its width the event takes."""

    png: bytes
    start_ms: int
    end_ms: int
    event: Event

    @property
    def before(self) -> float:
        """The share of the width before the event."""
        return (self.event.start_ms - self.start_ms) / (self.end_ms - self.start_ms)

    @property
    def width(self) -> float:
        """The share of the width that the event takes, as far as it is shown."""
        return (min(self.event.end_ms, self.end_ms) - self.event.start_ms) / (self.end_ms - self.start_ms)


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


def make_pictures(looking: Looking, tenant_id: int, report: Report) -> dict[str, Picture]:
    """Return pictures of the longest events of the worst files, by the id of the file, as many as there is time for.

    A file whose recording cannot be decoded, or is no longer stored, has none.
    """
    pictures: dict[str, Picture] = {}
    end = time.monotonic() + PICTURE_SECONDS
    for item in report.worst[:PICTURES]:
        if item.events and time.monotonic() < end:
            event = max(item.events, key=lambda one: one.end_ms - one.start_ms)
            try:
                pictures[item.file.id] = _picture(looking, tenant_id, item.file, event)
            except (ApplianceError, AudioError):
                continue
    return pictures


def _picture(looking: Looking, tenant_id: int, file: InferenceFile, event: Event) -> Picture:
    shown_ms = min(max(2 * (event.end_ms - event.start_ms), LEAST_MS), LONGEST_MS)
    start_ms = max(0, event.start_ms - max(0, shown_ms - (event.end_ms - event.start_ms)) // 2)
    _, recording = find_recording(looking.box, tenant_id, file.job_id, file.id)
    outline = looking.outlines.find(looking.box, file)
    with looking.viewers.for_request(tenant_id) as decoder:
        clip = decoder.clip(recording, start_ms, start_ms + shown_ms, outline)
    rate = clip.info.sample_rate_hz
    picture = np.uint8(255) - spectrogram.picture(clip.samples, rate, COLUMNS)
    return Picture(to_png(picture), start_ms, start_ms + max(1, 1000 * len(clip.samples) // rate), event)
