"""Bodies, queries and answers of detection with other settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from appliance.api.schemas import Detection, EffectiveConfig, InferenceConfig, Query
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


class RedetectionOfJob(BaseModel):
    """The files that the worker will detect again in."""

    queued_files: int
