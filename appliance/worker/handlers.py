"""A handler for each kind of work. It commits its own result; the error that it raises decides what happens next."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import structlog

from appliance.engine.decode.normalize import SAMPLE_BYTES, SAMPLE_RATE_HZ, normalize
from appliance.engine.scoring.detector import Analysis
from appliance.engine.scoring.embedding import embed, mean_direction
from appliance.engine.scoring.events import DetectionConfig, strongest
from appliance.engine.speech.transcriber import Transcription
from appliance.errors import LeaseLost, QuotaExceeded, StorageFull, UnexpectedStatus
from appliance.metrics import stage
from appliance.services.datasets import work as dataset_work
from appliance.services.datasets.work import COPY_AUDIO, EMBED, HEAR, NORMALIZE
from appliance.services.inference import redetect as redetect_work
from appliance.services.inference import work as inference_work
from appliance.services.inference.kept_scores import load_scores
from appliance.services.inference.redetect import REDETECT
from appliance.services.inference.verdicts import JUDGE, judge_all
from appliance.services.inference.waveforms import keep_look
from appliance.services.inference.work import COPY_FILE, INFERENCE, MAX_DETECTIONS, InferenceTask
from appliance.services.models import resolve
from appliance.services.purge import PURGE
from appliance.services.purge import purge as purge_objects
from appliance.services.speech import batch_uploads
from appliance.services.speech import work as speech_work
from appliance.services.speech.batch_uploads import STORE
from appliance.services.speech.fetch import FETCH
from appliance.services.speech.fetch import fetch as fetch_media
from appliance.services.speech.work import TRANSCRIPTION
from appliance.services.training.work import TRAINING
from appliance.state.audio import Audio, Properties
from appliance.storage.objects import ObjectInfo
from appliance.worker.lane import Lane, sha256_of
from appliance.worker.training import train

log = structlog.get_logger()


def infer(lane: Lane) -> None:
    """Analyse a file of an inference job."""
    task = inference_work.load_task(lane.box, lane.work)
    analysis, scores = _analyse_and_keep(lane, task)
    try:
        with stage("commit"):
            inference_work.complete(lane.box, lane.work, analysis.duration_ms, analysis.detections, scores)
    except (LeaseLost, UnexpectedStatus):
        inference_work.discard_scores(lane.box, task.file)
        raise


def _analyse_and_keep(lane: Lane, task: InferenceTask) -> tuple[Analysis, ObjectInfo | None]:
    """Analyse a file, and store its scores if they are to be kept."""
    with lane.executor.analyze(lane, task) as outcome:
        analysis = outcome.analysis
        lane.meter.audio_ms = analysis.duration_ms
        if error := keep_look(lane.box, task.file, analysis.look):
            log.warning("waveform not stored; it is made when somebody looks", file=task.file.id, error=str(error))
        if outcome.scores is None:
            return analysis, None
        with stage("keep"):
            return analysis, inference_work.keep_scores(lane.box, task.file, outcome.scores)


def redetect(lane: Lane) -> None:
    """Detect again in a completed file: in its kept scores, or in new ones of the model."""
    task = redetect_work.load_task(lane.box, lane.work)
    if not task.request.with_model:
        scores = load_scores(lane.box, task.inference.file)
        detections, truncated = scores.detections(task.inference.config, MAX_DETECTIONS)
        redetect_work.complete(lane.box, lane.work, task, detections, truncated=truncated)
        return
    analysis, stored = _analyse_and_keep(lane, task.inference)
    kept = strongest(analysis.detections, MAX_DETECTIONS)
    truncated = len(kept) < len(analysis.detections)
    try:
        redetect_work.complete(lane.box, lane.work, task, kept, truncated=truncated, scores=stored)
    except (LeaseLost, UnexpectedStatus):
        inference_work.discard_scores(lane.box, task.inference.file)
        raise


def judge(lane: Lane) -> None:
    """Bring the verdicts of a tenant's files up to date."""
    judge_all(lane.box, lane.work)


def normalize_audio(lane: Lane) -> None:
    """Make the 16 kHz mono WAV of a dataset's recording."""
    recording = dataset_work.load_audio(lane.box, lane.work)
    with lane.fetched(recording.object_key, recording.etag) as file, lane.scratch() as wav:
        with lane.decoder.decode(file, SAMPLE_RATE_HZ) as audio:
            normalize(audio, wav, _metered(lane, recording))
        properties = Properties(
            duration_ms=audio.duration_ms,
            sample_rate_hz=audio.info.sample_rate_hz,
            num_channels=audio.info.num_channels,
            codec=audio.info.codec,
            sha256=sha256_of(file),
        )
        lane.meter.audio_ms = audio.duration_ms
        size_bytes = wav.seek(0, io.SEEK_END)
        wav.seek(0)
        lane.box.objects.put(recording.normalized_key, wav, size_bytes=size_bytes, content_type="audio/wav")
    _commit(lane, recording.normalized_key, lambda: _normalized(lane, recording, properties, size_bytes))


