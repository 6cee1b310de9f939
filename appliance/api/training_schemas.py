"""Requests and answers of training jobs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from appliance.api.schemas import Body, CallbackDelivery, NumberedAnswer, NumberedPage, Query, Text, WholeNumber
from appliance.state.moves import TrainingStatus

Labels = Annotated[list[Annotated[Text, Field(min_length=1, max_length=100)]], Field(min_length=1, max_length=200)]
IGNORED = "Accepted, and without effect."
DatasetIds = Annotated[list[Text], Field(min_length=1, max_length=100)]
SUMMARY = "Counts of recordings, groups and seconds, and of each label its events, groups and audio without it."


class Holdout(Body):
    """What the training never learns from, to try the model on it: a share of the groups, or all of some datasets."""

    share: float | None = Field(None, ge=0.1, le=0.5, allow_inf_nan=False)
    dataset_ids: DatasetIds | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Holdout:
        if (self.share is None) == (self.dataset_ids is None):
            raise ValueError("must have either share or dataset_ids")
        return self


class TrainingConfig(Body):
    """What a client of the hosted service asks for. The training chooses all but the first two by itself."""

    artifact_types: Labels | None = Field(None, description="Another name of `labels`.")
    validation_split: float | None = Field(
        None, ge=0.1, le=0.5, allow_inf_nan=False, description="Another name of `holdout.share`."
    )
    epochs: WholeNumber | None = Field(None, ge=1, le=100, description=IGNORED)
    learning_rate: float | None = Field(None, gt=0, le=1, allow_inf_nan=False, description=IGNORED)
    batch_size: WholeNumber | None = Field(None, ge=1, le=1024, description=IGNORED)
    chunk_size_ms: WholeNumber | None = Field(None, ge=1, le=600_000, description=IGNORED)
    stride_ms: WholeNumber | None = Field(None, ge=1, le=600_000, description=IGNORED)


class CreateTrainingJob(Body):
    """A new training. It needs `labels` and `dataset_ids`, or what a client of the hosted service sends instead."""

    name: Text | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$",
        description="Name of the model; each training of a name makes its next version. "
        "If it is left out, it is `dataset-` and the first eight characters of the first dataset's id.",
    )
    dataset_ids: DatasetIds | None = Field(None, description="Datasets to learn from.")
    dataset_id: Text | None = Field(None, description="Another name of `dataset_ids`, for one.")
    annotation_set_ids: list[Text] = Field(
        [], max_length=100, description="Published annotation sets of these datasets to learn from too."
    )
    annotation_set_id: Text | None = Field(None, description="Another name of `annotation_set_ids`, for one.")
    labels: Labels | None = Field(None, description="Types of annotations that the model is to find, up to 20.")
    base_model: Text = Field("artifacts", min_length=1, max_length=200, description="The model to begin with.")
    mode: Literal["append", "replace"] = Field(
        "append", description="Whether the model also has the labels of the base model, unchanged."
    )
    holdout: Holdout = Field(Holdout(share=0.25))
    max_false_alarms_per_hour: float = Field(10.0, gt=0, le=10_000, allow_inf_nan=False)
    seed: WholeNumber = Field(0, ge=0, le=2**31 - 1, description="The same seed gives the same model.")
    callback_url: Text | None = Field(
        None, description="Gets `training.completed`, `training.failed` or `training.cancelled`; see webhooks.md."
    )
    config: TrainingConfig = Field(TrainingConfig())

    @model_validator(mode="after")
    def _one_name_of_each(self) -> CreateTrainingJob:
        both = (
            ("dataset_ids", self.dataset_ids, "dataset_id", self.dataset_id, True),
            ("labels", self.labels, "config.artifact_types", self.config.artifact_types, True),
            ("annotation_set_ids", self.annotation_set_ids or None, "annotation_set_id", self.annotation_set_id, False),
            (
                "holdout",
                self.holdout if "holdout" in self.model_fields_set else None,
                "config.validation_split",
                self.config.validation_split,
                False,
            ),
        )
        for ours, value, theirs, other, is_needed in both:
            if value is not None and other is not None:
                raise ValueError(f"must not have both {ours} and {theirs}, which mean the same")
            if is_needed and value is None and other is None:
                raise ValueError(f"must have {ours}")
        return self


class DryRun(Query):
    """Whether to only try a training."""

    dry_run: bool = Field(False, description="Say what would be refused, and start nothing.")


class TrainingJobPath(BaseModel):
    """Path of a training job."""

    training_job_id: Text


class ListTrainingJobs(NumberedPage):
    """Which training jobs to list."""

    status: TrainingStatus | None = None


class TrainingPlan(BaseModel):
    """What a training would learn from. If `refusals` is empty, it would start."""

    refusals: list[str]
    warnings: list[str]
    counts: dict[str, Any] = Field(description=SUMMARY)


class TrainingJob(BaseModel):
    """A training."""

    id: str
    name: str
    status: TrainingStatus
    progress: float = Field(description="Of the present phase, 0 to 1.")
    model_id: str | None = Field(description="The model, `<name>@<version>`; null until it is completed.")
    base_model: str
    labels: list[str]
    dataset_ids: list[str]
    annotation_set_ids: list[str]
    mode: str
    holdout: dict[str, Any]
    max_false_alarms_per_hour: float
    seed: int
    counts: dict[str, Any] = Field(description=SUMMARY)
    warnings: list[str]
    annotations_sha256: str = Field(description="Of the annotations as they were when the training was requested.")
    error_code: str | None
    error_message: str | None
    callback_url: str | None
    callback: CallbackDelivery | None
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"})


class TrainingJobPage(NumberedAnswer):
    """A page of training jobs, newest first."""

    items: list[TrainingJob]


class TrainingReport(BaseModel):
    """What a training found; docs/training.md explains each figure."""

    report: dict[str, Any]


class Suggest(Query):
    """Which stretches to suggest."""

    job_id: Text = Field(description="A job whose files are recordings of the dataset; its scores must be kept.")
    label: Text = Field(description="A label of the model of that job.")
    k: int = Field(20, ge=1, le=1000)


class Suggestion(BaseModel):
    """A stretch to listen to."""

    audio_id: str
    group: str
    start_ms: int
    end_ms: int
    confidence: float = Field(description="The highest score of the label in it.")
    reason: Literal["surest", "least_sure"]


class SuggestionList(BaseModel):
    """Stretches that nobody reviewed or annotated for the label, the surest first and then the least sure."""

    suggestions: list[Suggestion]


class Evaluate(Query):
    """The jobs to compare with the annotations."""

    job_id: Text = Field(description="A job whose files are recordings of the dataset.")
    with_: Text | None = Field(None, alias="with", description="Another job on the same recordings.")
    differences: int = Field(100, ge=0, le=1000, description="The most differences to list.")


class JobFigures(BaseModel):
    """How well a job found a label."""

    job_id: str
    model: str
    hits: int
    misses: int
    false_alarms: int
    precision: float
    recall: float
    f1: float
    f1_interval: list[float] = Field(description="95 %, by drawing groups again and again.")
    reviewed_hours: float = Field(description="Reviewed and without the label.")
    false_alarms_per_hour: float | None = Field(description="Null if nothing was reviewed.")
    false_alarms_per_hour_at_most: float | None = Field(description="With 95 % confidence.")


class Change(BaseModel):
    """How much higher a figure of the second job is than the first's."""

    value: float
    interval: list[float] = Field(description="95 %, by drawing the same groups of both again and again.")


