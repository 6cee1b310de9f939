"""Request bodies, queries and answers. The OpenAPI document is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, RootModel, model_validator

from appliance.engine.models.manifest import MAX_MERGE_WINDOW_MS, MAX_MIN_DURATION_MS, MAX_THRESHOLD, MIN_THRESHOLD
from appliance.services.health import StatusName
from appliance.state.moves import DeliveryStatus, FileStatus, JobStatus
from appliance.state.verdicts import FileVerdict
from appliance.text import check_text


def _storable(text: str) -> str:
    check_text(text)
    return text


def _whole(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number


Text = Annotated[str, AfterValidator(_storable)]
WholeNumber = Annotated[int, BeforeValidator(_whole)]  # also 200.0: JSON has one kind of number


class Body(BaseModel):
    """A request body: types are not coerced and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Query(BaseModel):
    """A query string: unknown keys are refused, except ``api-version``, which clients of a hosted service send."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_version(cls, query: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in query.items() if name != "api-version"}


# --- requests -------------------------------------------------------------------------------------------------------


class InferenceConfig(Body):
    """How scores become detections. A key that is left out takes the model's own value for each label."""

    threshold: float | None = Field(
        None,
        ge=MIN_THRESHOLD,
        le=MAX_THRESHOLD,
        allow_inf_nan=False,
        description="Lowest confidence that is reported; default 0.5.",
    )
    merge_window_ms: Annotated[WholeNumber, Field(ge=0, le=MAX_MERGE_WINDOW_MS)] | None = Field(
        None, description="Detections of one type this close are joined; default 200."
    )
    min_duration_ms: Annotated[WholeNumber, Field(ge=0, le=MAX_MIN_DURATION_MS)] | None = Field(
        None,
        description="Shorter detections are dropped; a point such as a click counts as at least 50 ms; default 50.",
    )


class CreateInferenceJob(Body):
    """A new job."""

    model_id: Text = Field(
        min_length=1, max_length=200, description="`<name>`, its newest version, or `<name>@<version>`."
    )
    config: InferenceConfig | None = None
    callback_url: Text | None = Field(
        None, description="Gets the webhooks `file.completed`, `file.failed` and `job.completed`; see webhooks.md."
    )


class DeclaredFile(Body):
    """A file that a client is about to upload."""

    filename: Text = Field("", max_length=1024, description="Shown unchanged; never part of a path.")
    content_type: Text = Field(description="One of the seven audio types, or an alias that browsers send.")


class RequestUpload(DeclaredFile):
    """A file that is about to be uploaded."""

    file_size_bytes: WholeNumber = Field(description="Exact size of the file, 1 to 524,288,000 bytes.")
    multipart: bool = Field(False, description="Upload in parts, each with a PUT to its own URL.")


class ConfirmUpload(Body):
    """A file that was uploaded."""

    file_id: Text


class Page(Query):
    """Which page of a list."""

    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")


class NumberedPage(Page):
    """Which page of a list, by cursor or by number."""

    page: int | None = Field(
        None, ge=1, le=1_000_000, description="Number of the page, from 1; not together with `limit` and `cursor`."
    )
    page_size: int | None = Field(None, ge=1, le=200, description="Rows on a numbered page; 50 if it is left out.")


class JobPath(BaseModel):
    """Path of a job."""

    job_id: Text


class FilePath(JobPath):
    """Path of a file."""

    file_id: Text


class ModelPath(BaseModel):
    """Path of a model."""

    model_id: Text


class ListModels(Query):
    """Which models to list."""

    retired: bool = Field(False, description="Also those that the tenant trained and retired.")


class ListInferenceJobs(NumberedPage):
    """Which jobs to list."""

    model_id: Text | None = Field(None, description="`<name>`, all its versions, or `<name>@<version>`.")
    status: JobStatus | None = None
    q: Text | None = Field(
        None, min_length=1, max_length=200, description="Text in the id, in the model or in the name of a file."
    )


