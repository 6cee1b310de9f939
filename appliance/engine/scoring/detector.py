"""Detection as one step, from a recording to its detections. The worker and the command ``detect`` both call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np

from appliance.engine.decode.decoder import Decoder
from appliance.engine.decode.look import Look
from appliance.engine.scoring.events import Detection, DetectionConfig, DetectionFinder, rules_of
from appliance.engine.scoring.levels import Levels
from appliance.engine.scoring.lost import with_losses
from appliance.engine.scoring.scorer import Scorer
from appliance.engine.scoring.track import ScoreAverager

Checkpoint = Callable[[float], None]


class Keeper(Protocol):
    """Takes the levels of a recording as they come, and at the end the stretches that were lost, in milliseconds."""

    losses_ms: Sequence[tuple[float, float]]

    def add(self, piece: Levels) -> None:
        """Add the next segments."""


@dataclass(frozen=True)
class Analysis:
    """The length of a recording in milliseconds, and its detections in order of their start."""

    duration_ms: int
    detections: list[Detection]
    look: Look | None = None


def analyse(
    file: BinaryIO,
    decoder: Decoder,
    scorer: Scorer,
    config: DetectionConfig,
    checkpoint: Checkpoint = lambda _: None,
    keeper: Keeper | None = None,
    *,
    look_file: BinaryIO | None = None,
) -> Analysis:
    """Decode a recording, score it and find its detections. ``keeper`` gets what they are found in.

    ``checkpoint`` is called for each window with the seconds of audio cut so far, and may raise to stop. With
    ``look_file``, an empty one, the analysis has a look, for those who look at the recording later.
    Raises AudioError if the recording cannot be analysed (DecoderDied is one), ScoringFailed, ScoresNotFinite.
    """
    manifest = scorer.session.manifest
    rules = rules_of(manifest)
    finder = DetectionFinder(rules, config)
    columns = manifest.reported_columns

    def take(edges_ms: np.ndarray, scores: np.ndarray) -> None:
        piece = Levels.of(edges_ms, scores[:, columns])
        finder.add(piece)
        if keeper:
            keeper.add(piece)

    source = manifest.input
    with decoder.decode(file, source.sample_rate_hz, num_channels=source.num_channels, look_file=look_file) as audio:
        averager = ScoreAverager.of(manifest, take)
        scorer.score(audio, averager, checkpoint)
    sample_ms = 1000.0 / audio.info.sample_rate_hz
    averager.finish(audio.num_source_samples * sample_ms)
    losses_ms = [(start * sample_ms, end * sample_ms) for start, end in audio.losses]
    if keeper:
        keeper.losses_ms = losses_ms
    return Analysis(audio.duration_ms, with_losses(finder.finish(), losses_ms, rules, config), audio.look)
