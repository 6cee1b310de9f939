"""Bodies, queries and answers of reviews."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from appliance.api.schemas import Body, Detection, FilePath, Page, Query, Text, WholeNumber
from appliance.state.reviews import QueueOrder, ReviewState, ReviewVerdict

ReviewId = Annotated[Text, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Chosen by the client, such as a UUID.")]
TypeName = Annotated[Text, Field(min_length=1, max_length=100)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
MAX_BATCH = 1000


class PutReview(Body):
    """A decision about what a model reported: its type and span, as they were reported, and what is true."""

    artifact_type: TypeName
    start_ms: WholeNumber
    end_ms: WholeNumber
    verdict: ReviewVerdict
    reviewed_type: TypeName | None = Field(None, description="The right type, if it is another.")
    reviewed_start_ms: WholeNumber | None = Field(None, description="The right start, together with the right end.")
    reviewed_end_ms: WholeNumber | None = None
    comment: Text = Field("", max_length=2000)


class PutFileReview(PutReview):
    """A review with its file and its id."""

    file_id: Text
    id: ReviewId


class ReviewOfFile(Body):
    """The name of a review."""

    file_id: Text
    id: ReviewId


class ReviewBatch(Body):
    """Reviews to store and to delete: all of it, or nothing. Deletions come first."""

    reviews: list[PutFileReview] = Field([], max_length=MAX_BATCH, fail_fast=True)
    delete: list[ReviewOfFile] = Field([], max_length=MAX_BATCH, fail_fast=True)


class ReviewPath(FilePath):
    """Path of a review."""

    review_id: ReviewId


class ListReviewQueue(Page):
    """Which detections of a job to list, and in which order."""

    order: QueueOrder = Field("time", description="By file and time, or by confidence.")
    state: ReviewState | None = None
    type: Text | None = Field(None, description="The type that the model reported.")
    file_id: Text | None = None
    min_confidence: Share | None = None
    max_confidence: Share | None = None


class GetReviewSummary(Query):
    """What the suggested thresholds are for."""

    target_precision: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] = 0.9


class Review(BaseModel):
    """A review."""

    id: str
    file_id: str
    artifact_type: str
    start_ms: int
    end_ms: int
    verdict: ReviewVerdict
    reviewed_type: str | None
    reviewed_start_ms: int | None
    reviewed_end_ms: int | None
    comment: str
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"})


class ReviewList(BaseModel):
    """The reviews of a file, in order of their start."""

    reviews: list[Review]


class ReviewBatchDone(BaseModel):
    """What a batch did."""

    stored: int
    deleted: int


class ReviewCounts(BaseModel):
    """Detections, in all and by the state of their review."""

    total: int
    unreviewed: int
    reviewed: int
    confirmed: int = Field(description="Right, with the type that the model reported.")
    relabelled: int = Field(description="Something is there, of another type.")
    rejected: int


class QueueItem(BaseModel):
    """A detection with its file and the review that it matches."""

    file_id: str
    original_filename: str
    duration_ms: int
    detection: Detection
    review: Review | None


class ReviewQueue(BaseModel):
    """A page of the queue."""

    items: list[QueueItem]
    next_cursor: str | None
    counts: ReviewCounts = Field(description="Of all detections that the query chooses.")
    progress: ReviewCounts = Field(description="Of all detections of the job.")


class ListSimilar(Query):
    """A sound, as the stretch of a file, and which detections to compare with it."""

    file_id: Text
    start_ms: int = Field(ge=0, le=2**40)
    end_ms: int = Field(gt=0, le=2**40, description="After `start_ms`. Up to 2 s of the stretch are compared.")
    type: Text | None = Field(None, description="Only detections of this type.")
    state: ReviewState | None = Field(None, description="Only detections whose review is in this state.")
    min_similarity: Share = 0.9


class SimilarItem(QueueItem):
    """A detection, and how much it sounds like the one in question."""

    similarity: float = Field(
        description="1 if the spectra have the same shape, less by 0.05 for each decibel between them, and at least 0."
    )


class SimilarDetections(BaseModel):
    """Detections that sound alike, the most similar first."""

    items: list[SimilarItem]
    compared: int = Field(description="How many detections were compared: the first 2,000 in order of file and time.")


class LabelSummary(BaseModel):
    """How good the model is for a type, by the reviews."""

    artifact_type: str
    counts: ReviewCounts
    missed: int = Field(description="Confirmed reviews that no detection matches.")
    precision: float | None = Field(description="Share of the reviewed detections that are confirmed.")
    precision_low: float | None = Field(description="Lower end of Wilson's interval of 95 %.")
    precision_high: float | None
    suggested_threshold: float | None = Field(
        description="Lowest confidence at and above which the reviewed detections reach the target; null if none does."
    )
    kept_confirmed: int = Field(description="Confirmed detections at or above the suggested threshold.")


class ReviewSummary(BaseModel):
    """How good the model is in a job, by the reviews."""

    target_precision: float
    labels: list[LabelSummary]
