"""Random histories of clients, workers, crashes and clocks over every state machine, against real SQLite.

Hypothesis chooses the steps. After each step the queue and the statuses must agree; at the end of each history
everything must come to an end. HISTORIES=500 in the environment is the long run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from appliance.engine.scoring.events import Detection, DetectionConfig
from appliance.errors import (
    ApplianceError,
    CorruptAudio,
    DecoderDied,
    LeaseLost,
    ObjectChanged,
    ObjectMissing,
    StorageUnavailable,
    UnexpectedStatus,
)
from appliance.services import uploads
from appliance.services.box import Box
from appliance.services.datasets import audio as dataset_audio
from appliance.services.datasets import work as dataset_work
from appliance.services.datasets.datasets import create_dataset
from appliance.services.inference import files, jobs
from appliance.services.inference import work as inference_work
from appliance.services.purge import purge
from appliance.services.speech import batch, batch_uploads, presigned, raw_transcripts
from appliance.services.speech import work as speech_work
from appliance.services.speech.raw_transcripts import Callback
from appliance.services.webhooks import events
from appliance.services.work import leases
from appliance.services.work.sweep import sweep
from appliance.state.audio import Properties
from appliance.state.database import Row
from appliance.state.work import Work
from tests.chaos.workload import UnknownDurations
from tests.services.speech.arrivals import Incoming, put_bytes, request_url, stored_media
from tests.support.boxes import CONTENT, ORIGIN, DictionaryStore, add_speech_model, claim_any, make_box
from tests.support.receivers import Receiver, receiving
from tests.support.toy_models import frame_model

LONG = "HISTORIES" in os.environ
HISTORIES = int(os.environ.get("HISTORIES", "25"))
STEPS = 40
HOUR = 3600.0
DAY = 24 * HOUR
DETECTIONS = [Detection("loud", 1, 2, 0.5)]
PROPERTIES = Properties(1000, 44_100, 1, "pcm_s16le", "0" * 64)
# By table: the kind of work for each status that has one. `spooled` media waits for the work `store`.
OPEN = {
    "inference_files": {"queued": "inference", "processing": "inference"},
    "audio": {"normalizing": "normalize", "embedding": "embed"},
    "media": {"spooled": "store"},
    "transcripts": {"queued": "transcription", "processing": "transcription"},
    "webhook_deliveries": {"pending": "webhook"},
}
# By table: the kind of work on a row that awaits the copy of its upload, before any other.
COPIES = {"inference_files": "copy_file", "audio": "copy_audio"}


class History(RuleBasedStateMachine):
    """One history. ``models``, ``migrated`` and ``receiver`` are shared by all."""

    models: ClassVar[Path]
    migrated: ClassVar[Path]
    receiver: ClassVar[Receiver]

    def __init__(self) -> None:
        super().__init__()
        uploads.LARGE_BYTES = len(CONTENT)
        self._folder = tempfile.TemporaryDirectory(prefix="history-")
        self.objects = DictionaryStore()
        shutil.copy(self.migrated, self._folder.name)
        self.box: Box = make_box(Path(self._folder.name), self.models, self.objects)
        self.claimed: list[Work] = []
        self.completed: list[str] = []

    # --- clients ----------------------------------------------------------------------------------------------------

    @rule(with_callback=st.booleans())
    def create_job(self, with_callback: bool) -> None:
        jobs.create_job(self.box, 1, "loud-frames", DetectionConfig(), self.receiver.url if with_callback else None)

    @rule(
        which=st.integers(0, 99), uploaded=st.sampled_from([CONTENT, CONTENT, CONTENT[1:], None]), confirm=st.booleans()
    )
    def send_file(self, which: int, uploaded: bytes | None, confirm: bool) -> None:
        if job := self.pick("inference_jobs", which):
            with refusable():
                self._send_file(job["id"], uploaded, confirm)

    def _send_file(self, job: str, uploaded: bytes | None, confirm: bool) -> None:
        upload = files.request_upload(
            self.box, 1, job, filename="a.wav", content_type="audio/wav", size_bytes=len(CONTENT), origin=ORIGIN
        )
        if uploaded is not None:
            self.objects.put(upload.form.fields["key"], uploaded, content_type="audio/wav")
        if confirm:
            files.confirm_upload(self.box, 1, job, upload.file_id)

    @rule(large_bytes=st.sampled_from([0, len(CONTENT)]))
    def uploads_are_large_or_small(self, large_bytes: int) -> None:
        uploads.LARGE_BYTES = large_bytes

    @rule(which=st.integers(0, 99), content=st.sampled_from([CONTENT[::-1], None]))
    def replace_upload(self, which: int, content: bytes | None) -> None:
        """A client uses its form again, or somebody deletes the object."""
        for table in COPIES:
            if row := self.pick(table, which):
                self.objects.contents.pop(row["upload_key"], None)
                if content:
                    self.objects.contents[row["upload_key"]] = content

    @rule(which=st.integers(0, 99))
    def confirm_again(self, which: int) -> None:
        if file := self.pick("inference_files", which):
            with refusable():
                files.confirm_upload(self.box, 1, file["job_id"], file["id"])

    @rule(which=st.integers(0, 99), how=st.sampled_from([jobs.cancel_job, jobs.purge_job]))
    def end_job(self, which: int, how: Callable[[Box, int, str], Any]) -> None:
        if job := self.pick("inference_jobs", which):
            how(self.box, 1, job["id"])

    @rule(which=st.integers(0, 99))
    def delete_file(self, which: int) -> None:
        if file := self.pick("inference_files", which):
            files.delete_file(self.box, 1, file["job_id"], file["id"])

    @rule(uploaded=st.sampled_from([CONTENT, CONTENT[1:], None]), confirm=st.booleans())
    def send_audio(self, uploaded: bytes | None, confirm: bool) -> None:
        dataset = create_dataset(self.box, 1, "name", "").id
        upload = dataset_audio.request_upload(
            self.box, 1, dataset, filename="a.wav", content_type="audio/wav", size_bytes=len(CONTENT), origin=ORIGIN
        )
        if uploaded is not None:
            self.objects.put(upload.form.fields["key"], uploaded, content_type="audio/wav")
        if confirm:
            with refusable():
                dataset_audio.confirm_upload(self.box, 1, dataset, upload.file_id)

    @rule(which=st.integers(0, 99))
    def delete_audio(self, which: int) -> None:
        if audio := self.pick("audio", which):
            dataset_audio.delete_audio(self.box, 1, audio["dataset_id"], audio["id"])

    @rule(sizes=st.lists(st.sampled_from([CONTENT, b""]), min_size=1, max_size=3), transcribe=st.booleans())
    def send_batch(self, sizes: list[bytes], transcribe: bool) -> None:
        durations: Any = UnknownDurations()
        with refusable():
            upload = batch_uploads.accept(self.box, durations, 1, [Incoming(content) for content in sizes])
            if transcribe:
                batch.create_batch(self.box, 1, upload.id, None, None)

    @rule(with_callback=st.booleans(), arrives=st.booleans(), reported=st.booleans())
    def send_presigned(self, with_callback: bool, arrives: bool, reported: bool) -> None:
        _, _, key = request_url(self.box, callback_url=self.receiver.url if with_callback else None)
        if arrives:
            put_bytes(self.box, key)
            if reported:
                presigned.key_arrived(self.box, key)

    @rule()
    def send_raw(self) -> None:
        media = stored_media(self.box)
        model = self.box.models.resolve(self.box.settings.transcription_model).manifest.id
        raw_transcripts.transcribe(self.box, 1, media.id, model, {}, Callback(self.receiver.url))

    @rule(which=st.integers(0, 99))
    def retry_delivery(self, which: int) -> None:
        if delivery := self.pick("webhook_deliveries", which):
            with refusable():
                events.retry_delivery(self.box, 1, delivery["id"])

    # --- workers ----------------------------------------------------------------------------------------------------

    @rule()
    def claim(self) -> None:
        if work := claim_any(self.box, "w"):
            self.claimed.append(work)

    @rule(which=st.integers(0, 99))
    def complete(self, which: int) -> None:
        """Complete work in hand, which may have lost its lease, or have been completed before."""
        if self.claimed:
            self._complete(self.claimed[which % len(self.claimed)])

    def _complete(self, work: Work) -> None:
        held = self.box.db.one(
            "SELECT 1 FROM work WHERE id = ? AND lease_owner = ? AND lease_token = ?",
            [work.id, work.lease_owner, work.lease_token],
        )
        try:
            self._finish(work)
        except (LeaseLost, UnexpectedStatus):
            assert not self.completes(work) or held is None
        except ApplianceError:
            return  # its subject was deleted
        else:
            if self.completes(work):
                assert held is not None
                assert work.subject_id not in self.completed
                self.completed.append(work.subject_id)

    @staticmethod
    def completes(work: Work) -> bool:
        """Whether the end of this work is the end of its subject."""
        return work.kind in ("inference", "transcription")

    def _finish(self, work: Work) -> None:
        match work.kind:
            case "inference":
                inference_work.complete(self.box, work, 1000, DETECTIONS)
            case "normalize":
                recording = dataset_work.load_audio(self.box, work)
                dataset_work.complete_normalizing(self.box, work, recording, PROPERTIES, 1000)
            case "embed":
                recording = dataset_work.load_audio(self.box, work)
                dataset_work.complete_embedding(self.box, work, recording, "spectrum@1", np.ones(4, np.float32), 1000)
            case "transcription":
                result = {"text": "Yes.", "segments": [], "words": []}
                speech_work.complete(self.box, work, 1000, result)
            case "copy_file" | "copy_audio":
                copy = inference_work.copy if work.kind == "copy_file" else dataset_work.copy
                try:
                    copy(self.box, work)
                except (ObjectChanged, ObjectMissing) as error:
                    leases.fail(self.box, work, error)
            case "store":
                batch_uploads.store(self.box, work)
            case "purge":
                purge(self.box, work)
            case "webhook":
                events.deliver(self.box, work)

    @rule(
        which=st.integers(0, 99),
        error=st.sampled_from(
            [CorruptAudio("It is damaged."), DecoderDied("It died."), StorageUnavailable("It is down.")]
        ),
    )
    def give_back(self, which: int, error: ApplianceError) -> None:
        if not self.claimed:
            return
        work = self.claimed.pop(which % len(self.claimed))
        with contextlib.suppress(LeaseLost):
            if isinstance(error, CorruptAudio):
                leases.fail(self.box, work, error)
            else:
                leases.retry(self.box, work, error, counts=isinstance(error, DecoderDied))

    @rule()
    def restart_worker(self) -> None:
        leases.start_worker(self.box, f"w{len(self.claimed)}", "cpu")

    # --- time -------------------------------------------------------------------------------------------------------

    @rule()
    def sweep(self) -> None:
        sweep(self.box)

    @rule(seconds=st.sampled_from([1.0, 90.0, HOUR, DAY, 40 * DAY, -HOUR, -DAY]))
    def clock_moves(self, seconds: float) -> None:
        """Time passes, or somebody sets the clock: what is stored becomes older, or lies in the future."""
        with self.box.db.transaction() as tx:
            for table, columns in self.times().items():
                changes = ", ".join(f"{column} = {column} - :s" for column in columns)
                tx.change(f"UPDATE {table} SET {changes}", {"s": seconds})

    def times(self) -> dict[str, list[str]]:
        """The columns that hold a time, by table."""
        names = [row["name"] for row in self.box.db.all("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        columns: dict[str, list[str]] = {}
        for name in names:
            for column in self.box.db.all(f"PRAGMA table_info({name})"):
                if column["type"] == "REAL" and column["name"].endswith(("_at", "_after", "_until", "_since")):
                    columns.setdefault(name, []).append(column["name"])
        return columns

    # --- what must always hold ---------------------------------------------------------------------------------------

    @invariant()
    def queue_and_statuses_agree(self) -> None:
        work = {(row["kind"], row["subject_id"]): row for row in self.box.db.all("SELECT * FROM work")}
        for table, kinds in OPEN.items():
            copy = COPIES.get(table)
            for row in self.box.db.all(f"SELECT * FROM {table}"):
                awaits_copy = copy is not None and row["awaits_copy"]
                if awaits_copy:
                    assert (copy, row["id"]) in work, (table, dict(row))
                kind = None if awaits_copy else kinds.get(row["status"])
                if kind:
                    assert (kind, row["id"]) in work, (table, dict(row))
                    is_leased = work[kind, row["id"]]["lease_owner"] is not None
                    if "processing" in kinds:
                        assert is_leased == (row["status"] == "processing"), (table, dict(row))
                for other in set(kinds.values()) - {kind}:
                    assert (other, row["id"]) not in work, (table, dict(row))

    @invariant()
    def kept_counts_are_right(self) -> None:
        for row in self.box.db.all("SELECT id FROM inference_jobs"):
            job = jobs.find_job(self.box, 1, row["id"])
            counted = self.box.db.all("SELECT status FROM inference_files WHERE job_id = ?", [row["id"]])
            statuses = [file["status"] for file in counted]
            ended = [status for status in statuses if status in ("completed", "failed", "cancelled")]
            assert (job.total_files, job.processed_files) == (len(statuses), len(ended))
            assert job.failed_files == statuses.count("failed")

    @invariant()
    def only_completed_files_have_detections(self) -> None:
        assert not self.box.db.all(
            "SELECT 1 FROM detections JOIN inference_files f ON f.id = file_id WHERE f.status <> 'completed'"
        )

    def teardown(self) -> None:
        """Time passes, and a worker works: everything comes to an end."""
        for _ in range(12):
            leases.start_worker(self.box, "last", "cpu")
            self.clock_moves(3 * DAY)
            sweep(self.box)
            while work := claim_any(self.box, "last"):
                self._complete(work)
        open_rows = [
            (table, dict(row))
            for table, kinds in OPEN.items()
            for row in self.box.db.all(f"SELECT id, status FROM {table}")
            if row["status"] in (*kinds, "pending", "waiting")
        ]
        assert open_rows == []
        assert self.box.db.all("SELECT * FROM work") == []
        self.box.db.close()
        self._folder.cleanup()

    def pick(self, table: str, which: int) -> Row | None:
        """One row of a table, or None if it is empty."""
        rows = self.box.db.all(f"SELECT * FROM {table} ORDER BY rowid")
        return rows[which % len(rows)] if rows else None


def refusable() -> contextlib.suppress:
    """A block that the appliance may refuse with an error of its own."""
    return contextlib.suppress(ApplianceError)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_history_comes_to_an_end(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "LARGE_BYTES", len(CONTENT))  # the histories change it
    frame_model(tmp_path)
    add_speech_model(tmp_path)
    with receiving() as receiver:
        receiver.answer = lambda path, number: 500 if number % 3 == 0 else 204
        History.models, History.migrated, History.receiver = tmp_path, migrated, receiver
        chosen = settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=not LONG,
            phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],  # to shrink a history takes minutes
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(History, settings=chosen)
