"""The JSON of a transcript on the presigned route: the answers of ``/api/get-transcription`` and the webhooks."""

from __future__ import annotations

import re
from typing import Any

from appliance.rfc3339 import rfc3339
from appliance.services.speech.captions import vtt
from appliance.state.media import Media
from appliance.state.transcripts import Transcript

STATUS = {
    "waiting": "pending",
    "queued": "processing",
    "processing": "processing",
    "completed": "completed",
    "failed": "failed",
}
HOSTED_STATUS = {
    "waiting": "PENDING",
    "queued": "PENDING",
    "processing": "PENDING",
    "completed": "COMPLETED",
    "failed": "ERROR",
}
CAPTION_CHARS = 128
RESULT = ("text", "segments", "words", "detections", "detectionsTruncated")


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


def status_answer(transcript: Transcript) -> dict[str, Any]:
    """Return a transcript with the fields of the hosted service's status page: segments in seconds, and WebVTT."""
    status = HOSTED_STATUS[transcript.status]
    answer: dict[str, Any] = {
        "requestId": transcript.id,
        "transcription": transcription_in_seconds(transcript),
        "transcriptionStatus": status,
        "processingStatus": status,
    }
    if transcript.status == "completed":
        answer["vttTranscription"] = vtt(transcript.result or {}, CAPTION_CHARS)
    if transcript.error_message is not None:
        answer["errorMessage"] = transcript.error_message
    return answer


def transcription_in_seconds(transcript: Transcript) -> list[dict[str, Any]]:
    """Return the segments of a transcript with ``start`` and ``end`` in seconds; none before it is completed."""
    segments = (transcript.result or {}).get("segments", [])
    return [
        {"text": segment["text"], "start": segment["start_ms"] / 1000, "end": segment["end_ms"] / 1000}
        for segment in segments
    ]


def camel_case(value: Any) -> Any:
    """Return the value with ``start_ms`` written ``startMs`` in every key, at every depth."""
    if isinstance(value, dict):
        return {re.sub(r"_(\w)", lambda m: m[1].upper(), key): camel_case(item) for key, item in value.items()}
    return [camel_case(item) for item in value] if isinstance(value, list) else value
