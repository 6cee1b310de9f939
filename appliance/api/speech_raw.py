"""The raw route over HTTP: a body is uploaded, then its URL is transcribed. The calls of a hosted service.

Errors are ``{"error": sentence}``, as the clients of that service read them.
"""

from __future__ import annotations

import re
import sys
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Response, request
from flask_openapi import APIBlueprint, Tag

from appliance.api import speech_raw_schemas as schemas
from appliance.api.context import box, origin, require_authorization, tenant_id, upload_slot
from appliance.api.looking import IMMUTABLE, looking, whole_file
from appliance.api.looking_schemas import ClipQuery
from appliance.api.speech_raw_render import (
    STATUSES,
    render_item,
    render_matches,
    render_passages,
    render_transcript,
)
from appliance.errors import InvalidRequest
from appliance.frontdoor.paths import RAW_UPLOAD
from appliance.services.speech import captions, clips, raw, raw_options, raw_transcripts, word_search
from appliance.state.transcripts import Transcript

PREFIX = "/v2"

blueprint = APIBlueprint(
    "speech_raw",
    __name__,
    url_prefix=PREFIX,
    abp_tags=[Tag(name="speech raw", description="Speech to text: a raw body, then a transcript of its URL.")],
    abp_security=[{"authorization": []}],
)
blueprint.before_request(require_authorization)

Answer = tuple[dict[str, Any], int]

BYTES = {"schema": {"type": "string", "format": "binary"}}
ANY_BYTES = {"content": {"application/octet-stream": BYTES}}
SUBTITLES: dict[str | int | HTTPStatus, Any] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
UPLOAD_PATH = re.compile(rf"{RAW_UPLOAD}/([0-9a-f-]{{36}})$")


@blueprint.post(RAW_UPLOAD.removeprefix(PREFIX), responses={200: schemas.RawUpload}, request_body=ANY_BYTES)
def upload_media() -> Answer:
    """Upload a recording as the body, with any content type."""
    request.max_content_length = sys.maxsize  # the limit of a file is checked while the body streams
    with upload_slot():
        media_id = raw.store_body(
            box(), tenant_id(), request.stream, declared_bytes=request.content_length, content_type=request.mimetype
        )
    return {"upload_url": url_of(media_id)}, 200


@blueprint.post("/transcript", responses={200: schemas.SpeechTranscript})
def create_transcript(body: schemas.CreateTranscript) -> Answer:
    """Request a transcript of an upload, or of a URL on a host that the operator allows."""
    media_id = media_of(body.audio_url)
    raw_options.refuse(body.model_extra or {})
    raw_options.check_language("language_code", [body.language_code])
    raw_options.check_language("language_codes", body.language_codes or [])
    raw_options.check_always("punctuate", body.punctuate)
    raw_options.check_always("format_text", body.format_text)
    model = raw_options.choose_model(box(), tenant_id(), body.speech_model, body.speech_models)
    callback = raw_transcripts.check_webhook(
        box(), body.webhook_url, body.webhook_auth_header_name, body.webhook_auth_header_value
    )
    options = body.model_dump(exclude_none=True, include=set(raw_options.SHOWN))
    if media_id is None:
        transcript = raw_transcripts.fetch_and_transcribe(box(), tenant_id(), body.audio_url, model, options, callback)
    else:
        transcript = raw_transcripts.transcribe(box(), tenant_id(), media_id, model, options, callback)
    return render_transcript(transcript, audio_url_of(transcript)), 200


@blueprint.get("/transcript", responses={200: schemas.SpeechPage})
def list_transcripts(query: schemas.ListTranscripts) -> Answer:
    """List transcripts, newest first."""
    page = raw_transcripts.list_page(
        box(),
        tenant_id(),
        statuses=STATUSES[query.status] if query.status else (),
        created_on=query.created_on.isoformat() if query.created_on else None,
        before_id=query.before_id,
        after_id=query.after_id,
        limit=query.limit,
    )
    here = f"{origin()}{PREFIX}/transcript"
    filters = query.model_dump(mode="json", exclude_none=True, exclude={"before_id", "after_id"})
    details = {
        "limit": query.limit,
        "result_count": len(page),
        "current_url": f"{here}?{urlencode(query.model_dump(mode='json', exclude_none=True))}",
        "prev_url": f"{here}?{urlencode(filters | {'before_id': page[-1].id})}" if page else None,
        "next_url": f"{here}?{urlencode(filters | {'after_id': page[0].id})}" if page else None,
    }
    items = [render_item(transcript, audio_url_of(transcript), f"{here}/{transcript.id}") for transcript in page]
    return {"page_details": details, "transcripts": items}, 200


@blueprint.get("/transcript/<transcript_id>", responses={200: schemas.SpeechTranscript})
def get_transcript(path: schemas.TranscriptPath) -> Answer:
    """Get a transcript and its status."""
    transcript = raw_transcripts.find(box(), tenant_id(), path.transcript_id)
    webhook_status_code = raw_transcripts.webhook_status_code(box(), transcript)
    return render_transcript(transcript, audio_url_of(transcript), webhook_status_code), 200


