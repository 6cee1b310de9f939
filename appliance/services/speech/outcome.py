"""The JSON of a transcript on the presigned route: the body of ``GET /api/get-transcription`` and of its webhooks."""

from __future__ import annotations

import re
from typing import Any

from appliance.rfc3339 import rfc3339
from appliance.state.media import Media
from appliance.state.transcripts import Transcript

STATUS = {
    "waiting": "pending",
    "queued": "processing",
    "processing": "processing",
    "completed": "completed",
    "failed": "failed",
}
RESULT = ("text", "segments", "words", "detections")


def outcome(transcript: Transcript, media: Media) -> dict[str, Any]:
    """Return every field at every status; a field that has no value yet is None."""
    result = camel_case(transcript.result or {})
    return {
        "transcriptionId": transcript.id,
        "status": STATUS[transcript.status],
        "progress": transcript.progress,
        "fileName": media.original_filename,
        "contentType": media.content_type,
        "modelId": transcript.model,
        "durationMs": transcript.duration_ms,
        **{name: result.get(name) for name in RESULT},
        "error": transcript.error_message,
        "errorCode": transcript.error_code,
        "createdAt": rfc3339(transcript.created_at),
        "updatedAt": rfc3339(transcript.updated_at),
    }


def camel_case(value: Any) -> Any:
    """Return the value with ``start_ms`` written ``startMs`` in every key, at every depth."""
    if isinstance(value, dict):
        return {re.sub(r"_(\w)", lambda m: m[1].upper(), key): camel_case(item) for key, item in value.items()}
    return [camel_case(item) for item in value] if isinstance(value, list) else value
