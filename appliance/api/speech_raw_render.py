"""Transcripts as the clients of the raw door read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from appliance.rfc3339 import rfc3339
from appliance.services.speech.captions import Passage, Piece, confidence_of, pieces_of
from appliance.state.transcripts import Transcript

STATUS = {
    "waiting": "queued",
    "queued": "queued",
    "processing": "processing",
    "completed": "completed",
    "failed": "error",
}
ASKED = {shown: tuple(kept for kept, as_shown in STATUS.items() if as_shown == shown) for shown in STATUS.values()}


def render_transcript(found: Transcript, audio_url: str) -> dict[str, Any]:
    """A transcript; what is not known yet is null."""
    result = found.result or {}
    return {
        "id": found.id,
        "status": STATUS[found.status],
        "audio_url": audio_url,
        "text": result.get("text"),
        "words": render_words(result.get("words") or []) if found.result else None,
        "utterances": None,
        "confidence": confidence_of(pieces_of(result)),
        "audio_duration": seconds_of(found),
        "error": found.error_message,
        "language_code": found.options.get("language_code", "en"),
        "punctuate": True,
        "format_text": True,
        "speech_model_used": found.model,
        "created": rfc3339(found.created_at),
        "completed": completed_at(found),
    }


def render_item(found: Transcript, audio_url: str, resource_url: str) -> dict[str, Any]:
    """A transcript in a list."""
    return {
        "id": found.id,
        "resource_url": resource_url,
        "status": STATUS[found.status],
        "created": rfc3339(found.created_at),
        "completed": completed_at(found),
        "audio_url": audio_url,
        "error": found.error_message,
    }


def render_passages(found: Transcript, name: str, passages: Iterable[Passage]) -> dict[str, Any]:
    """A transcript in sentences or paragraphs, listed under ``name``."""
    words = (found.result or {}).get("words") or []
    rendered = [
        {
            "text": passage.text,
            "start": passage.start_ms,
            "end": passage.end_ms,
            "confidence": confidence_of(passage.pieces) or 0.0,
            "speaker": None,
            "words": render_words(passage.pieces) if words else [],
        }
        for passage in passages
    ]
    confidence = confidence_of(pieces_of(found.result or {})) or 0.0
    return {"id": found.id, "confidence": confidence, "audio_duration": seconds_of(found), name: rendered}


def render_words(words: Iterable[Piece]) -> list[dict[str, Any]]:
    """Words with their times in milliseconds."""
    return [
        {
            "text": word["text"],
            "start": word["start_ms"],
            "end": word["end_ms"],
            "confidence": word.get("confidence") or 0.0,
            "speaker": None,
        }
        for word in words
    ]


def seconds_of(found: Transcript) -> int | None:
    """Length of the recording in whole seconds, at least one."""
    return None if found.duration_ms is None else max(1, round(found.duration_ms / 1000))


def completed_at(found: Transcript) -> str | None:
    """When it was completed."""
    return rfc3339(found.updated_at) if found.status == "completed" else None