@blueprint.get("/transcript/<transcript_id>/clip", responses={200: {"content": {"audio/wav": BYTES}}})
def get_transcript_clip(path: schemas.TranscriptPath, query: ClipQuery) -> Response:
    """Get up to 30 s of the recording as WAV, exact to the sample, with its own rate and channels."""
    if query.start_ms >= query.end_ms:
        raise InvalidRequest("end_ms: must be after start_ms.")
    transcript = raw_transcripts.find(box(), tenant_id(), path.transcript_id)
    return whole_file(clips.clip(box(), looking().viewers, transcript, query.start_ms, query.end_ms), "audio/wav")


@blueprint.get("/transcript/<transcript_id>/spectrogram.png", responses={200: {"content": {"image/png": BYTES}}})
def get_transcript_spectrogram(path: schemas.TranscriptPath, query: ClipQuery) -> Response:
    """Get the spectrogram of up to 30 s of the recording: 256 pixels high, scaled as the tiles of inference jobs."""
    if query.start_ms >= query.end_ms:
        raise InvalidRequest("end_ms: must be after start_ms.")
    transcript = raw_transcripts.find(box(), tenant_id(), path.transcript_id)
    content = clips.picture(box(), looking().viewers, transcript, query.start_ms, query.end_ms)
    return Response(content, mimetype="image/png", headers={"Cache-Control": IMMUTABLE})


@blueprint.delete("/transcript/<transcript_id>", responses={200: schemas.SpeechTranscript})
def delete_transcript(path: schemas.TranscriptPath) -> Answer:
    """Delete a transcript, and its upload if no other transcript uses it. The answer is the deleted transcript."""
    transcript = raw_transcripts.find(box(), tenant_id(), path.transcript_id)
    raw_transcripts.delete(box(), transcript)
    return render_transcript(transcript, audio_url_of(transcript)), 200


@blueprint.get("/transcript/<transcript_id>/sentences", responses={200: schemas.SpeechSentences})
def get_sentences(path: schemas.TranscriptPath) -> Answer:
    """Get a completed transcript in sentences."""
    transcript = raw_transcripts.find_completed(box(), tenant_id(), path.transcript_id)
    return render_passages(transcript, "sentences", captions.sentences(transcript.result or {})), 200


@blueprint.get("/transcript/<transcript_id>/paragraphs", responses={200: schemas.SpeechParagraphs})
def get_paragraphs(path: schemas.TranscriptPath) -> Answer:
    """Get a completed transcript in paragraphs."""
    transcript = raw_transcripts.find_completed(box(), tenant_id(), path.transcript_id)
    return render_passages(transcript, "paragraphs", captions.paragraphs(transcript.result or {})), 200


@blueprint.get("/transcript/<transcript_id>/srt", responses=SUBTITLES)
def get_srt(path: schemas.TranscriptPath, query: schemas.CaptionQuery) -> Response:
    """Get a completed transcript as SubRip subtitles."""
    transcript = raw_transcripts.find_completed(box(), tenant_id(), path.transcript_id)
    return Response(captions.srt(transcript.result or {}, query.chars_per_caption), mimetype="text/plain")


@blueprint.get("/transcript/<transcript_id>/vtt", responses=SUBTITLES)
def get_vtt(path: schemas.TranscriptPath, query: schemas.CaptionQuery) -> Response:
    """Get a completed transcript as WebVTT subtitles."""
    transcript = raw_transcripts.find_completed(box(), tenant_id(), path.transcript_id)
    return Response(captions.vtt(transcript.result or {}, query.chars_per_caption), mimetype="text/plain")


@blueprint.get("/transcript/<transcript_id>/word-search", responses={200: schemas.WordSearch})
def search_words(path: schemas.TranscriptPath, query: schemas.WordSearchQuery) -> Answer:
    """Find words and phrases in a completed transcript."""
    transcript = raw_transcripts.find_completed(box(), tenant_id(), path.transcript_id)
    words = (transcript.result or {}).get("words") or []
    return render_matches(transcript, word_search.search(words, query.words.split(","))), 200


def url_of(media_id: str) -> str:
    """Return the URL of an upload, at the client's own origin. Only the raw route can use it."""
    return f"{origin()}{RAW_UPLOAD}/{media_id}"


def audio_url_of(transcript: Transcript) -> str:
    """Return the URL that was transcribed: of an upload, or the client's own."""
    return str(transcript.options.get("audio_url") or url_of(transcript.media_id))


def media_of(audio_url: str) -> str | None:
    """Return the id of the upload that a URL names, under whatever name or scheme of the appliance a client knows.

    Its host is not asked: the id must be of an upload of the tenant. Any other URL gives None, and may be fetched.
    Raises InvalidRequest if it is not a URL.
    """
    try:
        url = urlsplit(audio_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError
    except ValueError as error:
        raise InvalidRequest("audio_url: must be an http or https URL.") from error
    upload = UPLOAD_PATH.search(url.path)
    return upload[1] if upload else None
