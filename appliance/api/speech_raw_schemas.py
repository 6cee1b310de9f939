"""Requests and answers of the raw route, in the shapes of the hosted service."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from appliance.api.schemas import Text

SpeechStatus = Literal["queued", "processing", "completed", "error"]


def _require_date(text: object) -> object:
    if isinstance(text, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise ValueError("must be a day, as YYYY-MM-DD")  # pydantic alone would read "0" as seconds since 1970
    return text


Day = Annotated[date, BeforeValidator(_require_date)]


class RawUpload(BaseModel):
    """The URL of the uploaded bytes; only the appliance can read it."""

    upload_url: str


class CreateTranscript(BaseModel):
    """Audio and how to transcribe it. An option of the hosted service that is not listed is refused by name."""

    model_config = ConfigDict(extra="allow", strict=True)

    audio_url: Text = Field(
        description="`upload_url` of an upload, under any name of the appliance, or a URL on one of the `fetch_hosts`."
    )
    language_code: Text | None = Field(None, description="English: `en`, `en_us`, `en_uk` or `en_au`.")
    language_codes: list[Text] | None = None
    language_detection: bool | None = Field(None, description="Accepted; the language is always English.")
    punctuate: bool | None = Field(None, description="Always on; false is refused.")
    format_text: bool | None = Field(None, description="Always on; false is refused.")
    speech_model: Text | None = Field(
        None,
        description="A transcription model of this appliance, or a name of the hosted service's, such as `best` and "
        "`universal-2`, which stands for the setting `transcription_model`.",
    )
    speech_models: list[Text] | None = Field(None, description="Such names; the first that is installed is used.")
    webhook_url: Text | None = Field(
        None, description="Gets `transcript_id` and `status` when the transcript has ended; see webhooks.md."
    )
    webhook_auth_header_name: Text | None = Field(None, description="A header of that call.")
    webhook_auth_header_value: Text | None = Field(None, description="Its value, which no answer shows.")


class SpeechWord(BaseModel):
    """A word with its start and end in milliseconds."""

    text: str
    start: int
    end: int
    confidence: float = Field(description="0 if the model gives none.")
    speaker: str | None


class SpeechTranscript(BaseModel):
    """A transcript as it is now."""

    id: str
    status: SpeechStatus
    audio_url: str
    text: str | None
    words: list[SpeechWord] | None
    utterances: None
    confidence: float | None
    audio_duration: int | None = Field(description="Whole seconds.")
    error: str | None
    language_code: str
    language_detection: bool = Field(description="As requested.")
    language_confidence: None = Field(description="Nothing is detected: the language is always English.")
    punctuate: bool
    format_text: bool
    speech_model: str | None = Field(description="As requested, if it is a name of the hosted service's.")
    speech_models: list[str] | None = Field(description="As requested.")
    speech_model_used: str = Field(description="The model of this appliance, `<name>@<version>`.")
    webhook_url: str | None
    webhook_auth: bool = Field(description="Whether the webhook has a header that the client chose.")
    webhook_auth_header_name: str | None
    webhook_status_code: int | None = Field(description="HTTP status of the receiver's last answer; null before it.")
    created: str
    completed: str | None


class SpeechPassage(SpeechWord):
    """A sentence or a paragraph."""

    words: list[SpeechWord]


class SpeechSentences(BaseModel):
    """A transcript in sentences."""

    id: str
    confidence: float
    audio_duration: int
    sentences: list[SpeechPassage]


class SpeechParagraphs(BaseModel):
    """A transcript in paragraphs."""

    id: str
    confidence: float
    audio_duration: int
    paragraphs: list[SpeechPassage]


class WordMatch(BaseModel):
    """A word or a phrase, and where it occurs."""

    text: str = Field(description="As requested.")
    count: int
    timestamps: list[list[int]] = Field(description="Start and end in milliseconds, each time.")
    indexes: list[int] = Field(description="Of its first word in `words`, each time.")


class WordSearch(BaseModel):
    """Every word and phrase that occurs in the transcript."""

    id: str
    total_count: int
    matches: list[WordMatch]


class SpeechItem(BaseModel):
    """A transcript in a list."""

    id: str
    resource_url: str
    status: SpeechStatus
    created: str
    completed: str | None
    audio_url: str
    error: str | None


class SpeechPageDetails(BaseModel):
    """The place of a page in the list."""

    limit: int
    result_count: int
    current_url: str
    prev_url: str | None = Field(description="Older transcripts.")
    next_url: str | None = Field(description="Newer transcripts.")


class SpeechPage(BaseModel):
    """A page of transcripts, newest first."""

    page_details: SpeechPageDetails
    transcripts: list[SpeechItem]


class ListTranscripts(BaseModel):
    """Which transcripts to list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(10, ge=1, le=200)
    status: SpeechStatus | None = None
    created_on: Day | None = Field(None, description="A day in UTC.")
    before_id: Text | None = None
    after_id: Text | None = None
    throttled_only: Literal["false", "False"] | None = Field(None, description="No transcript is ever throttled here.")


class TranscriptPath(BaseModel):
    """Path of a transcript."""

    transcript_id: Text


class WordSearchQuery(BaseModel):
    """What to search for."""

    model_config = ConfigDict(extra="forbid")

    words: Text = Field(description="Words, and phrases of up to five words, separated by commas.")


class CaptionQuery(BaseModel):
    """How to cut subtitles."""

    model_config = ConfigDict(extra="forbid")

    chars_per_caption: int = Field(128, ge=1, le=10_000)
