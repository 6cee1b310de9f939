"""What travels between the box and an engine on a node: keys out, results back, never audio.

All of it is pickled. An ask holds no secret but its URL, which reads one object for a limited time.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.engine.scoring.detector import Analysis
from appliance.engine.scoring.events import DetectionConfig
from appliance.engine.speech.transcriber import Transcription


@dataclass(frozen=True)
class Ask:
    """A recording to analyze; one without a ``config`` is to be transcribed.

    ``digest`` is the SHA-256 of the packed model.
    """

    id: str
    url: str
    etag: str
    model: str
    digest: str
    config: DetectionConfig | None
    keep_scores: bool
    look: bool
    size_bytes: int


@dataclass(frozen=True)
class Answer:
    """What became of an ask. ``scores`` is the archive of its scores, None if they are not to be kept."""

    analysis: Analysis | Transcription
    scores: bytes | None
