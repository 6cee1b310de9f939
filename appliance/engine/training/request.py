"""What a training is asked to do, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from appliance.engine.decode.parent import DecodeLimits
from appliance.engine.training.limits import MIN_REVIEWED_SECONDS

Phase = Literal["preparing", "fitting", "evaluating", "exporting"]
Mode = Literal["append", "replace"]
Read = Callable[[], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True)
class Stretch:
    """A stretch of a recording that concerns one label; times in whole milliseconds, ``start_ms < end_ms``."""

    label: str
    start_ms: int
    end_ms: int


class Said(Protocol):
    """What people said of a recording."""

    @property
    def events(self) -> Sequence[Stretch]:
        """Where a label is."""

    @property
    def absents(self) -> Sequence[Stretch]:
        """Where a person said that it is not."""

    @property
    def unsures(self) -> Sequence[Stretch]:
        """Where nobody can tell."""

    @property
    def reviewed(self) -> Sequence[Stretch]:
        """Where a person listened for it."""


@dataclass(frozen=True)
class TrainingRecording:
    """A recording and all that people said of it."""

    id: str
    read: Read = field(compare=False)  # opens the original bytes as a file
    sha256: str  # of these bytes
    group: str  # recordings of one group are all for fitting, or all held out
    duration_ms: int
    events: tuple[Stretch, ...] = ()
    absents: tuple[Stretch, ...] = ()  # a person said that the label is not here
    unsures: tuple[Stretch, ...] = ()  # left out of fitting and of evaluation
    reviewed: tuple[Stretch, ...] = ()  # a person listened for the label: what is not an event here is none
    held_out: bool | None = None  # None: decided by group, so that ``holdout_share`` of the groups is held out


@dataclass(frozen=True)
class TrainingRequest:
    """A training. The same request gives the same model, to the byte."""

    name: str  # of the new model
    version: str
    labels: tuple[str, ...]
    mode: Mode  # append: the model also has the labels of the base model; replace: only the new ones
    base_model: Path  # folder of a model whose manifest has output.features
    recordings: tuple[TrainingRecording, ...]
    limits: DecodeLimits
    seed: int = 0
    max_false_alarms_per_hour: float = 10.0  # of all new labels together
    holdout_share: float = 0.25
    min_reviewed_seconds: float = MIN_REVIEWED_SECONDS
    cache: Path | None = None  # folder of features that trainings share; None: they stay in the workspace
    cache_bytes: int = 20 * 1024**3


@dataclass(frozen=True)
class TrainingReport:
    """What came out of a training."""

    report: dict[str, Any]  # JSON
    model: Path  # folder with model.onnx, manifest.toml and MODEL_CARD.md
