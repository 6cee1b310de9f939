"""Detection as one step, from a recording to its detections. The worker and the command ``detect`` both call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from appliance.engine.decode.decoder import Decoder
from appliance.engine.scoring.events import Detection, DetectionConfig, DetectionFinder
from appliance.engine.scoring.scorer import Scorer
from appliance.engine.scoring.track import ScoreAverager


@dataclass(frozen=True)
class Analysis:
    """The length of a recording in milliseconds, and its detections in order of their start."""

    duration_ms: int
    detections: list[Detection]


def analyse(
    file: BinaryIO,
    decoder: Decoder,
    scorer: Scorer,
    config: DetectionConfig,
    checkpoint: Callable[[float], None] = lambda _: None,
) -> Analysis:
    """Decode a recording, score it and find its detections.

    ``checkpoint`` is called for each window with the seconds of audio cut so far, and may raise to stop.
    Raises AudioError if the recording cannot be analysed (DecoderDied is one), ScoringFailed, ScoresNotFinite.
    """
    manifest = scorer.session.manifest
    finder = DetectionFinder(manifest, config)
    with decoder.decode(file, manifest.input.sample_rate_hz) as audio:
        averager = ScoreAverager.of(manifest, finder.add)
        scorer.score(audio, averager, checkpoint)
    averager.finish(1000.0 * audio.num_source_samples / audio.info.sample_rate_hz)
    return Analysis(audio.duration_ms, finder.finish())
