"""What became of a request for a transcript, in the words of the door of presigned PUTs: answered and called back."""

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


def outcome(asked: Transcript, source: Media) -> dict[str, Any]:
    """Every field at every status; what is not there is None."""
    result = camel(asked.result or {})
    return {
        "transcriptionId": asked.id,
        "status": STATUS[asked.status],
        "progress": asked.progress,
        "fileName": source.original_filename,
        "contentType": source.content_type,
        "modelId": asked.model,
        "durationMs": asked.duration_ms,
        **{name: result.get(name) for name in RESULT},
        "error": asked.error_message,
        "errorCode": asked.error_code,
        "createdAt": rfc3339(asked.created_at),
        "updatedAt": rfc3339(asked.updated_at),
    }


def camel(value: Any) -> Any:
    """The same with ``start_ms`` as ``startMs`` in every key."""
    if isinstance(value, dict):
        return {re.sub(r"_(\w)", lambda m: m[1].upper(), key): camel(each) for key, each in value.items()}
    return [camel(each) for each in value] if isinstance(value, list) else value
