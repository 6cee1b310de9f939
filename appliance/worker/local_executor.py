"""Analyzes recordings in the worker itself, with the lane's decoder and the scorers that all lanes share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from appliance.engine.scoring.detector import Analysis, analyse
from appliance.engine.scoring.events import DetectionConfig
from appliance.engine.speech.transcriber import Transcription, transcribe
from appliance.services.inference.work import InferenceTask
from appliance.state.media import Media
from appliance.state.transcripts import Transcript
from appliance.worker.executor import Outcome, analyze_file
from appliance.worker.lane import Lane
from appliance.worker.progress import Progress
from appliance.worker.scorers import Scorers


class LocalExecutor:
    """The executor of a box without nodes. See Executor."""

    def __init__(self, scorers: Scorers) -> None:
        self._scorers = scorers

    def start(self) -> None:
        """Load the default model."""
        self._scorers.load_default()

    @contextmanager
    def analyze(self, lane: Lane, task: InferenceTask) -> Iterator[Outcome]:
        """Analyze a recording on the thread that calls."""
        settings = lane.box.settings
        scorer = self._scorers.detector(task.model, task.tenant_id)
        lane.meter.model = scorer.session.manifest.id
        with ExitStack() as files:
            scratch = None
            if settings.keep_scores:
                scratch = (files.enter_context(lane.scratch()), files.enter_context(lane.scratch()))
            look_file = files.enter_context(lane.scratch()) if settings.looks else None
            files.enter_context(self._scorers.foreground)
            with lane.fetched(task.file.object_key, task.file.etag) as file:
                outcome = analyze_file(file, lane.decoder, scorer, task.config, lane.checkpoint, scratch, look_file)
            yield outcome

    def listen(
        self, lane: Lane, transcript: Transcript, media: Media, config: DetectionConfig | None
    ) -> Analysis | Transcription:
        """Work on the thread that calls, and report the progress."""
        with self._scorers.foreground, lane.fetched(media.object_key, media.etag) as file:
            progress = Progress(lane, media.estimated_duration_seconds or lane.decoder.claimed_seconds(file))
            if config is None:
                return transcribe(file, lane.decoder, self._scorers.transcriber(transcript.model), progress)
            scorer = self._scorers.detector(transcript.model, transcript.tenant_id)
            return analyse(file, lane.decoder, scorer, config, progress)

    def close(self) -> None:
        """Do nothing: the worker closes the scorers."""