class Changes(BaseModel):
    """How much better the second job is than the first. An interval without 0 says that this is no accident."""

    f1: Change
    precision: Change
    recall: Change


class LabelFigures(BaseModel):
    """A label, and the figures of each job."""

    label: str
    jobs: list[JobFigures]
    change: Changes | None = Field(description="From the first job to the second; null for one job.")


class Difference(BaseModel):
    """A stretch that only one of both jobs reported, to listen to."""

    audio_id: str
    group: str
    label: str
    start_ms: int
    end_ms: int
    reported_by: str = Field(description="Id of the job.")
    confidence: float
    truth: Literal["present", "absent", "unknown"] = Field(
        description="What people said of it: an event, whose times these are; nothing; or nobody listened there."
    )


class Evaluation(BaseModel):
    """The figures of each label."""

    recordings: int
    learned_from: int = Field(description="Recordings that were left out: a model of the jobs was trained on them.")
    labels: list[LabelFigures]
    differences: list[Difference] = Field(description="By label, recording and time.")
    num_differences: int


class Learned(BaseModel):
    """What the reviews of a job added."""

    created: int
    already_present: int
    undefined: int = Field(description="Of a type that the dataset does not define; left out.")
    unmatched_file_ids: list[str] = Field(description="Reviewed files that are no audio of the dataset.")
