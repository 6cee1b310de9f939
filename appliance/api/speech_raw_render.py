"""Transcripts in the JSON of the raw route."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from appliance.rfc3339 import rfc3339
from appliance.services.speech.captions import Passage, Unit, confidence_of, units_of
from appliance.services.speech.raw_options import HOSTED_MODELS
from appliance.services.speech.word_search import Match
from appliance.state.transcripts import Transcript

STATUS = {
    "waiting": "queued",
    "queued": "queued",
    "processing": "processing",
    "completed": "completed",
    "failed": "error",
}
# Status in the API → the statuses of the table that it stands for.
STATUSES = {shown: tuple(row for row, api in STATUS.items() if api == shown) for shown in STATUS.values()}


def render_transcript(transcript: Transcript, audio_url: str, webhook_status_code: int | None = None) -> dict[str, Any]:
    """Return the JSON of a transcript; a value that is not known yet is null."""
    result = transcript.result or {}
    return {
        "id": transcript.id,
        "status": STATUS[transcript.status],
        "audio_url": audio_url,
        "text": result.get("text"),
        "words": render_words(result.get("words") or []) if transcript.result else None,
        "utterances": None,
        "confidence": confidence_of(units_of(result)),
        "audio_duration": seconds_of(transcript),
        "error": transcript.error_message,
        "language_code": transcript.options.get("language_code", "en"),
        "language_detection": transcript.options.get("language_detection", False),
        "language_confidence": None,
        "punctuate": True,
        "format_text": True,
        "speech_model": shown_model(transcript),
        "speech_models": transcript.options.get("speech_models"),
        "speech_model_used": transcript.model,
        "webhook_url": transcript.callback_url,
        "webhook_auth": transcript.callback_header_name is not None,
        "webhook_auth_header_name": transcript.callback_header_name,
        "webhook_status_code": webhook_status_code,
        "created": rfc3339(transcript.created_at),
        "completed": completed_at(transcript),
    }


def shown_model(transcript: Transcript) -> str | None:
    """Return the client's ``speech_model`` if the hosted service has it: its published clients refuse other names."""
    name: str | None = transcript.options.get("speech_model")
    return name if name in HOSTED_MODELS else None


def render_matches(transcript: Transcript, matches: list[Match]) -> dict[str, Any]:
    """Return the JSON of a word search, with times in milliseconds."""
    return {
        "id": transcript.id,
        "total_count": sum(len(match.indexes) for match in matches),
        "matches": [
            {
                "text": match.text,
                "count": len(match.indexes),
                "timestamps": [[place[0]["start_ms"], place[-1]["end_ms"]] for place in match.places],
                "indexes": match.indexes,
            }
            for match in matches
        ],
    }


def render_item(transcript: Transcript, audio_url: str, resource_url: str) -> dict[str, Any]:
    """Return the JSON of a transcript in a list."""
    return {
        "id": transcript.id,
        "resource_url": resource_url,
        "status": STATUS[transcript.status],
        "created": rfc3339(transcript.created_at),
        "completed": completed_at(transcript),
        "audio_url": audio_url,
        "error": transcript.error_message,
    }


def render_passages(transcript: Transcript, name: str, passages: Iterable[Passage]) -> dict[str, Any]:
    """Return the JSON of a transcript in sentences or paragraphs, listed under ``name``."""
    words = (transcript.result or {}).get("words") or []
    rendered = [
        {
            "text": passage.text,
            "start": passage.start_ms,
            "end": passage.end_ms,
            "confidence": confidence_of(passage.units) or 0.0,
            "speaker": None,
            "words": render_words(passage.units) if words else [],
        }
        for passage in passages
    ]
    confidence = confidence_of(units_of(transcript.result or {})) or 0.0
    return {"id": transcript.id, "confidence": confidence, "audio_duration": seconds_of(transcript), name: rendered}


def render_words(words: Iterable[Unit]) -> list[dict[str, Any]]:
    """Return the JSON of words with their times in milliseconds."""
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


def seconds_of(transcript: Transcript) -> int | None:
    """Return the length of the recording in whole seconds, at least one, or None if it is not known."""
    return None if transcript.duration_ms is None else max(1, round(transcript.duration_ms / 1000))


def completed_at(transcript: Transcript) -> str | None:
    """Return the time of completion, None if the transcript is not completed."""
    return rfc3339(transcript.updated_at) if transcript.status == "completed" else None
