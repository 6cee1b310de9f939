"""What is done for each kind of work. A handler commits its own result; what it raises decides what happens next."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, BinaryIO

import numpy as np

from appliance.engine.decode.normalize import SAMPLE_RATE_HZ
from appliance.engine.decode.normalize import normalize as normalize_audio
from appliance.engine.scoring.detector import analyse
from appliance.engine.scoring.embedding import embed, mean_direction
from appliance.engine.scoring.events import DetectionConfig
from appliance.engine.speech.transcriber import transcribe
from appliance.errors import LeaseLost
from appliance.services.datasets import work as dataset_work
from appliance.services.inference import work as inference_work
from appliance.services.speech import batch_uploads, transcripts
from appliance.state.audio import Audio, Found
from appliance.state.transcripts import Transcript
from appliance.worker.lane import Lane, sha256_of
from appliance.worker.progress import Progress


def infer(lane: Lane) -> None:
    """Analyse a file of an inference job."""
    task = inference_work.load_task(lane.box, lane.work)
    scorer = lane.scorers.detector(task.model)
    with lane.fetched(task.file.object_key, task.file.etag) as file:
        analysis = analyse(file, lane.decoder, scorer, task.config, lane.checkpoint)
    inference_work.complete(lane.box, lane.work, analysis.duration_ms, analysis.detections)


def normalize(lane: Lane) -> None:
    """Make the 16 kHz mono WAV of a dataset's recording."""
    recording = dataset_work.load_audio(lane.box, lane.work)
    with lane.fetched(recording.object_key, recording.etag) as file, lane.scratch() as wav:
        with lane.decoder.decode(file, SAMPLE_RATE_HZ) as audio:
            normalize_audio(audio, wav, lane.checkpoint)
        found = Found(
            duration_ms=audio.duration_ms,
            sample_rate_hz=audio.info.sample_rate_hz,
            num_channels=audio.info.num_channels,
            codec=audio.info.codec,
            sha256=sha256_of(file),
        )
        size_bytes = wav.seek(0, io.SEEK_END)
        wav.seek(0)
        lane.box.objects.put(recording.normalized_key, wav, size_bytes=size_bytes, content_type="audio/wav")
    _commit(lane, recording.normalized_key, lambda: _normalized(lane, recording, found))


def _normalized(lane: Lane, recording: Audio, found: Found) -> None:
    dataset_work.complete_normalizing(lane.box, lane.work, recording, found)


def embed_audio(lane: Lane) -> None:
    """Embed a normalised recording."""
    recording = dataset_work.load_audio(lane.box, lane.work)
    scorer = lane.scorers.embedder(lane.box.settings.embedding_model)
    with lane.fetched(recording.normalized_key, None) as file:
        vectors = embed(file, lane.decoder, scorer, lane.checkpoint)
    rows = io.BytesIO()
    np.save(rows, vectors)
    lane.box.objects.put(recording.embedding_key, rows.getvalue(), content_type="application/octet-stream")
    model, direction = scorer.session.manifest.id, mean_direction(vectors)
    _commit(
        lane,
        recording.embedding_key,
        lambda: dataset_work.complete_embedding(lane.box, lane.work, recording, model, direction),
    )


def transcribe_media(lane: Lane) -> None:
    """Write media down; or find detections in it, where the model is for that."""
    asked, source = transcripts.load(lane.box, lane.work)
    spoken = lane.box.models.resolve(asked.model).manifest.task == "transcription"
    hear = _transcript if spoken else _detections
    with lane.fetched(source.object_key, source.etag) as file:
        progress = Progress(lane, source.estimated_duration_seconds or lane.decoder.claimed_seconds(file))
        duration_ms, result = hear(lane, asked, file, progress)
    transcripts.complete(lane.box, lane.work, duration_ms, result)


def _transcript(lane: Lane, asked: Transcript, file: BinaryIO, progress: Progress) -> tuple[int, dict[str, Any]]:
    heard = transcribe(file, lane.decoder, lane.scorers.transcriber(asked.model), progress)
    segments, words = ([asdict(each) for each in listed] for listed in (heard.segments, heard.words))
    return heard.duration_ms, {"text": heard.text, "segments": segments, "words": words}


def _detections(lane: Lane, asked: Transcript, file: BinaryIO, progress: Progress) -> tuple[int, dict[str, Any]]:
    config = DetectionConfig(**{each.name: asked.options.get(each.name) for each in fields(DetectionConfig)})
    analysis = analyse(file, lane.decoder, lane.scorers.detector(asked.model), config, progress)
    return analysis.duration_ms, {"detections": [asdict(detection) for detection in analysis.detections]}


def store(lane: Lane) -> None:
    """Take a spooled file to storage."""
    batch_uploads.store(lane.box, lane.work)


def purge(lane: Lane) -> None:
    """Delete the objects of a recording that is gone."""
    dataset_work.purge(lane.box, lane.work)


def _commit(lane: Lane, key: str, complete: Callable[[], None]) -> None:
    """Commit; where the recording was deleted meanwhile, delete what was stored for it too."""
    try:
        complete()
    except LeaseLost:
        if dataset_work.is_gone(lane.box, lane.work):
            lane.box.objects.delete(key)
        raise


HANDLERS: dict[str, Callable[[Lane], None]] = {
    "inference": infer,
    "normalize": normalize,
    "embed": embed_audio,
    "transcription": transcribe_media,
    "store": store,
    "purge": purge,
}