def _metered(lane: Lane, recording: Audio) -> Callable[[float], None]:
    """Return a checkpoint that also stops a small file from becoming more than its owner or the disk has room for."""
    meter = dataset_work.meter_of(lane.box, recording)

    def check(seconds: float) -> None:
        lane.checkpoint()
        try:
            meter.reach(int(seconds * SAMPLE_RATE_HZ * SAMPLE_BYTES))
        except StorageFull as error:  # another try would fill the disk again
            raise QuotaExceeded(f"The 16 kHz copy of the recording does not fit on the disk. {error}") from error

    return check


def _normalized(lane: Lane, recording: Audio, properties: Properties, size_bytes: int) -> None:
    dataset_work.complete_normalizing(lane.box, lane.work, recording, properties, size_bytes)


def embed_audio(lane: Lane) -> None:
    """Embed a normalized recording."""
    recording = dataset_work.load_audio(lane.box, lane.work)
    scorer = lane.scorers.embedder(lane.box.settings.embedding_model)
    lane.meter.model = scorer.session.manifest.id
    with lane.fetched(recording.normalized_key, None) as file:
        vectors = embed(file, lane.decoder, scorer, lane.checkpoint)
    rows = io.BytesIO()
    np.save(rows, vectors)
    lane.box.objects.put(recording.embedding_key, rows.getvalue(), content_type="application/octet-stream")
    model, direction = scorer.session.manifest.id, mean_direction(vectors)
    _commit(
        lane,
        recording.embedding_key,
        lambda: dataset_work.complete_embedding(lane.box, lane.work, recording, model, direction, rows.tell()),
    )


def hear_audio(lane: Lane) -> None:
    """Embed a normalized recording for the learned search, while nobody waits for another one."""
    recording = dataset_work.load_audio(lane.box, lane.work)
    scorer = lane.scorers.embedder(lane.box.settings.sound_model, background=True)
    manifest = scorer.session.manifest
    lane.meter.model = manifest.id
    with lane.fetched(recording.normalized_key, None) as file:
        vectors = embed(file, lane.decoder, scorer, lane.checkpoint)
    direction = mean_direction(vectors, [*manifest.output.parts.values()])
    dataset_work.complete_hearing(lane.box, lane.work, recording, manifest.id, direction)


def transcribe_media(lane: Lane) -> None:
    """Transcribe media, or find detections in it if the model is for that."""
    transcript, media = speech_work.load_transcript(lane.box, lane.work)
    manifest = resolve(lane.box, transcript.tenant_id, transcript.model).manifest
    lane.meter.model = manifest.id
    config = None
    if manifest.task != "transcription":
        names = [field.name for field in fields(DetectionConfig)]
        config = DetectionConfig(**{name: transcript.options.get(name) for name in names})
    heard = lane.executor.listen(lane, transcript, media, config)
    lane.meter.audio_ms = heard.duration_ms
    with stage("commit"):
        speech_work.complete(lane.box, lane.work, heard.duration_ms, _result(heard))


def _result(heard: Analysis | Transcription) -> dict[str, Any]:
    if isinstance(heard, Transcription):
        segments, words = ([asdict(span) for span in spans] for spans in (heard.segments, heard.words))
        return {"text": heard.text, "segments": segments, "words": words}
    kept = strongest(heard.detections, MAX_DETECTIONS)
    return {"detections": [*map(asdict, kept)], "detections_truncated": len(kept) < len(heard.detections)}


def store(lane: Lane) -> None:
    """Copy a spooled file to storage."""
    batch_uploads.store(lane.box, lane.work)


def copy_file(lane: Lane) -> None:
    """Copy a large upload of a job."""
    inference_work.copy(lane.box, lane.work)


def copy_audio(lane: Lane) -> None:
    """Copy a large upload of a dataset."""
    dataset_work.copy(lane.box, lane.work)


def fetch(lane: Lane) -> None:
    """Stream a recording from the URL that the client named to storage."""
    fetch_media(lane.box, lane.work, lane.checkpoint)


def purge(lane: Lane) -> None:
    """Delete the objects of a recording that is gone."""
    purge_objects(lane.box, lane.work)


def _commit(lane: Lane, key: str, complete: Callable[[], None]) -> None:
    """Commit. If the recording was deleted meanwhile, also delete the object that was stored for it."""
    try:
        with stage("commit"):
            complete()
    except (LeaseLost, UnexpectedStatus):
        if dataset_work.is_gone(lane.box, lane.work):
            lane.box.objects.delete(key)
        raise


HANDLERS: dict[str, Callable[[Lane], None]] = {
    INFERENCE.name: infer,
    REDETECT.name: redetect,
    JUDGE.name: judge,
    NORMALIZE.name: normalize_audio,
    EMBED.name: embed_audio,
    HEAR.name: hear_audio,
    TRANSCRIPTION.name: transcribe_media,
    COPY_FILE.name: copy_file,
    COPY_AUDIO.name: copy_audio,
    STORE.name: store,
    FETCH.name: fetch,
    PURGE.name: purge,
    TRAINING.name: train,
}
