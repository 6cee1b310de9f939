"""What is in a file after all reviews: what the model reported and nobody rejected, and what a reviewer added."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.state import inference_files
from appliance.state import reviews as review_rows
from appliance.state.database import Reader
from appliance.state.inference_files import FileDetection, InferenceFile
from appliance.state.reviews import Review


@dataclass(frozen=True)
class Reviewed:
    """A detection and the review that it matches. One of them is None if the other stands alone."""

    detection: FileDetection | None
    review: Review | None


@dataclass(frozen=True)
class Event:
    """Something that is in a file. ``confidence`` is None if only a reviewer noticed it."""

    artifact_type: str
    start_ms: int
    end_ms: int
    confidence: float | None


def reviewed_of(db: Reader, file: InferenceFile) -> list[Reviewed]:
    """Return the detections of a file in their order, then the confirmed reviews that no detection matches."""
    detections = inference_files.list_detections(db, [file]).get(file.id, [])
    reviews = review_rows.reviews_of_detections(db, file.id)
    return [
        *(Reviewed(detection, reviews.get(place)) for place, detection in enumerate(detections)),
        *(Reviewed(None, review) for review in review_rows.list_unmatched(db, file.id)),
    ]


def events_of(reviewed: list[Reviewed]) -> list[Event]:
    """Return what is in a file, in order of the start."""
    events = []
    for item in reviewed:
        confidence = item.detection.confidence if item.detection else None
        if item.review is None and item.detection:
            detection = item.detection
            events.append(Event(detection.artifact_type, detection.start_ms, detection.end_ms, confidence))
        elif item.review and item.review.verdict == "confirmed":
            events.append(Event(*item.review.event, confidence))
    # Two detections that match one review are one event, of the higher confidence.
    events.sort(key=lambda e: (e.start_ms, e.end_ms, e.artifact_type, -(e.confidence or 0.0)))
    spans = [(event.artifact_type, event.start_ms, event.end_ms) for event in events]
    return [event for place, event in enumerate(events) if place == 0 or spans[place] != spans[place - 1]]
