"""Transcription by the worker with real decoders, the real model and real SQLite. Objects are in a dictionary."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.engine.speech.transcriber import Transcriber
from appliance.errors import DatabaseBusy
from appliance.services.speech import transcripts
from appliance.services.speech import work as speech_work
from appliance.services.work import leases
from appliance.state import media as media_rows
from appliance.state import transcripts as transcript_rows
from appliance.state.transcripts import Transcript
from appliance.worker import progress
from appliance.worker.progress import Progress
from tests.support.appliances import wait_for
from tests.support.speech_sample import SAMPLE, SAMPLE_MS, needs_model, wrong_words
from tests.support.toy_recordings import LOUD_DURATION_MS, loud_wav
from tests.worker.test_worker import WorkerFixture


class SpeechFixture(WorkerFixture):
    """A worker fixture whose media can be transcribed."""

    def request(self, content: bytes, model: str, **options: Any) -> str:
        """Create a transcript of stored media and return its id."""
        media_id, key = str(uuid.uuid4()), f"k/{uuid.uuid4()}"
        self.objects.contents[key] = content
        model = transcripts.resolve_model(self.box, 1, model, "model", ("transcription", "detection"))
        with self.box.db.transaction() as tx:
            media_rows.insert_media(
                tx, media_id, 1, route="raw", status="spooled", object_key=key, size_bytes=len(content)
            )
            media_rows.mark_stored(tx, media_id, "spooled", len(content), "tag")
            media = media_rows.find_media(tx, media_id)
            assert media is not None
            return transcripts.create_transcript(tx, media, model=model, options=options)

    def transcript(self, transcript_id: str) -> Transcript:
        transcript = transcript_rows.find_transcript(self.box.db, transcript_id)
        assert transcript is not None
        return transcript

    def finished_transcript(self, transcript_id: str) -> Transcript:
        wait_for(lambda: self.transcript(transcript_id).status in ("completed", "failed"))
        return self.transcript(transcript_id)


@pytest.fixture
def make(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SpeechFixture]:
    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.05)
    return lambda **settings: SpeechFixture(tmp_path, models, **settings)


@needs_model
def test_speech_is_transcribed_and_its_progress_reported(
    make: Callable[..., SpeechFixture], monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = make()
    reported: list[float] = []
    report = speech_work.report_progress

    def record(box: Any, transcript_id: str, share: float) -> None:
        report(box, transcript_id, share)
        reported.append(fixture.transcript(transcript_id).progress)

    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(speech_work, "report_progress", record)
    transcript_id = fixture.request(SAMPLE.read_bytes(), "moonshine-tiny-en")
    with fixture.working():
        transcript = fixture.finished_transcript(transcript_id)
    assert (transcript.status, transcript.duration_ms, transcript.progress) == ("completed", SAMPLE_MS, 1)
    assert transcript.result is not None
    assert set(transcript.result) == {"text", "segments", "words"}
    assert wrong_words(transcript.result["text"]) <= 2
    assert set(transcript.result["segments"][0]) == {"text", "start_ms", "end_ms"}
    assert set(transcript.result["words"][0]) == {"text", "start_ms", "end_ms", "confidence"}
    assert reported == sorted(reported)
    assert 0.8 < reported[-1] < 1
    assert fixture.work() == []


@needs_model
def test_a_recording_without_speech_is_completed_without_text(make: Callable[..., SpeechFixture]) -> None:
    fixture = make()
    transcript_id = fixture.request(loud_wav(), "moonshine-tiny-en")
    with fixture.working():
        transcript = fixture.finished_transcript(transcript_id)
    assert (transcript.status, transcript.duration_ms) == ("completed", LOUD_DURATION_MS)
    assert transcript.result == {"text": "", "segments": [], "words": []}


def test_a_model_for_detection_gives_detections(make: Callable[..., SpeechFixture]) -> None:
    fixture = make()
    plain = fixture.request(loud_wav(), "loud-frames")
    strict = fixture.request(loud_wav(), "loud-frames", threshold=1.0, min_duration_ms=1000)
    with fixture.working():
        transcript, nothing = fixture.finished_transcript(plain), fixture.finished_transcript(strict)
    assert transcript.duration_ms == LOUD_DURATION_MS
    assert transcript.result is not None
    (detection,) = transcript.result["detections"]
    assert set(detection) == {"artifact_type", "start_ms", "end_ms", "confidence", "source"}
    assert (detection["artifact_type"], detection["start_ms"], detection["end_ms"]) == ("loud", 1160, 1742)
    assert nothing.result == {"detections": [], "detections_truncated": False}


def test_media_that_cannot_be_decoded_fails_with_the_reason(make: Callable[..., SpeechFixture]) -> None:
    fixture = make()
    transcript_id = fixture.request(b"text", "loud-frames")
    with fixture.working():
        transcript = fixture.finished_transcript(transcript_id)
    assert (transcript.status, transcript.error_code, transcript.result) == ("failed", "corrupt_audio", None)


def test_a_missing_model_fails_its_transcripts(make: Callable[..., SpeechFixture]) -> None:
    fixture = make()
    transcript_id = fixture.request(loud_wav(), "loud-frames")
    with fixture.box.db.transaction() as tx:
        tx.change("UPDATE transcripts SET model = 'moonshine-tiny-en@9' WHERE id = ?", [transcript_id])
    with fixture.working():
        assert fixture.finished_transcript(transcript_id).error_code == "model_not_found"


@needs_model
def test_a_transcript_deleted_during_its_work_stays_deleted(make: Callable[..., SpeechFixture]) -> None:
    fixture = make()
    transcript_id = fixture.request(SAMPLE.read_bytes(), "moonshine-tiny-en")
    fixture.objects.gate.clear()
    with fixture.working():
        wait_for(lambda: fixture.objects.reads)
        with fixture.box.db.transaction() as tx:
            transcript_rows.delete_transcript(tx, transcript_id)
        fixture.objects.gate.set()
        other = fixture.request(loud_wav(), "loud-frames")
        assert fixture.finished_transcript(other).status == "completed"
    assert transcript_rows.find_transcript(fixture.box.db, transcript_id) is None


@needs_model
def test_work_is_retried_if_the_database_is_busy(
    make: Callable[..., SpeechFixture], monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = make()
    faults = [DatabaseBusy("busy")]
    read = Transcriber.read

    def failing(*arguments: Any) -> Any:
        if faults:
            raise faults.pop()
        return read(*arguments)

    monkeypatch.setattr(Transcriber, "read", failing)
    transcript_id = fixture.request(SAMPLE.read_bytes(), "moonshine-tiny-en")
    with fixture.working():
        assert fixture.finished_transcript(transcript_id).status == "completed"
    assert fixture.objects.reads == 2


def test_progress_is_reported_seldom_and_never_as_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[float] = []
    clock = [0.0]
    lane: Any = SimpleNamespace(checkpoint=lambda: None, box=None, work=SimpleNamespace(subject_id="x"))
    monkeypatch.setattr(speech_work, "report_progress", lambda box, subject_id, share: reported.append(share))
    monkeypatch.setattr("appliance.worker.progress.time.monotonic", lambda: clock[0])
    report = Progress(lane, 100.0)
    for second in range(0, 120, 1):
        clock[0] = second / 10
        report(float(second))
    assert reported == [0.2, 0.4, 0.6, 0.8, 0.99]
    reported.clear()
    silent = Progress(lane, None)
    clock[0] += 60
    silent(50.0)
    assert reported == []