class GetInferenceJob(Query):
    """How to get a job."""

    files: bool = Field(True, description="With `false` the answer leaves out the files, however many there are.")


class DeleteInferenceJob(Query):
    """How to delete a job."""

    purge: bool = Field(False, description="Delete the job with its results and objects; without it, only cancel.")


class ListInferenceFiles(Page):
    """Which files of a job to list."""

    status: FileStatus | None = None
    verdict: FileVerdict | None = None
    q: Text | None = Field(None, min_length=1, max_length=200, description="Text in the file's name.")


# --- answers --------------------------------------------------------------------------------------------------------


class EffectiveConfig(BaseModel):
    """The configuration of a job, defaults filled in."""

    threshold: float
    merge_window_ms: int
    min_duration_ms: int


class Detection(BaseModel):
    """An event in a recording."""

    artifact_type: str
    start_ms: int = Field(ge=0)
    end_ms: int = Field(gt=0)
    confidence: float = Field(ge=0.0, le=1.0)
    source: Literal["model", "stream"] = Field(
        "model",
        description="`stream`: no model heard it; the decoder knows that audio is missing there. Its confidence is 1.",
    )


class Redetection(BaseModel):
    """A request to detect again that is not done."""

    status: Literal["queued", "failed"] = Field(description="After a failure the detections are those of before.")
    error_code: str | None
    error_message: str | None


class InferenceFile(BaseModel):
    """A file of a job."""

    id: str
    file_id: str = Field(description="The same as `id`.")
    original_filename: str
    status: FileStatus
    detection_count: int
    detections: list[Detection]
    detections_truncated: bool = Field(
        description="Whether the model found more than 10,000 detections, of which only the strongest are kept."
    )
    error_message: str | None
    error_code: str | None
    duration_ms: int | None = Field(description="Length of the recording, once completed.")
    config: EffectiveConfig = Field(
        description="In effect for these detections; the job's unless they were redetected."
    )
    verdict: FileVerdict | None = Field(description="By the rules of the tenant, null if it has none.")
    verdict_reasons: list[str] = Field(description="A sentence for each rule that applies, the gravest first.")
    scores_kept: bool = Field(description="Whether detection with other settings needs no new analysis.")
    redetection: Redetection | None = Field(description="Null unless a request to detect again waits or has failed.")


class CallbackDelivery(BaseModel):
    """A webhook and its delivery, as the log of deliveries has it."""

    delivery_id: str
    event_type: str
    url: str
    status: DeliveryStatus
    attempts: int
    last_status: int | None = Field(description="HTTP status of the last answer, null if there was none.")
    last_error: str | None
    next_attempt_at: str | None = Field(json_schema_extra={"format": "date-time"})


class InferenceJobSummary(BaseModel):
    """A job without its files."""

    id: str
    model_id: str = Field(description="As the client named it.")
    model_version: str = Field(description="The version that scores this job.")
    status: JobStatus
    config: EffectiveConfig
    callback_url: str | None
    callback: CallbackDelivery | None = Field(
        description="The newest webhook of the job; null before the first one, and after it has left the log."
    )
    total_files: int
    processed_files: int = Field(description="Files that are completed, failed or cancelled.")
    failed_files: int = Field(description="Files that failed; the job is completed if others are.")
    error_message: str | None
    created_at: str = Field(json_schema_extra={"format": "date-time"})
    updated_at: str = Field(json_schema_extra={"format": "date-time"})


class InferenceJob(InferenceJobSummary):
    """A job with its files."""

    files: list[InferenceFile] | None = Field(None, description="Left out with `files=false`.")
    files_next_cursor: str | None = Field(
        None,
        description="Null if `files` has all files. Otherwise the `cursor` with which `GET …/files` lists the others: "
        "one answer has up to 1,000 files and 20,000 detections.",
    )


