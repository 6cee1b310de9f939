"""Requests and answers of datasets, their audio and its annotations."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from appliance.api.schemas import Body, DeclaredFile, Page, Query, Text
from appliance.state.moves import AudioStatus

# --- requests -------------------------------------------------------------------------------------------------------


class CreateDataset(Body):
    """A new dataset."""

    name: Text = Field(min_length=1, max_length=200)
    description: Text = Field("", max_length=10_000)


class ChangeDataset(Body):
    """Changes to a dataset; a key that is left out stays as it is."""

    name: Text | None = Field(None, min_length=1, max_length=200)
    description: Text | None = Field(None, max_length=10_000)


class RequestAudioUpload(DeclaredFile):
    """Audio that is about to be uploaded."""

    file_size: int = Field(description="Exact size of the file, 1 to 524,288,000 bytes.")


class ConfirmAudioUpload(Body):
    """Audio that was uploaded."""

    audio_id: Text


class CreateAnnotation(Body):
    """A labeled stretch of a recording."""

    artifact_type: Text = Field(min_length=1, max_length=100)
    start_ms: int
    end_ms: int


class DatasetPath(BaseModel):
    """Path of a dataset."""

    dataset_id: Text


class AudioPath(DatasetPath):
    """Path of audio."""

    audio_id: Text


class AnnotationPath(AudioPath):
    """Path of an annotation."""

    annotation_id: Text


class ListAudio(Page):
    """Which audio to list."""

    status: AudioStatus | None = None


class DownloadAudio(Query):
    """Which file to download."""

    normalized: bool = Field(False, description="The 16 kHz mono WAV; `True`, `true` and `1` all mean it.")


class FindSimilar(Query):
    """How many recordings to return, and from which dataset."""

    k: int = Field(10, ge=1, le=1000)
    dataset_id: Text | None = Field(
        None, description="Search only this dataset; without it, all datasets of the tenant."
    )


class AnnotationFormat(Query):
    """The format of a file of annotations: JSON lines, or an Audacity label track."""

    format: Literal["jsonl", "audacity"] = "jsonl"


# --- answers --------------------------------------------------------------------------------------------------------


class Dataset(BaseModel):
    """A named collection of audio."""

    id: str
    name: str
    description: str
    audio_count: int
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"})


class DatasetPage(BaseModel):
    """A page of datasets, newest first."""

    datasets: list[Dataset]
    next_cursor: str | None


class Audio(BaseModel):
    """Audio of a dataset. Its measured properties are null until it is normalized."""

    id: str
    audio_id: str = Field(description="The same as `id`.")
    dataset_id: str
    original_filename: str
    content_type: str
    processing_status: AudioStatus
    processing_error: str | None
    error_code: str | None
    duration_ms: int | None
    sample_rate_hz: int | None
    channels: int | None
    codec: str | None
    size_bytes: int
    sha256: str | None = Field(description="Of the original file.")
    created_at: str = Field(json_schema_extra={"format": "date-time"})


class AudioPage(BaseModel):
    """A page of audio, newest first."""

    audio: list[Audio]
    next_cursor: str | None


class AudioUpload(BaseModel):
    """Where and how to post the file: every field in this order, then the file as the last field, `file`."""

    upload_url: str
    fields: dict[str, str]
    audio_id: str
    expires_in: int = Field(description="Seconds.")


class AudioConfirmation(BaseModel):
    """The receipt of a confirmed upload; the same however often it is confirmed."""

    audio_id: str
    status: Literal["normalizing"]
    message: str


class AudioDownload(BaseModel):
    """The URL of a file."""

    download_url: str
    expires_in: int = Field(description="Seconds.")


class SimilarAudio(BaseModel):
    """A similar recording."""

    audio_id: str
    dataset_id: str
    original_filename: str
    similarity: float = Field(description="Cosine of the mean embeddings, -1 to 1.")


class SimilarList(BaseModel):
    """The nearest recordings, nearest first."""

    similar: list[SimilarAudio]


class Annotation(BaseModel):
    """A labeled stretch of a recording."""

    id: str
    artifact_type: str
    start_ms: int
    end_ms: int
    created_at: str = Field(json_schema_extra={"format": "date-time"})


class AnnotationList(BaseModel):
    """The annotations of a recording in order of their start."""

    annotations: list[Annotation]
