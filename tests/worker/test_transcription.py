"""Transcription by the worker: real decoders, the real model, real SQLite; objects come from a dictionary."""

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
from appliance.services.work import leases
from appliance.state import media
from appliance.state import transcripts as transcript_rows
from appliance.state.transcripts import Transcript
from appliance.worker import progress
from appliance.worker.progress import Progress
from tests.support.appliances import wait_for
from tests.support.recordings import LOUD_DURATION_MS, loud_wav
from tests.support.speech import SAMPLE, SAMPLE_MS, needs_model, wrong_words
from tests.worker.test_worker import Fixture


class Speech(Fixture):
    """A box whose media can be written down."""

    def ask(self, content: bytes, model: str, **options: Any) -> str:
        """The id of a transcript of stored media."""
        media_id, key = str(uuid.uuid4()), f"k/{uuid.uuid4()}"
        self.objects.contents[key] = content
        model = transcripts.resolve_model(self.box, model, "model", ("transcription", "detection"))
        with self.box.db.transaction():
            media.insert_media(
                self.box.db, media_id, 1, status="stored", object_key=key, size_bytes=len(content), etag="tag"
            )
            source = media.find_media(self.box.db, media_id)
            assert source is not None
            return transcripts.request(self.box, source, model=model, options=options)

    def transcript(self, transcript_id: str) -> Transcript:
        found = transcript_rows.find_transcript(self.box.db, transcript_id)
        assert found is not None
        return found

    def finished(self, transcript_id: str) -> Transcript:
        wait_for(lambda: self.transcript(transcript_id).status in ("completed", "failed"))
        return self.transcript(transcript_id)


@pytest.fixture
def make(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Speech]:
    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.05)
    return lambda **settings: Speech(tmp_path, models, **settings)


@needs_model
def test_speech_is_written_down_and_told_while_it_runs(
    make: Callable[..., Speech], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make()
    told: list[float] = []
    report = transcripts.report_progress

    def noting(box: Any, transcript_id: str, share: float) -> None:
        report(box, transcript_id, share)
        told.append(here.transcript(transcript_id).progress)

    monkeypatch.setattr(progress, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(transcripts, "report_progress", noting)
    asked = here.ask(SAMPLE.read_bytes(), "moonshine-tiny-en")
    with here.working():
        found = here.finished(asked)
    assert (found.status, found.duration_ms, found.progress) == ("completed", SAMPLE_MS, 1)
    assert found.result is not None
    assert set(found.result) == {"text", "segments", "words"}
    assert wrong_words(found.result["text"]) <= 2
    assert set(found.result["segments"][0]) == {"text", "start_ms", "end_ms"}
    assert set(found.result["words"][0]) == {"text", "start_ms", "end_ms", "confidence"}
    assert told == sorted(told)
    assert 0.8 < told[-1] < 1
    assert here.work() == []


@needs_model
def test_a_recording_without_speech_is_completed_without_text(make: Callable[..., Speech]) -> None:
    here = make()
    asked = here.ask(loud_wav(), "moonshine-tiny-en")
    with here.working():
        found = here.finished(asked)
    assert (found.status, found.duration_ms) == ("completed", LOUD_DURATION_MS)
    assert found.result == {"text": "", "segments": [], "words": []}


def test_a_model_for_detection_gives_detections(make: Callable[..., Speech]) -> None:
    here = make()
    plain = here.ask(loud_wav(), "loud-frames")
    strict = here.ask(loud_wav(), "loud-frames", threshold=1.0, min_duration_ms=1000)
    with here.working():
        found, none = here.finished(plain), here.finished(strict)
    assert found.duration_ms == LOUD_DURATION_MS
    assert found.result is not None
    (detection,) = found.result["detections"]
    assert set(detection) == {"artifact_type", "start_ms", "end_ms", "confidence"}
    assert (detection["artifact_type"], detection["start_ms"], detection["end_ms"]) == ("loud", 1160, 1742)
    assert none.result == {"detections": []}


def test_what_cannot_be_decoded_fails_with_its_reason(make: Callable[..., Speech]) -> None:
    here = make()
    asked = here.ask(b"text", "loud-frames")
    with here.working():
        found = here.finished(asked)
    assert (found.status, found.error_code, found.result) == ("failed", "corrupt_audio", None)


def test_a_model_that_vanished_fails_its_transcripts(make: Callable[..., Speech]) -> None:
    here = make()
    asked = here.ask(loud_wav(), "loud-frames")
    with here.box.db.transaction():
        here.box.db.change("UPDATE transcripts SET model = 'moonshine-tiny-en@9' WHERE id = ?", [asked])
    with here.working():
        assert here.finished(asked).error_code == "model_not_found"


@needs_model
def test_a_transcript_deleted_meanwhile_stays_deleted(make: Callable[..., Speech]) -> None:
    here = make()
    asked = here.ask(SAMPLE.read_bytes(), "moonshine-tiny-en")
    here.objects.gate.clear()
    with here.working():
        wait_for(lambda: here.objects.reads)
        with here.box.db.transaction():
            transcript_rows.delete_transcript(here.box.db, asked)
        here.objects.gate.set()
        other = here.ask(loud_wav(), "loud-frames")
        assert here.finished(other).status == "completed"
    assert transcript_rows.find_transcript(here.box.db, asked) is None


@needs_model
def test_a_busy_database_is_waited_for(make: Callable[..., Speech], monkeypatch: pytest.MonkeyPatch) -> None:
    here = make()
    faults = [DatabaseBusy("busy")]
    read = Transcriber.read

    def failing(*arguments: Any) -> Any:
        if faults:
            raise faults.pop()
        return read(*arguments)

    monkeypatch.setattr(Transcriber, "read", failing)
    asked = here.ask(SAMPLE.read_bytes(), "moonshine-tiny-en")
    with here.working():
        assert here.finished(asked).status == "completed"
    assert here.objects.reads == 2


def test_progress_is_told_seldom_and_never_as_done(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    clock = [0.0]
    lane: Any = SimpleNamespace(checkpoint=lambda: None, box=None, work=SimpleNamespace(subject_id="x"))
    monkeypatch.setattr(transcripts, "report_progress", lambda box, subject_id, share: told.append(share))
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    report = Progress(lane, 100.0)
    for second in range(0, 120, 1):
        clock[0] = second / 10
        report(float(second))
    assert told == [0.2, 0.4, 0.6, 0.8, 0.99]
    told.clear()
    silent = Progress(lane, None)
    clock[0] += 60
    silent(50.0)
    assert told == []
