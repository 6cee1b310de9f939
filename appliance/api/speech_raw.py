"""The raw door: a body becomes media, its URL a transcript. The calls of a hosted service, whose clients find it here.

Errors are ``{"error": sentence}``, as those clients read them.
"""

from __future__ import annotations

import re
import sys
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from flask import Response, request
from flask_openapi import APIBlueprint, Tag

from appliance.api import speech_raw_schemas as schemas
from appliance.api.context import box, origin, require_authorization, tenant_id, upload_slot
from appliance.api.speech_raw_render import ASKED, render_item, render_passages, render_transcript
from appliance.errors import InvalidRequest
from appliance.services.speech import captions, raw, raw_options, transcript_pages, transcripts

blueprint = APIBlueprint(
    "speech",
    __name__,
    url_prefix="/v2",
    abp_tags=[Tag(name="speech", description="Speech to text: a raw body, then a transcript of its URL.")],
    abp_security=[{"authorization": []}],
)
blueprint.before_request(require_authorization)

Answer = tuple[dict[str, Any], int]

ANY_BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
SUBTITLES: dict[str | int | HTTPStatus, Any] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
MEDIA_ID = re.compile(r"[0-9a-f-]{36}")


@blueprint.post("/upload", responses={200: schemas.RawUpload}, request_body=ANY_BYTES)
def upload_media() -> Answer:
    """Upload a recording as the body, whatever its content type says."""
    request.max_content_length = sys.maxsize  # counted as it streams, to the limit of a file
    with upload_slot():
        media_id = raw.store_body(
            box(), tenant_id(), request.stream, declared_bytes=request.content_length, content_type=request.mimetype
        )
    return {"upload_url": url_of(media_id)}, 200


@blueprint.post("/transcript", responses={200: schemas.SpeechTranscript})
def create_transcript(body: schemas.CreateTranscript) -> Answer:
    """Ask for a transcript of an upload."""
    media_id = media_of(body.audio_url)
    raw_options.refuse(body.model_extra or {})
    raw_options.check_language("language_code", [body.language_code])
    raw_options.check_language("language_codes", body.language_codes or [])
    raw_options.check_always("punctuate", body.punctuate)
    raw_options.check_always("format_text", body.format_text)
    model = raw_options.choose_model(box(), body.speech_model, body.speech_models)
    options = body.model_dump(exclude_none=True, exclude={"audio_url"} | set(body.model_extra or {}))
    made = raw.transcribe(box(), tenant_id(), media_id, model, options)
    return render_transcript(made, url_of(made.media_id)), 200


@blueprint.get("/transcript", responses={200: schemas.SpeechPage})
def list_transcripts(query: schemas.ListTranscripts) -> Answer:
    """List transcripts, newest first."""
    page = transcript_pages.list_page(
        box(),
        tenant_id(),
        statuses=ASKED[query.status] if query.status else (),
        created_on=query.created_on.isoformat() if query.created_on else None,
        before_id=query.before_id,
        after_id=query.after_id,
        limit=query.limit,
    )
    here = f"{origin()}/v2/transcript"
    asked = query.model_dump(mode="json", exclude_none=True, exclude={"before_id", "after_id"})
    details = {
        "limit": query.limit,
        "result_count": len(page),
        "current_url": f"{here}?{urlencode(query.model_dump(mode='json', exclude_none=True))}",
        "prev_url": f"{here}?{urlencode(asked | {'before_id': page[-1].id})}" if page else None,
        "next_url": f"{here}?{urlencode(asked | {'after_id': page[0].id})}" if page else None,
    }
    items = [render_item(each, url_of(each.media_id), f"{here}/{each.id}") for each in page]
    return {"page_details": details, "transcripts": items}, 200


@blueprint.get("/transcript/<transcript_id>", responses={200: schemas.SpeechTranscript})
def get_transcript(path: schemas.TranscriptPath) -> Answer:
    """Get a transcript, or how far it is."""
    found = transcripts.find(box(), tenant_id(), path.transcript_id)
    return render_transcript(found, url_of(found.media_id)), 200


@blueprint.delete("/transcript/<transcript_id>", responses={200: schemas.SpeechTranscript})
def delete_transcript(path: schemas.TranscriptPath) -> Answer:
    """Delete a transcript, and its upload where nothing else was asked of that; the answer is what it was."""
    found = transcripts.find(box(), tenant_id(), path.transcript_id)
    raw.delete_transcript(box(), found)
    return render_transcript(found, url_of(found.media_id)), 200


@blueprint.get("/transcript/<transcript_id>/sentences", responses={200: schemas.SpeechSentences})
def get_sentences(path: schemas.TranscriptPath) -> Answer:
    """Get a completed transcript in sentences."""
    found = transcripts.find_completed(box(), tenant_id(), path.transcript_id)
    return render_passages(found, "sentences", captions.sentences(found.result or {})), 200


@blueprint.get("/transcript/<transcript_id>/paragraphs", responses={200: schemas.SpeechParagraphs})
def get_paragraphs(path: schemas.TranscriptPath) -> Answer:
    """Get a completed transcript in paragraphs."""
    found = transcripts.find_completed(box(), tenant_id(), path.transcript_id)
    return render_passages(found, "paragraphs", captions.paragraphs(found.result or {})), 200


@blueprint.get("/transcript/<transcript_id>/srt", responses=SUBTITLES)
def get_srt(path: schemas.TranscriptPath, query: schemas.CaptionQuery) -> Response:
    """Get a completed transcript as SubRip subtitles."""
    found = transcripts.find_completed(box(), tenant_id(), path.transcript_id)
    return Response(captions.srt(found.result or {}, query.chars_per_caption), mimetype="text/plain")


@blueprint.get("/transcript/<transcript_id>/vtt", responses=SUBTITLES)
def get_vtt(path: schemas.TranscriptPath, query: schemas.CaptionQuery) -> Response:
    """Get a completed transcript as WebVTT subtitles."""
    found = transcripts.find_completed(box(), tenant_id(), path.transcript_id)
    return Response(captions.vtt(found.result or {}, query.chars_per_caption), mimetype="text/plain")


def url_of(media_id: str) -> str:
    """The URL of an upload: on the client's own origin, and of no use but to this door."""
    return f"{origin()}/v2/upload/{media_id}"


def media_of(audio_url: str) -> str:
    """The upload that a URL names. Raises InvalidRequest for any other URL."""
    prefix, _, media_id = audio_url.rpartition("/")
    if prefix != f"{origin()}/v2/upload" or not MEDIA_ID.fullmatch(media_id):
        raise InvalidRequest("audio_url: must be the upload_url of an upload to this appliance; no other is fetched.")
    return media_id
