"""A report for quality control: each file with its verdict, each event with the codes that catalogs have for it.

The codes are those of Netflix's QC error codes, MovieLabs' QC vocabulary 1.1 and the EBU's QC items, as far as their
catalogs have a matching entry. None is made up: a type without one has null.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from appliance.services.inference.decided import Event
from appliance.services.inference.exports.source import Export, ExportedFile

VERSION = 1
NETFLIX = {
    "click": ("004", "Tick"),
    "dropout": ("016", "Drop Out/Mute"),
    "glitch": ("018", "Skip"),
    "clipping": ("001", "Audio Clipping/Distortion"),
    "hum": ("006", "Hum/Buzz"),
    "noise_burst": ("003", "Static"),
}
MOVIELABS = {"click": "AUDIO/ARTIFACTS", "glitch": "AUDIO/ARTIFACTS", "clipping": "AUDIO/CLIPPING"}
MOVIELABS |= {"noise_burst": "AUDIO/ARTIFACTS"}
EBU: dict[str, dict[str, Any]] = {
    "clipping": {"id": "0231B", "name": "Audio Distortion", "version": "1.0", "if": None},
    "dropout": {"id": "0078B", "name": "Audio Silence", "version": "2.0", "if": "the dropout is silent"},
}


def write_qc(export: Export, out: BinaryIO) -> None:
    """Write one JSON object. Its ``items`` are the files, also those in which nothing was detected."""
    head = json.dumps({"format": "appliance-qc", "version": VERSION, "job_id": export.job_id, "model": export.model})
    out.write(head[:-1].encode() + b', "items": [')
    for number, item in enumerate(export.files()):
        out.write(b",\n" if number else b"\n")
        out.write(json.dumps(_item(item), ensure_ascii=False).encode())
    out.write(b"\n]}\n")


def _item(item: ExportedFile) -> dict[str, Any]:
    return {
        "item_id": item.file.id,
        "filename": item.file.original_filename,
        "duration_ms": item.file.duration_ms,
        "verdict": item.file.verdict,
        "verdict_reasons": item.file.verdict_reasons,
        "results": [_result(event) for event in item.events],
    }


def _result(event: Event) -> dict[str, Any]:
    code, title = NETFLIX.get(event.artifact_type, (None, None))
    return {
        "check": event.artifact_type,
        "result": "detected",
        "timecode_in": timecode(event.start_ms),
        "timecode_out": timecode(event.end_ms),
        "start_ms": event.start_ms,
        "end_ms": event.end_ms,
        "channel": "all",  # the model listens to the mean of all channels
        "confidence": event.confidence,
        "netflix": code and {"code": code, "title": title},
        "movielabs": MOVIELABS.get(event.artifact_type),
        "ebu": EBU.get(event.artifact_type),
    }


def timecode(milliseconds: int) -> str:
    """Return ``hh:mm:ss.mmm``."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{thousandths:03}"
