"""The manifest of a model: everything that is needed to feed its graph and read the graph's outputs.

``docs/models.md`` explains every key to the author of a model. Any network that takes a waveform and returns scores
works without new code, at any sample rate. A model for transcription has other keys, see ``speech_manifest``.

The defaults and limits of the detection rule are written here alone; the API and the command line import them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from appliance.engine.models.speech_manifest import SpeechManifest
from appliance.engine.models.table import Table, check_version
from appliance.errors import InvalidManifest

Layout = Literal["batch,samples", "batch,1,samples", "batch,samples,1", "batch,channels,samples"]

DEFAULT_THRESHOLD = 0.5
MIN_THRESHOLD = 0.0
MAX_THRESHOLD = 1.0
DEFAULT_MERGE_WINDOW_MS = 200
MAX_MERGE_WINDOW_MS = 5000
DEFAULT_MIN_DURATION_MS = 50
MAX_MIN_DURATION_MS = 1000

# Shared by Rule, whose keys may be None, and Defaults.
_THRESHOLD = Field(ge=MIN_THRESHOLD, le=MAX_THRESHOLD, description="Lowest score that counts.")
_MERGE_WINDOW_MS = Field(ge=0, le=MAX_MERGE_WINDOW_MS, description="Gaps up to this long are closed.")
_MIN_DURATION_MS = Field(ge=0, le=MAX_MIN_DURATION_MS, description="Shorter spans are dropped.")


class Input(Table):
    """The input of the graph: windows of audio."""

    name: str = Field(description="Name of the graph's input.")
    layout: Layout = Field(
        "batch,samples", description="Axes of the input tensor. With channels it gets left and right, else a mono mix."
    )
    sample_rate_hz: int = Field(ge=1000, le=192_000, description="Rate that audio is resampled to.")
    window_seconds: float = Field(gt=0, le=600, description="Length of a window.")
    hop_seconds: float = Field(gt=0, le=600, description="Distance from one window to the next, at most a window.")
    window_step_seconds: float | None = Field(
        None,
        gt=0,
        description="Set if the graph also takes shorter windows: the last window of a recording may then be any "
        "multiple of this. Only for kind = frame.",
    )
    tail_seconds: float = Field(
        0.0, ge=0, le=600, description="Silence after the recording's end that a shorter window has at least."
    )

    @model_validator(mode="after")
    def _shorter_windows_fit(self) -> Input:
        if self.window_step_seconds is None:
            if self.tail_seconds:
                raise ValueError("tail_seconds must be set only if window_step_seconds is set")
        elif round(self.window_step_seconds * self.sample_rate_hz) < 1:
            raise ValueError("window_step_seconds must be at least one sample")
        return self

    @property
    def num_channels(self) -> int:
        """The number of channels that the graph gets."""
        return 2 if "channels" in self.layout else 1

    @property
    def window_samples(self) -> int:
        """Length of a window in samples."""
        return round(self.window_seconds * self.sample_rate_hz)

    @property
    def hop_samples(self) -> int:
        """Distance between the starts of two windows in samples."""
        return round(self.hop_seconds * self.sample_rate_hz)

    def last_window_samples(self, num_samples: int) -> int:
        """Return the length of a recording's last window, which holds ``num_samples`` and then silence."""
        if self.window_step_seconds is None:
            return self.window_samples
        step = round(self.window_step_seconds * self.sample_rate_hz)
        needed = num_samples + round(self.tail_seconds * self.sample_rate_hz)
        return min(-(-needed // step) * step, self.window_samples)


class Output(Table):
    """The outputs of the graph."""

    name: str = Field(description="Name of the output that holds the scores.")
    kind: Literal["window", "frame"] = Field(
        description="window: (batch, labels), one score a window; frame: (batch, frames, labels)."
    )
    frame_hop_seconds: float | None = Field(None, gt=0, description="Length of a frame, for kind = frame.")
    activation: Literal["sigmoid", "softmax", "none"] = Field(
        "none", description="Applied to the scores by the appliance; none: the graph gives probabilities."
    )
    embedding: str | None = Field(None, description="Name of an output (batch, dimensions) for similarity search.")
    features: str | None = Field(
        None, description="Name of an output (batch, frames, channels) on which other detectors can be trained."
    )

    parts: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {}, description="Names and sizes of the parts of an embedding, in order: each can be searched by itself."
    )

    @model_validator(mode="after")
    def _frames_have_a_hop(self) -> Output:
        if (self.kind == "frame") != (self.frame_hop_seconds is not None):
            raise ValueError("frame_hop_seconds must be set if kind is frame, and only then")
        return self


class Rule(Table):
    """How scores become detections. For a key that is None, ``Defaults`` decides."""

    threshold: Annotated[float | None, _THRESHOLD] = None
    merge_window_ms: Annotated[int | None, _MERGE_WINDOW_MS] = None
    min_duration_ms: Annotated[int | None, _MIN_DURATION_MS] = None


class Defaults(Table):
    """How scores become detections, for every key that a label does not set itself."""

    threshold: Annotated[float, _THRESHOLD] = DEFAULT_THRESHOLD
    merge_window_ms: Annotated[int, _MERGE_WINDOW_MS] = DEFAULT_MERGE_WINDOW_MS
    min_duration_ms: Annotated[int, _MIN_DURATION_MS] = DEFAULT_MIN_DURATION_MS


class Label(Rule):
    """One column of the scores."""

    name: str = Field(min_length=1, max_length=100, description="Name of the label in detections.")
    point: bool = Field(
        False, description="True for events without a duration: the model's min_duration_ms never hides them."
    )
    reported: bool = Field(True, description="False for a background class, which is scored but never reported.")
    hysteresis_ratio: float = Field(
        1.0, gt=0, le=1, description="A detection extends over scores of at least this share of the threshold."
    )


class Manifest(Table):
    """A model of the model store that scores windows."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$", description="Name of the model and of its folder.")
    version: Annotated[str, AfterValidator(check_version)] = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,49}$", description="Version of the model and name of its folder."
    )
    task: Literal["detection", "embedding"] = Field(description="What the model is for.")
    description: str = Field("", description="One sentence for the list of models.")
    licence: str = Field(min_length=1, description="License of the weights.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of model.onnx.")
    input: Input
    output: Output
    defaults: Defaults = Defaults()
    labels: tuple[Label, ...] = Field((), strict=False, description="The columns of the scores, in order.")

    @model_validator(mode="after")
    def _fits_together(self) -> Manifest:
        names = [label.name for label in self.labels]
        if self.task == "detection" and not names:
            raise ValueError("labels: a model for detection needs one label for each column of its scores")
        if len(set(names)) != len(names):
            raise ValueError("labels: two labels have the same name")
        if not 1 <= self.input.hop_samples <= self.input.window_samples:
            raise ValueError("input.hop_seconds: must be at most window_seconds and at least one sample")
        if self.output.frame_hop_seconds is not None and self.output.frame_hop_seconds > self.input.window_seconds:
            raise ValueError("output.frame_hop_seconds: must be at most input.window_seconds")
        if self.input.window_step_seconds is not None and self.output.kind != "frame":
            raise ValueError("input.window_step_seconds: must be set only if output.kind is frame")
        return self

    @property
    def id(self) -> str:
        """``<name>@<version>``, which identifies exactly these weights."""
        return f"{self.name}@{self.version}"

    @property
    def reported_labels(self) -> list[str]:
        """Names of the labels that detections may have."""
        return [label.name for label in self.labels if label.reported]

    @property
    def reported_columns(self) -> list[int]:
        """The columns of the scores that detections may come from."""
        return [column for column, label in enumerate(self.labels) if label.reported]

    def rule_of(self, label: Label) -> Defaults:
        """Return the rule of a label: its own keys, and the defaults for those that it does not set."""
        own = {name: value for name in Defaults.model_fields if (value := getattr(label, name)) is not None}
        return self.defaults.model_copy(update=own)

    @property
    def embedding_output(self) -> str:
        """Name of the output that holds (batch, dimensions) vectors. Raises InvalidManifest if there is none."""
        name = self.output.name if self.task == "embedding" else self.output.embedding
        if name is None:
            raise InvalidManifest(f"{self.id} has no embeddings: output.embedding is not set.")
        return name

    @property
    def frame_hop_ms(self) -> float:
        """Time that one score covers, in milliseconds; a whole window if the model gives one score for each window."""
        return 1000.0 * (self.output.frame_hop_seconds or self.input.window_seconds)


def read_manifest(path: Path) -> Manifest | SpeechManifest:
    """Read and check ``manifest.toml``. Its ``task`` decides which keys it has.

    Raises InvalidManifest with the file and the field in its message.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        kind = SpeechManifest if content.get("task") == "transcription" else Manifest
        return kind.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(_fault(e["loc"], e["msg"]) for e in error.errors())
        raise InvalidManifest(f"{path}: {faults}.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidManifest(f"{path} cannot be read: {error}.") from error


def _fault(location: tuple[int | str, ...], message: str) -> str:
    field = ".".join(map(str, location))
    message = message.removeprefix("Value error, ")
    return f"{field}: {message}" if field else message
