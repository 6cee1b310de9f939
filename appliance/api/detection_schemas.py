"""Bodies, queries and answers of detection with other settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from appliance.api.schemas import Detection, EffectiveConfig, InferenceConfig, Page, Query, Text
from appliance.engine.models.manifest import MAX_MERGE_WINDOW_MS, MAX_MIN_DURATION_MS, MAX_THRESHOLD, MIN_THRESHOLD


class PreviewDetections(Query):
    """Settings to try. A key that is left out keeps its present value."""

    threshold: Annotated[float, Field(ge=MIN_THRESHOLD, le=MAX_THRESHOLD, allow_inf_nan=False)] | None = None
    merge_window_ms: Annotated[int, Field(ge=0, le=MAX_MERGE_WINDOW_MS)] | None = None
    min_duration_ms: Annotated[int, Field(ge=0, le=MAX_MIN_DURATION_MS)] | None = None


class Redetect(InferenceConfig):
    """Settings to keep. A key that is left out keeps its present value; null stands for the model's own values."""

    with_model: bool = Field(False, description="Analyze the recording again, which also makes its scores again.")


class PreviewedDetections(BaseModel):
    """What the detections of a file would be."""

    file_id: str
    config: EffectiveConfig
    detection_count: int
    detections: list[Detection]
    detections_truncated: bool


class GetScores(Query):
    """Which stretch of a file, in how many parts."""

    start_ms: int = Field(0, ge=0, le=2**40)
    end_ms: int = Field(gt=0, le=2**40, description="After `start_ms`.")
    points: int = Field(1000, ge=1, le=4000)


class LabelScores(BaseModel):
    """The greatest score of a label in each part of a stretch, 0 to 1; 0 behind the end of the file."""

    artifact_type: str
    scores: list[float]


class Scores(BaseModel):
    """The scores of a stretch, as they are kept."""

    file_id: str
    start_ms: int
    end_ms: int
    labels: list[LabelScores]


class CompareJobs(Page):
    """The job to compare with."""

    with_: Text = Field(alias="with", description="Another job on the same recordings.")
    tolerance_ms: Annotated[int, Field(ge=0, le=10_000)] = Field(
        50, description="Detections of one type this close are the same."
    )


class ComparedDetection(Detection):
    """A detection, and whether the other job has it."""

    matched: bool


class ComparedFile(BaseModel):
    """A recording of both jobs; `other_file_id` is null if the other job has no completed file of it."""

    file_id: str
    other_file_id: str | None
    original_filename: str
    duration_ms: int
    here: list[ComparedDetection]
    there: list[ComparedDetection]


class ComparedType(BaseModel):
    """How many detections of a type on this page both jobs have, or only one."""

    artifact_type: str
    both: int = Field(description="Detections of this job that the other one has too.")
    only_here: int
    only_there: int


class Comparison(BaseModel):
    """A page of a job's completed files beside those of another job."""

    files: list[ComparedFile]
    types: list[ComparedType]
    next_cursor: str | None


class RedetectionOfJob(BaseModel):
    """The files that the worker will detect again in."""

    queued_files: int
