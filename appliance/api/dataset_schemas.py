"""Requests and answers of datasets, their audio and its annotations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from appliance.api.schemas import Body, DeclaredFile, NumberedAnswer, NumberedPage, Query, Text, WholeNumber
from appliance.state.annotations import Presence
from appliance.state.moves import AnnotationSetStatus, AudioStatus

MAX_ARTIFACT_TYPES = 200
MAX_BULK_ANNOTATIONS = 10_000

# --- requests -------------------------------------------------------------------------------------------------------


GroupName = Annotated[Text, Field(min_length=1, max_length=200)]
GROUP = "Recordings of one origin, such as a voice or a session. A training never learns from a group and tries it too."


class ArtifactType(Body):
    """A type that annotations of the dataset may have."""

    name: Text = Field(min_length=1, max_length=100)
    description: Text | None = Field(None, max_length=10_000)
    color: Text = Field("#FF0000", pattern=r"^#[0-9A-Fa-f]{6}$", description="Color to show it in, `#RRGGBB`.")


def _unique_names(artifact_types: list[ArtifactType]) -> list[ArtifactType]:
    names = [artifact_type.name for artifact_type in artifact_types]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"the name {twice!r} occurs more than once")
    return artifact_types


ArtifactTypes = Annotated[
    list[ArtifactType], Field(max_length=MAX_ARTIFACT_TYPES, fail_fast=True), AfterValidator(_unique_names)
]


class CreateDataset(Body):
    """A new dataset."""

    name: Text = Field(min_length=1, max_length=200)
    description: Text = Field("", max_length=10_000)
    artifact_types: ArtifactTypes = Field(
        [], description="The types that annotations may have. If it is empty, they may have any."
    )


class ChangeDataset(Body):
    """Changes to a dataset; a key that is left out stays as it is."""

    name: Text | None = Field(None, min_length=1, max_length=200)
    description: Text | None = Field(None, max_length=10_000)
    artifact_types: ArtifactTypes | None = Field(None, description="Replaces the whole list.")


class RequestAudioUpload(DeclaredFile):
    """Audio that is about to be uploaded."""

    file_size: WholeNumber = Field(description="Exact size of the file, 1 to 524,288,000 bytes.")
    group: GroupName | None = Field(None, description=GROUP)


class ChangeAudio(Body):
    """A change of audio."""

    group: GroupName | None = Field(description=GROUP)


class ConfirmAudioUpload(Body):
    """Audio that was uploaded."""

    audio_id: Text


class CreateAnnotation(Body):
    """A labeled stretch of a recording."""

    artifact_type: Text = Field(min_length=1, max_length=100)
    start_ms: WholeNumber
    end_ms: WholeNumber


class CreateRecordingAnnotation(CreateAnnotation):
    """A labeled stretch of a recording that belongs to no annotation set."""

    presence: Presence = Field("present", description="Whether the label is there; `unsure` is left out of training.")


class ReviewStretch(Body):
    """What a person listened for."""

    labels: list[Annotated[Text, Field(min_length=1, max_length=100)]] = Field(
        min_length=1, max_length=MAX_ARTIFACT_TYPES, description="If none of these is annotated, none is there."
    )
    start_ms: WholeNumber = Field(0, ge=0)
    end_ms: WholeNumber | None = Field(None, ge=1, description="Null: to the end of the recording.")


Confidence = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class CreateSetAnnotation(CreateAnnotation):
    """A labeled stretch of a recording, in an annotation set."""

    audio_file_id: Text = Field(description="Audio of the same dataset, which must be ready.")
    confidence: Confidence = 1.0


class CreateSetAnnotations(Body):
    """Annotations that are stored together: all of them, or none."""

    annotations: list[CreateSetAnnotation] = Field(min_length=1, max_length=MAX_BULK_ANNOTATIONS, fail_fast=True)


class ChangeSetAnnotation(Body):
    """Changes to an annotation; a key that is left out stays as it is."""

    audio_file_id: Text | None = None
    artifact_type: Text | None = Field(None, min_length=1, max_length=100)
    start_ms: WholeNumber | None = None
    end_ms: WholeNumber | None = None
    confidence: Confidence | None = None


class AnnotateFromDetections(Body):
    """Which detections to copy, and onto which audio."""

    audio_file_id: Text = Field(description="The same recording as the inference file; their lengths are compared.")
    job_id: Text = Field(description="An inference job.")
    file_id: Text = Field(description="A completed file of that job.")
    threshold: Confidence = Field(0.0, description="Lowest confidence that is copied.")
    artifact_types: list[Text] | None = Field(None, max_length=1000, description="Only these types; null for all.")


class FileOfAudio(Body):
    """An inference file and the audio that is the same recording."""

    file_id: Text
    audio_file_id: Text


class AnnotateFromReviews(Body):
    """The job whose confirmed reviews to add."""

    job_id: Text
    recordings: list[FileOfAudio] | None = Field(
        None,
        max_length=10_000,
        fail_fast=True,
        description="Which file is which audio; null for audio with the same name, size and length.",
    )


class AnnotationsAdded(BaseModel):
    """What was added."""

    created: int
    already_present: int
    unmatched_file_ids: list[str] = Field(description="Files with confirmed reviews that are no audio of the dataset.")


class DatasetPath(BaseModel):
    """Path of a dataset."""

    dataset_id: Text


class AudioPath(DatasetPath):
    """Path of audio."""

    audio_id: Text


class ReviewedStretchPath(AudioPath):
    """Path of a reviewed stretch."""

    stretch_id: Text


class AnnotationPath(AudioPath):
    """Path of an annotation."""

    annotation_id: Text


class AnnotationSetPath(DatasetPath):
    """Path of an annotation set."""

    set_id: Text


class SetAnnotationPath(AnnotationSetPath):
    """Path of an annotation in a set."""

    annotation_id: Text


class ListAnnotationSets(NumberedPage):
    """Which annotation sets to list."""

    status: AnnotationSetStatus | None = None


class ListSetAnnotations(NumberedPage):
    """Which annotations of a set to list."""

    audio_file_id: Text | None = None
    artifact_type: Text | None = None


class ListAnnotations(NumberedPage):
    """Which annotations of a recording to list."""

    limit: int = Field(MAX_BULK_ANNOTATIONS, ge=1, le=MAX_BULK_ANNOTATIONS)


class ListAudio(NumberedPage):
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
    by: Literal["spectrum", "sound", "fault", "both"] = Field(
        "spectrum",
        description="What must be alike: the spectral shape; or, in the learned search, the sound, the faults or both.",
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
    artifact_types: list[ArtifactType]
    audio_count: int
    annotation_set_count: int
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"})


class DatasetPage(NumberedAnswer):
    """A page of datasets, newest first."""

    datasets: list[Dataset]
    items: list[Dataset] = Field(description="The same as `datasets`.")


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
    group: str | None
    created_at: str = Field(json_schema_extra={"format": "date-time"})


class AudioPage(NumberedAnswer):
    """A page of audio, newest first."""

    audio: list[Audio]
    items: list[Audio] = Field(description="The same as `audio`.")


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
    presence: Presence
    created_at: str = Field(json_schema_extra={"format": "date-time"})


class ReviewedStretch(BaseModel):
    """A stretch of a recording that a person listened to for some labels."""

    id: str
    labels: list[str]
    start_ms: int
    end_ms: int
    created_at: str = Field(json_schema_extra={"format": "date-time"})


class ReviewedStretchList(BaseModel):
    """The reviewed stretches of a recording, in order of their start."""

    reviews: list[ReviewedStretch]


class AnnotationList(BaseModel):
    """The annotations that were stored, in order of their start."""

    annotations: list[Annotation]


class AnnotationPage(NumberedAnswer):
    """A page of a recording's annotations, in order of their start."""

    annotations: list[Annotation]
    items: list[Annotation] = Field(description="The same as `annotations`.")


class AnnotationSet(BaseModel):
    """A version of a dataset's annotations. A published one never changes."""

    id: str
    dataset_id: str
    version: int = Field(description="Counts from 1 in each dataset.")
    status: AnnotationSetStatus
    total_annotations: int
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"})
    published_at: str | None = Field(json_schema_extra={"format": "date-time"})


class AnnotationSetPage(NumberedAnswer):
    """A page of annotation sets in order of their version."""

    items: list[AnnotationSet]


class SetAnnotation(BaseModel):
    """A labeled stretch of a recording, in an annotation set."""

    id: str
    annotation_set_id: str
    audio_file_id: str
    artifact_type: str
    start_ms: int
    end_ms: int
    confidence: float
    created_at: str = Field(json_schema_extra={"format": "date-time"})


class SetAnnotationPage(NumberedAnswer):
    """A page of a set's annotations, oldest first."""

    items: list[SetAnnotation]


class SetAnnotationList(BaseModel):
    """The annotations that were stored, in the order of the request."""

    annotations: list[SetAnnotation]
    created: int = Field(description="How many.")
