"""What travels between a driver and an engine on a node: keys out, results back, never audio.

All of it is pickled. An ask holds no secret but its URL, which reads one object for a limited time.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.bulk.shards import Totals
from appliance.engine.scoring.detector import Analysis
from appliance.engine.scoring.events import DetectionConfig
from appliance.engine.speech.transcriber import Transcription


@dataclass(frozen=True)
class Ask:
    """Something for an engine to do with a model. ``digest`` is the SHA-256 of the packed model."""

    id: str
    model: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class RecordingAsk(Ask):
    """A recording to analyze; one without a ``config`` is to be transcribed."""

    url: str
    etag: str
    config: DetectionConfig | None
    keep_scores: bool
    look: bool


@dataclass(frozen=True)
class ShardAsk(Ask):
    """A shard of the plan with the checksum ``plan_id`` in ``out`` that is to be made."""

    out: str
    plan_id: str
    number: int


@dataclass(frozen=True)
class Answer:
    """What became of a recording. ``scores`` is the archive of its scores, None if they are not to be kept."""

    analysis: Analysis | Transcription
    scores: bytes | None


Reply = Answer | Totals
