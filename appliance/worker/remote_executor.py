"""Analyzes recordings on the nodes of a cluster: what each lane waits for is done by an engine there."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appliance.engine.scoring.detector import Analysis
from appliance.engine.scoring.events import DetectionConfig
from appliance.engine.speech.transcriber import Transcription
from appliance.errors import ApplianceError
from appliance.services.box import Box
from appliance.services.damage import damage_noticed
from appliance.services.inference.work import InferenceTask
from appliance.services.models import resolve
from appliance.state import nodes as node_rows
from appliance.state.media import Media
from appliance.state.nodes import Node
from appliance.state.transcripts import Transcript
from appliance.worker.asks import Answer, RecordingAsk
from appliance.worker.crew import Ticket
from appliance.worker.engine import Engine
from appliance.worker.executor import Outcome
from appliance.worker.lane import Lane
from appliance.worker.ray_executor import RayEngines

URL_SECONDS = 3600
# What a node takes from the box instead of its own settings: what it may spend on a recording.
LIMITS = ("decoder_memory_bytes", "decoder_cpu_seconds", "decoder_stall_seconds", "max_duration_seconds")


class RemoteExecutor:
    """The executor of a box with nodes. See Executor. ``resized`` is told how many recordings to claim at a time."""

    def __init__(self, box: Box, resized: Callable[[int], None] = lambda _: None) -> None:
        self._box = box
        self._engines = RayEngines(
            box.settings,
            Engine,
            LIMITS,
            resized=resized,
            drains=lambda: node_rows.drains(box.db),
            shown=self._write_nodes,
        )

    def start(self) -> None:
        """Join the cluster as its driver."""
        self._engines.start()

    @contextmanager
    def analyze(self, lane: Lane, task: InferenceTask) -> Iterator[Outcome]:
        """Send a recording to an engine and wait for its outcome."""
        settings, file = lane.box.settings, task.file
        answer = self._answer(
            lane,
            (task.tenant_id, task.model),
            (file.object_key, file.etag, file.declared_size_bytes),
            task.config,
            keep_scores=settings.keep_scores,
            look=settings.looks,
        )
        assert isinstance(answer.analysis, Analysis)
        yield Outcome(answer.analysis, None if answer.scores is None else io.BytesIO(answer.scores))

    def listen(
        self, lane: Lane, transcript: Transcript, media: Media, config: DetectionConfig | None
    ) -> Analysis | Transcription:
        """Send media to an engine and wait for the result. No progress is reported meanwhile."""
        recording = (media.object_key, media.etag, media.size_bytes)
        return self._answer(lane, (transcript.tenant_id, transcript.model), recording, config).analysis

    def _answer(
        self,
        lane: Lane,
        model: tuple[int, str],
        recording: tuple[str, str | None, int | None],
        config: DetectionConfig | None,
        *,
        keep_scores: bool = False,
        look: bool = False,
    ) -> Answer:
        """Send a recording, which is a key, a tag and a size, and wait for the answer. ``model`` is one of a tenant."""
        stored, (key, etag, size_bytes) = resolve(lane.box, *model), recording
        lane.meter.model = stored.manifest.id
        ask = RecordingAsk(
            id=f"{lane.work.id}-{lane.work.lease_token}",
            model=stored.manifest.id,
            digest=self._engines.offer(stored),
            size_bytes=size_bytes or 0,
            url=lane.box.objects.node_url(key, URL_SECONDS),
            etag=etag or "",
            config=config,
            keep_scores=keep_scores,
            look=look,
        )
        ticket = Ticket(ask, lane, alone=lane.work.lost_engines > 0)
        self._engines.send(ticket)
        ticket.ended.wait()
        with damage_noticed(lane.box, key):
            if isinstance(ticket.result, ApplianceError):
                raise ticket.result
        assert isinstance(ticket.result, Answer)
        return ticket.result

    def close(self) -> None:
        """End the engines and leave the cluster. Recordings in progress end with an error."""
        self._engines.close()

    def _write_nodes(self, nodes: list[Node]) -> None:
        with self._box.db.transaction() as tx:
            node_rows.replace_all(tx, nodes)
