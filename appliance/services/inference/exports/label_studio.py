"""Tasks for Label Studio, and the configuration of a project that shows them."""

from __future__ import annotations

import json
from typing import Any, BinaryIO
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from appliance.services.inference.exports.source import Export, ExportedFile
from appliance.state.inference_files import FileDetection


def write_tasks(export: Export, out: BinaryIO) -> None:
    """Write a list of tasks: what the model reported as a prediction, what reviewers confirmed as an annotation."""
    out.write(b"[")
    for number, item in enumerate(export.files()):
        out.write(b",\n" if number else b"\n")
        out.write(json.dumps(_task(export, item), ensure_ascii=False).encode())
    out.write(b"\n]\n")


def write_config(export: Export, out: BinaryIO) -> None:
    """Write the labeling configuration with the labels of the model and those that reviewers used."""
    labels = {*export.labels, *(event.artifact_type for item in export.files() for event in item.events)}
    lines = [
        "<View>",
        '  <Labels name="labels" toName="audio">',
        *(f"    <Label value={quoteattr(label)}/>" for label in sorted(labels)),
        "  </Labels>",
        '  <Audio name="audio" value="$audio"/>',
        "</View>",
        "",
    ]
    out.write("\n".join(lines).encode())


def _task(export: Export, item: ExportedFile) -> dict[str, Any]:
    detections = [reviewed.detection for reviewed in item.reviewed if reviewed.detection]
    task: dict[str, Any] = {
        "data": {
            "audio": export.audio_prefix + quote(item.name),
            "job_id": export.job_id,
            "file_id": item.file.id,
            "verdict": item.file.verdict,
        },
        "predictions": [
            {
                "model_version": export.model,
                "score": max((detection.confidence for detection in detections), default=0.0),
                "result": [_region(item, f"d{n}", _span_of(d), d.confidence) for n, d in enumerate(detections)],
            }
        ],
    }
    if any(reviewed.review for reviewed in item.reviewed):
        events = [
            (event.artifact_type, event.start_ms, event.end_ms) for event in item.events if _is_reviewed(item, event)
        ]
        task["annotations"] = [{"result": [_region(item, f"r{n}", event, None) for n, event in enumerate(events)]}]
    return task


def _is_reviewed(item: ExportedFile, event: Any) -> bool:
    span = (event.artifact_type, event.start_ms, event.end_ms)
    return any(reviewed.review is not None and reviewed.review.event == span for reviewed in item.reviewed)


def _span_of(detection: FileDetection) -> tuple[str, int, int]:
    return detection.artifact_type, detection.start_ms, detection.end_ms


def _region(item: ExportedFile, region_id: str, event: tuple[str, int, int], score: float | None) -> dict[str, Any]:
    label, start_ms, end_ms = event
    region: dict[str, Any] = {
        "id": f"{item.file.id}-{region_id}",
        "from_name": "labels",
        "to_name": "audio",
        "type": "labels",
        "original_length": (item.file.duration_ms or 0) / 1000,
        "value": {"start": start_ms / 1000, "end": end_ms / 1000, "channel": 0, "labels": [label]},
    }
    return region if score is None else region | {"score": score}
