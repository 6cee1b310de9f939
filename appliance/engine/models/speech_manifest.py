"""The manifest of a model for transcription: an encoder, a decoder, the text of its tokens, and a speech detector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from appliance.engine.models.table import Table, check_version


class SpeechInput(Table):
    """The input of the encoder: pieces of mono audio that begin and end in a silence."""

    sample_rate_hz: Literal[16_000] = Field(description="Rate that audio is resampled to.")
    longest_piece_seconds: float = Field(ge=5, le=60, description="Speech without a silence is cut at this length.")


class Decoding(Table):
    """How tokens are chosen: each time the most probable one, from ``start_token`` until ``end_token``."""

    start_token: int = Field(ge=0, description="Token that every piece begins with.")
    end_token: int = Field(ge=0, description="Token that ends a piece.")
    max_tokens_per_second: float = Field(gt=0, le=50, description="Limit that ends endless repetition.")
    min_token_limit: int = Field(ge=1, le=448, description="Tokens that even the shortest piece may have.")


class WeightFile(Table):
    """A file beside the manifest."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="Name of the file.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the file.")


class SpeechFiles(Table):
    """The files of the model."""

    encoder: WeightFile = Field(description="Graph: samples to hidden states.")
    decoder: WeightFile = Field(description="Graph: hidden states and tokens to the next token.")
    tokens: WeightFile = Field(description="Each token's bytes, in order, each after its length.")
    voice_activity: WeightFile = Field(description="Graph: Silero VAD for whole sequences.")


class SpeechManifest(Table):
    """A model of the model store that transcribes speech."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$", description="Name of the model and of its folder.")
    version: Annotated[str, AfterValidator(check_version)] = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,49}$", description="Version of the model and name of its folder."
    )
    task: Literal["transcription"] = Field(description="What the model is for.")
    description: str = Field("", description="One sentence for the list of models.")
    licence: str = Field(min_length=1, description="License of the weights.")
    language: str = Field(pattern=r"^[a-z]{2,3}$", description="Language of the speech, an ISO 639 code.")
    architecture: Literal["moonshine"] = Field(description="Architecture, which decides how the graphs are called.")
    input: SpeechInput
    decoding: Decoding
    files: SpeechFiles

    @property
    def id(self) -> str:
        """``<name>@<version>``, which identifies exactly these weights."""
        return f"{self.name}@{self.version}"