class InferenceFilePage(BaseModel):
    """A page of a job's files. It ends early at 20,000 detections, so it may have fewer files than `limit`."""

    files: list[InferenceFile]
    next_cursor: str | None


class NumberedAnswer(BaseModel):
    """A page of a list. The last three keys are null unless the query has `page` or `page_size`."""

    next_cursor: str | None = Field(description="Names the next page; null on the last one.")
    total: int | None = Field(description="Rows of the whole list.")
    page: int | None
    page_size: int | None


class InferenceJobPage(NumberedAnswer):
    """A page of jobs, newest first."""

    inference_jobs: list[InferenceJobSummary]
    items: list[InferenceJobSummary] = Field(description="The same as `inference_jobs`.")


class Upload(BaseModel):
    """Where and how to post the file: every field in this order, then the file as the last field, `file`."""

    upload_url: str
    upload_fields: dict[str, str]
    file_id: str
    expires_in: int = Field(description="Seconds.")


class PartUrl(BaseModel):
    """A part that is missing: send exactly these bytes of the file with PUT, without further headers."""

    part_number: int
    offset: int
    size_bytes: int
    url: str


class ArrivedPart(BaseModel):
    """A part that storage has, with the size that it must have."""

    part_number: int
    size_bytes: int


class PartsReport(BaseModel):
    """An upload in parts. Confirm it when nothing is missing. Each report renews the URLs and the upload."""

    file_id: str
    part_size_bytes: int = Field(description="Of every part but the last one.")
    num_parts: int
    num_missing: int
    arrived: list[ArrivedPart]
    parts: list[PartUrl] = Field(description="The first 100 parts that are missing.")
    expires_in: int = Field(description="Seconds.")


class RequestedUpload(RootModel[Upload | PartsReport]):
    """A form for the whole file, or URLs of its parts if `multipart` is true."""


class Confirmation(BaseModel):
    """The receipt of a confirmed upload; the same however often it is confirmed."""

    file_id: str
    status: Literal["queued"]
    message: str


class Download(BaseModel):
    """The URL of a file."""

    url: str
    expires_in: int = Field(description="Seconds.")


class ModelLabel(BaseModel):
    """An artifact type that a model can report."""

    name: str
    point: bool = Field(description="Has no duration: its own min_duration_ms never drops it.")
    threshold: float
    merge_window_ms: int
    min_duration_ms: int


class Model(BaseModel):
    """A model of the model store."""

    id: str = Field(description="`<name>@<version>`.")
    name: str
    version: str
    task: str
    description: str
    licence: str
    sample_rate_hz: int
    language: str | None = Field(
        description="Language that a model for transcription understands; null for the others."
    )
    labels: list[ModelLabel]
    defaults: EffectiveConfig | None = Field(description="Rules for detections; null for transcription.")
    provider: str | None = Field(
        description="Where it runs: cuda or cpu, always cpu for transcription; null before the worker ever started."
    )
    training_job_id: str | None = Field(description="The training that made it; null for a model that is everybody's.")
    retired_at: str | None = Field(
        description="Since when new jobs cannot name it; null if they can.", json_schema_extra={"format": "date-time"}
    )


class ModelList(BaseModel):
    """Every model, by name, newest version first."""

    models: list[Model]


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"]


class Check(BaseModel):
    """The result of one check; only a caller with a key reads the detail."""

    ok: bool
    detail: str | None


class Readiness(BaseModel):
    """Whether the appliance can take work."""

    status: Literal["ready", "not ready"]
    checks: dict[str, Check]


class StatusReason(BaseModel):
    """A check that fails or warns; only a caller with a key reads the detail."""

    check: str
    detail: str | None


class StatusReport(BaseModel):
    """How the appliance is as a whole."""

    status: StatusName = Field(
        description="Initializing: a part that all work needs has not come up yet. Ready: all is well. Degraded: it "
        "works, but something needs attention. Critical: no work is done."
    )
    reasons: list[StatusReason]
