"""Where recordings are analyzed: in the worker itself, or by engines on the nodes of a cluster."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from appliance.engine.decode.decoder import Decoder
from appliance.engine.scoring.detector import Analysis, Checkpoint, analyse
from appliance.engine.scoring.events import DetectionConfig, rules_of
from appliance.engine.scoring.kept import ScoreKeeper
from appliance.engine.scoring.scorer import Scorer
from appliance.engine.speech.transcriber import Transcription
from appliance.services.inference.work import InferenceTask
from appliance.state.media import Media
from appliance.state.transcripts import Transcript
from appliance.worker.lane import Lane


@dataclass(frozen=True)
class Outcome:
    """The analysis of a recording, and the archive of its scores, None if they are not to be kept."""

    analysis: Analysis
    scores: BinaryIO | None


class Executor(Protocol):
    """Analyzes recordings. Every lane calls it from its own thread and waits for the outcome."""

    def start(self) -> None:
        """Get ready; called once, before the first recording. Raises ConfigurationError."""

    def analyze(self, lane: Lane, task: InferenceTask) -> AbstractContextManager[Outcome]:
        """Analyze a recording; the archive lasts as long as the context.

        Raises Stopped and LeaseLost if the lane is not to go on, EngineLost if it is not known what became of the
        recording, and what ``analyse`` and ``Lane.fetched`` raise.
        """

    def listen(
        self, lane: Lane, transcript: Transcript, media: Media, config: DetectionConfig | None
    ) -> Analysis | Transcription:
        """Transcribe the media of a transcript, or find detections in it if there is a ``config``.

        Raises what ``analyze`` raises, and what ``transcribe`` raises.
        """

    def close(self) -> None:
        """End what runs. Recordings in progress end with an error."""


def analyze_file(
    file: BinaryIO,
    decoder: Decoder,
    scorer: Scorer,
    config: DetectionConfig,
    checkpoint: Checkpoint,
    scratch: tuple[BinaryIO, BinaryIO] | None,
    look_file: BinaryIO | None,
) -> Outcome:
    """Analyze an open recording. Raises what ``analyse`` raises.

    Its scores are kept if there are two empty files for them, and it has a look if there is one for it.
    """
    if scratch is None:
        return Outcome(analyse(file, decoder, scorer, config, checkpoint, look_file=look_file), None)
    spool, archive = scratch
    keeper = ScoreKeeper(rules_of(scorer.session.manifest), spool)
    analysis = analyse(file, decoder, scorer, config, checkpoint, keeper, look_file=look_file)
    keeper.write(archive)
    return Outcome(analysis, archive)
