"""The presigned route over HTTP: a URL for a PUT, then the transcript or the detections of the file."""

from __future__ import annotations

from typing import Any, Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from appliance.api.context import box, origin, require_either_key, tenant_id
from appliance.api.schemas import Body, CallbackDelivery, InferenceConfig, Query, Text
from appliance.engine.scoring.events import DetectionConfig
from appliance.services.speech import presigned

blueprint = APIBlueprint(
    "speech_presigned",
    __name__,
    url_prefix="/api",
    abp_tags=[Tag(name="speech presigned", description="A URL for a PUT; the upload starts the transcription.")],
    abp_security=[{"api_key": []}, {"authorization": []}],
)
blueprint.before_request(require_either_key)

Answer = tuple[dict[str, Any], int]
CAMEL = ConfigDict(alias_generator=to_camel)


class GeneratePresignedUrl(Body):
    """A file that is about to be uploaded by PUT."""

    model_config = CAMEL

    file_name: Text = Field(max_length=1024, description="Shown unchanged; never part of a path.")
    content_type: Text = Field(description="One of the seven audio types, or an alias that browsers send.")
    callback_url: Text | None = Field(
        None, description="Gets the webhook `transcription.completed` or `transcription.failed`; see webhooks.md."
    )
    model_id: Text | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="`<name>` or `<name>@<version>` of a model for transcription or detection.",
    )
    config: InferenceConfig | None = Field(None, description="For models for detection.")


class GetTranscription(Query):
    """Which transcription to get."""

    model_config = CAMEL

    transcription_id: Text


class PresignedUrl(BaseModel):
    """The URL for a `PUT` with the file's bytes as the body and a Content-Type."""

    model_config = CAMEL

    presigned_url: str
    transcription_id: str
    expires_in: int = Field(description="Seconds.")


class Span(BaseModel):
    """A word, a segment or a detection."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    start_ms: int = Field(ge=0)
    end_ms: int = Field(ge=0)


class TranscriptionCallback(CallbackDelivery):
    """A webhook and its delivery, as the log of deliveries has it."""

    model_config = CAMEL


class Transcription(BaseModel):
    """A transcription and its result: `detections` if the model is for detection, else text."""

    model_config = CAMEL

    transcription_id: str
    status: Literal["pending", "processing", "completed", "failed"]
    progress: float = Field(ge=0.0, le=1.0)
    file_name: str
    content_type: str
    model_id: str = Field(description="`<name>@<version>`.")
    duration_ms: int | None
    text: str | None
    segments: list[Span] | None
    words: list[Span] | None
    detections: list[Span] | None
    error: str | None
    error_code: str | None
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"})
    callback: TranscriptionCallback | None = Field(
        description="The webhook of the transcription; null before its end, and after it has left the log."
    )


@blueprint.post("/generate-presigned-url", responses={200: PresignedUrl})
def generate_presigned_url(body: GeneratePresignedUrl) -> Answer:
    """Request a URL that takes one file by PUT."""
    upload = presigned.request_url(
        box(),
        tenant_id(),
        filename=body.file_name,
        content_type=body.content_type,
        callback_url=body.callback_url,
        model_id=body.model_id,
        config=DetectionConfig(**body.config.model_dump()) if body.config else None,
        origin=origin(),
    )
    return {
        "presignedUrl": upload.url,
        "transcriptionId": upload.transcript_id,
        "expiresIn": upload.expires_seconds,
    }, 200


@blueprint.get("/get-transcription", responses={200: Transcription})
def get_transcription(query: GetTranscription) -> Answer:
    """Get a transcription and its result."""
    return presigned.report(box(), tenant_id(), query.transcription_id), 200
