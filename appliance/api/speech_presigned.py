"""The presigned route over HTTP: a URL for a PUT, then the transcript or the detections of the file."""

from __future__ import annotations

from typing import Any, Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from appliance.api.context import box, origin, require_either_key, tenant_id
from appliance.api.schemas import Body, CallbackDelivery, InferenceConfig, Query, Text
from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import InvalidRequest
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
HostedStatus = Literal["COMPLETED", "PENDING", "ERROR"]
CAMEL = ConfigDict(alias_generator=to_camel)


class GeneratePresignedUrl(Body):
    """A file that is about to be uploaded by PUT."""

    model_config = CAMEL

    file_name: Text = Field("", max_length=1024, description="Shown unchanged; never part of a path.")
    content_type: Text | None = Field(
        None, description="One of the seven audio types, or an alias that browsers send. This or `mimeType` is needed."
    )
    mime_type: Text | None = Field(None, description="The same as `contentType`.")
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
    api_version: Text | None = Field(None, alias="api-version", description="Ignored.")


class GetStatus(Body):
    """Which transcription to get, by the name that the hosted service gives its id."""

    model_config = CAMEL

    request_id: Text


class PresignedUrl(BaseModel):
    """The URL for a `PUT` with the file's bytes as the body and a Content-Type."""

    model_config = CAMEL

    presigned_url: str
    transcription_id: str
    request_id: str = Field(description="The same as `transcriptionId`.")
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
    detections_truncated: bool | None = Field(
        description="Whether there were more than 10,000 detections, of which only the strongest are kept."
    )
    error: str | None
    error_code: str | None
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"})
    callback: TranscriptionCallback | None = Field(
        description="The webhook of the transcription; null before its end, and after it has left the log."
    )


class SpokenSegment(BaseModel):
    """A segment with its start and end in seconds."""

    text: str
    start: float
    end: float


class TranscriptionStatus(BaseModel):
    """A transcription with the field names of the hosted service."""

    model_config = CAMEL

    request_id: str
    transcription: list[SpokenSegment] = Field(description="Empty before the end, and if the model is for detection.")
    transcription_status: HostedStatus
    processing_status: HostedStatus = Field(description="The same as `transcriptionStatus`.")
    vtt_transcription: str | None = Field(None, description="WebVTT, once completed.")
    error_message: str | None = Field(None, description="Only if the status is `ERROR`.")


@blueprint.post("/generate-presigned-url", responses={200: PresignedUrl})
@blueprint.post("/v1/generate-presigned-url", responses={200: PresignedUrl}, endpoint="generate_presigned_url_v1")
def generate_presigned_url(body: GeneratePresignedUrl) -> Answer:
    """Request a URL that takes one file by PUT."""
    content_type = body.content_type if body.content_type is not None else body.mime_type
    if content_type is None:
        raise InvalidRequest("contentType, mimeType: one of them is needed.")
    if body.mime_type not in (None, content_type):
        raise InvalidRequest("contentType, mimeType: name different types.")
    upload = presigned.request_url(
        box(),
        tenant_id(),
        filename=body.file_name,
        content_type=content_type,
        content_type_field="contentType" if body.content_type is not None else "mimeType",
        callback_url=body.callback_url,
        model_id=body.model_id,
        config=DetectionConfig(**body.config.model_dump()) if body.config else None,
        origin=origin(),
    )
    return {
        "presignedUrl": upload.url,
        "transcriptionId": upload.transcript_id,
        "requestId": upload.transcript_id,
        "expiresIn": upload.expires_seconds,
    }, 200


@blueprint.get("/get-transcription", responses={200: Transcription})
@blueprint.get("/v1/get-transcription", responses={200: Transcription}, endpoint="get_transcription_v1")
def get_transcription(query: GetTranscription) -> Answer:
    """Get a transcription and its result."""
    return presigned.report(box(), tenant_id(), query.transcription_id), 200


@blueprint.post("/get-transcription", responses={200: TranscriptionStatus})
@blueprint.post("/v1/get-transcription", responses={200: TranscriptionStatus}, endpoint="get_status_v1")
def get_status(body: GetStatus) -> Answer:
    """Get a transcription and its result, with the field names of the hosted service."""
    return presigned.status_of(box(), tenant_id(), body.request_id), 200


@blueprint.delete("/get-transcription", responses={204: None})
@blueprint.delete("/v1/get-transcription", responses={204: None}, endpoint="delete_transcription_v1")
def delete_transcription(query: GetTranscription) -> tuple[str, int]:
    """Delete a transcription with its result and its file."""
    presigned.delete(box(), tenant_id(), query.transcription_id)
    return "", 204
