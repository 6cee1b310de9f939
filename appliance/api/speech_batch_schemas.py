"""Requests and answers of the batch route, with the field names of the hosted service."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from appliance.api.schemas import Body, Query, Text

UploadStatus = Literal["pending", "uploading", "completed", "failed"]
BatchStatus = Literal["pending", "processing", "completed", "failed"]
MAX_FILES = 1000


class Spoken(BaseModel):
    """A word or a segment."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None = Field(None, description="Of a word; not calibrated.")


class BatchFile(BaseModel):
    """A file of a batch upload."""

    file_id: str
    filename: str
    size_bytes: int
    estimated_duration_seconds: float | None = Field(
        description="As its header claims; null if it has no readable header."
    )
    upload_status: UploadStatus = Field(description="Never `uploading`: a file is pending until it is in storage.")
    error_message: str | None = Field(None, description="Only of a file that failed.")


class BatchAccepted(BaseModel):
    """A batch whose files are on disk; they are copied to storage in the background."""

    batch_upload_id: str
    status: Literal["accepted"]
    total_files: int
    spool_seconds: float = Field(description="How long the files took to arrive.")
    files: list[BatchFile]


class StoredFile(BatchFile):
    """A file and its copy to storage."""

    gcs_key: str | None = Field(None, description="The object's key in storage, once the file is completed.")


class BatchUpload(BaseModel):
    """A batch and the copy of its files to storage."""

    batch_upload_id: str
    status: Literal["accepted", "completed", "failed"] = Field(
        description="`accepted` until every file has ended, `failed` if a file failed."
    )
    total_files: int
    completed: int
    failed: int
    uploading: Literal[0] = Field(description="Files that are being copied count as pending.")
    pending: int
    files: list[StoredFile]


class ListedFile(StoredFile):
    """A file in the list of all files."""

    batch_upload_id: str | None = Field(description="null if the file was fetched from a URL.")
    content_type: str


class FilePage(BaseModel):
    """A page of files, newest first."""

    page: int
    limit: int
    total_pages: int
    total_files: int
    count: int
    files: list[ListedFile]


class DeletedFiles(BaseModel):
    """Files that are gone."""

    deleted_file_ids: list[str]
    deleted_count: int
    storage_objects_deleted: int = Field(description="The worker deletes them within seconds.")
    jobs_cleaned: int = Field(description="Transcripts that are gone with the files.")


class DeleteFiles(Body):
    """The files to delete."""

    file_ids: list[Text] = Field(min_length=1, max_length=MAX_FILES)


class BatchSource(Body):
    """A recording that the appliance fetches."""

    url: Text = Field(min_length=1, max_length=2000, description="On one of the operator's `fetch_hosts`.")
    filename: Text | None = Field(None, max_length=1024, description="By default the last part of the URL's path.")


class CreateBatch(Body):
    """The files to transcribe: those of an upload, named ones, URLs, or all of these. Each is transcribed once."""

    batch_upload_id: Text | None = Field(None, description="All its files that did not fail.")
    file_ids: list[Text] | None = Field(None, min_length=1, max_length=MAX_FILES)
    sources: list[BatchSource] | None = Field(None, min_length=1, max_length=MAX_FILES)
    model: Text | None = Field(None, description="A transcription model: `<name>` or `<name>@<version>`.")


class BatchTranscript(BaseModel):
    """A transcript of a batch."""

    transcript_id: str
    file_id: str
    filename: str
    status: BatchStatus
    text: str | None
    segments: list[Spoken] | None
    words: list[Spoken] | None
    duration_ms: int | None
    error_code: str | None
    error_message: str | None


class Batch(BaseModel):
    """A batch of transcripts."""

    batch_id: str
    status: BatchStatus
    total_files: int
    processed_files: int = Field(description="Files that are completed or failed.")
    transcripts: list[BatchTranscript]


class Job(BaseModel):
    """The work on one file."""

    file_id: str
    filename: str
    batch_id: str
    status: BatchStatus


class CreatedBatch(Batch):
    """A batch that was just requested."""

    total_jobs: int
    estimated_audio_seconds: float = Field(description="As the headers of the files claim.")
    estimated_completion_seconds: float = Field(description="At 20 times real time, if nothing else is in the queue.")
    jobs: list[Job]


class BatchProgress(BaseModel):
    """How far a batch is."""

    batch_id: str
    status: BatchStatus
    total_files: int
    files_completed: int
    files_failed: int
    files_processing: int
    estimated_audio_seconds: float = Field(description="As the headers of the files claim.")
    estimated_completion_seconds: float = Field(description="Of the unfinished files, as in the answer of POST /batch.")
    total_jobs: int = Field(description="One for each file.")
    completed_jobs: int
    failed_jobs: int
    processing_jobs: int
    queued_jobs: int


class FileText(BaseModel):
    """The transcript of a file."""

    text: str
    segments: list[Spoken]
    words: list[Spoken]
    duration_ms: int
    language: Literal["en"]
    model: str = Field(description="`<name>@<version>`.")


class FileError(BaseModel):
    """Why a file has no transcript."""

    error_code: str
    error_message: str


class FileResult(BaseModel):
    """The transcript of a file, or why there is none."""

    file_id: str
    filename: str
    status: BatchStatus
    result: FileText | None = Field(None, description="Only of a completed file.")
    errors: list[FileError] | None = Field(None, description="Only of a failed file.")


class ResultPage(BaseModel):
    """A page of results, in the order of the batch."""

    batch_id: str
    page: int
    limit: int
    total_pages: int
    total_files: int = Field(description="Files with the requested status.")
    count: int
    files: list[FileResult]


class Numbered(Query):
    """A page of a list."""

    page: int = Field(1, ge=1, le=1_000_000_000)
    limit: int = Field(50, ge=1, le=200)


class ListFiles(Numbered):
    """Which files to list."""

    upload_status: UploadStatus | None = None


class ResultOptions(Query):
    """Details that a client may ask for. The appliance has none of them, so only `false` is accepted."""

    raw: Literal["false", "False"] | None = Field(None, description="For records of jobs, which are not kept.")
    chunks: Literal["false", "False"] | None = Field(None, description="For chunks of a file, which are not made.")
    speech_information: Literal["false", "False"] | None = Field(
        None, description="Tone and accent; there is no model."
    )


class FileQuery(ResultOptions):
    """How to return the result of a file."""


class ListResults(ResultOptions, Numbered):
    """Which results to list."""

    status: Literal["pending", "processing", "retrying", "completed", "failed"] | None = Field(
        None, description="No file is ever `retrying`."
    )


class DownloadResults(ResultOptions):
    """Which results to download, and how."""

    status: Literal["pending", "processing", "completed", "failed"] | None = None
    format: Literal["ndjson", "json"] = Field("ndjson", description="A line for each file, or one array.")


class BatchUploadPath(Query):
    """Path of a batch of uploads."""

    batch_upload_id: Text


class BatchPath(Query):
    """Path of a batch of transcripts."""

    batch_id: Text


class FilePath(Query):
    """Path of a file."""

    file_id: Text
