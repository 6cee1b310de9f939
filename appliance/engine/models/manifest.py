"""The manifest of a model: what a stranger must know to feed its graph and read its answer.

``docs/models.md`` explains every key to the author of a model. Whatever network takes a waveform and gives
scores fits, at any sample rate, without code. A model for transcription has other keys, see ``speech_manifest``.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from appliance.engine.models.speech_manifest import SpeechManifest
from appliance.engine.models.table import Table, check_version
from appliance.errors import InvalidManifest

Layout = Literal["batch,samples", "batch,1,samples", "batch,samples,1"]


class Input(Table):
    """What the graph is fed: windows of mono audio."""

    name: str = Field(description="Name of the graph's input.")
    layout: Layout = Field("batch,samples", description="Axes of the input tensor.")
    sample_rate_hz: int = Field(ge=1000, le=192_000, description="Rate that audio is resampled to.")
    window_seconds: float = Field(gt=0, le=600, description="Length of a window.")
    hop_seconds: float = Field(gt=0, le=600, description="Distance from one window to the next, at most a window.")

    @property
    def window_samples(self) -> int:
        """Length of a window in samples."""
        return round(self.window_seconds * self.sample_rate_hz)

    @property
    def hop_samples(self) -> int:
        """Distance between the starts of two windows in samples."""
        return round(self.hop_seconds * self.sample_rate_hz)


class Output(Table):
    """What the graph answers."""

    name: str = Field(description="Name of the output that holds the scores.")
    kind: Literal["window", "frame"] = Field(
        description="window: (batch, labels), one score a window; frame: (batch, frames, labels)."
    )
    frame_hop_seconds: float | None = Field(None, gt=0, description="Length of a frame, for kind = frame.")
    activation: Literal["sigmoid", "softmax", "none"] = Field(
        "none", description="Applied to the scores by the appliance; none: the graph gives probabilities."
    )
    embedding: str | None = Field(None, description="Name of an output (batch, dimensions) for similarity search.")

    @model_validator(mode="after")
    def _frames_have_a_hop(self) -> Output:
        if (self.kind == "frame") != (self.frame_hop_seconds is not None):
            raise ValueError("frame_hop_seconds is given for kind = frame, and only there")
        return self


class Rule(Table):
    """How scores become detections; None leaves the choice to the next rule down."""

    threshold: float | None = Field(None, ge=0, le=1, description="Least score that counts.")
    merge_window_ms: int | None = Field(None, ge=0, le=5000, description="Gaps up to this long are closed.")
    min_duration_ms: int | None = Field(None, ge=0, le=1000, description="Shorter spans are dropped.")


class Defaults(Table):
    """The rule of every label that has none of its own."""

    threshold: float = Field(0.5, ge=0, le=1, description="Least score that counts.")
    merge_window_ms: int = Field(200, ge=0, le=5000, description="Gaps up to this long are closed.")
    min_duration_ms: int = Field(50, ge=0, le=1000, description="Shorter spans are dropped.")


class Label(Rule):
    """One column of the scores."""

    name: str = Field(min_length=1, max_length=100, description="What a detection calls it.")
    point: bool = Field(False, description="Has no duration, so that min_duration_ms never hides it.")
    reported: bool = Field(True, description="False for a background class: scored, never reported.")
    hysteresis_ratio: float = Field(
        1.0, gt=0, le=1, description="A run reaches out over scores of at least this share of the threshold."
    )


class Manifest(Table):
    """A model of the model store that scores windows."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$", description="Name of the model and of its folder.")
    version: Annotated[str, AfterValidator(check_version)] = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,49}$", description="Version of the model and name of its folder."
    )
    task: Literal["detection", "embedding"] = Field(description="What the model is for.")
    description: str = Field("", description="One sentence for the list of models.")
    licence: str = Field(min_length=1, description="Licence of the weights.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of model.onnx.")
    input: Input
    output: Output
    defaults: Defaults = Defaults()
    labels: tuple[Label, ...] = Field((), strict=False, description="The columns of the scores, in order.")

    @model_validator(mode="after")
    def _fits_together(self) -> Manifest:
        names = [label.name for label in self.labels]
        if self.task == "detection" and not names:
            raise ValueError("labels: a model for detection has one for each column of its scores")
        if len(set(names)) != len(names):
            raise ValueError("labels: two labels have the same name")
        if not 1 <= self.input.hop_samples <= self.input.window_samples:
            raise ValueError("input.hop_seconds: must be at most window_seconds and at least one sample")
        if self.output.frame_hop_seconds is not None and self.output.frame_hop_seconds > self.input.window_seconds:
            raise ValueError("output.frame_hop_seconds: must be at most input.window_seconds")
        return self

    @property
    def id(self) -> str:
        """``<name>@<version>``, which names these weights and no others."""
        return f"{self.name}@{self.version}"

    @property
    def reported_labels(self) -> list[str]:
        """The labels that detections may have."""
        return [label.name for label in self.labels if label.reported]

    def rule_of(self, label: Label) -> Defaults:
        """What applies to a label where the client sets nothing."""
        own = {name: value for name in Defaults.model_fields if (value := getattr(label, name)) is not None}
        return self.defaults.model_copy(update=own)

    @property
    def embedding_output(self) -> str:
        """The output that holds (batch, dimensions) vectors. Raises InvalidManifest where there is none."""
        name = self.output.name if self.task == "embedding" else self.output.embedding
        if name is None:
            raise InvalidManifest(f"{self.id} gives no embedding: output.embedding is not set.")
        return name

    @property
    def frame_hop_ms(self) -> float:
        """Time that one score covers, in milliseconds; a whole window where the model gives one score a window."""
        return 1000.0 * (self.output.frame_hop_seconds or self.input.window_seconds)


def read_manifest(path: Path) -> Manifest | SpeechManifest:
    """Read and check ``manifest.toml``; its task says which keys it has.

    Raises InvalidManifest, its message naming the file and the field.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        kind = SpeechManifest if content.get("task") == "transcription" else Manifest
        return kind.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(_fault(e["loc"], e["msg"]) for e in error.errors())
        raise InvalidManifest(f"{path}: {faults}.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidManifest(f"{path} cannot be read: {error}.") from error


def _fault(location: tuple[int | str, ...], message: str) -> str:
    field = ".".join(map(str, location))
    message = message.removeprefix("Value error, ")
    return f"{field}: {message}" if field else message
