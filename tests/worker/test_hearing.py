"""What is heard for the learned search waits for what somebody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from appliance.services.datasets import work as dataset_work
from appliance.services.datasets.datasets import create_dataset
from appliance.state import audio as audio_rows
from appliance.worker import foreground
from appliance.worker.foreground import Foreground
from tests.support import toy_models
from tests.support.appliances import PATIENCE_SECONDS, wait_for
from tests.support.toy_recordings import loud_wav
from tests.support.training_material import add_recording
from tests.worker.test_worker import Objects, WorkerFixture

pytestmark = pytest.mark.slow


class SlowUploads(Objects):
    """Only files of jobs wait at the gate."""

    def fetch(self, key: str, etag: str, file: BinaryIO) -> None:
        if key.endswith("/normalized"):
            file.write(self.contents[key])
        else:
            super().fetch(key, etag, file)


class HearingFixture(WorkerFixture):
    """A worker fixture with one recording to be heard, and a file of a job whose upload is read when the gate opens."""

    def __init__(self, folder: Path, models: Path) -> None:
        super().__init__(folder, models, default_model="loud-frames", sound_model="vectors")
        self.objects = SlowUploads()
        object.__setattr__(self.box, "objects", self.objects)
        audio_id = add_recording(self.box, create_dataset(self.box, 1, "takes", "").id)
        recording = audio_rows.find_audio(self.box.db, audio_id)
        assert recording is not None
        self.objects.contents[recording.normalized_key] = loud_wav()
        dataset_work.enqueue_unheard(self.box, threading.Event())
        self.file_id = self.add(self.make_job(), loud_wav())
        self.objects.gate.clear()

    def heard(self) -> bool:
        return bool(self.box.db.all("SELECT 1 FROM sound_embeddings"))


@pytest.fixture
def fixture(tmp_path: Path) -> HearingFixture:
    store = tmp_path / "store"
    toy_models.frame_model(store)
    manifest = toy_models.window_model(store, "vectors") / "manifest.toml"
    text, _, _ = manifest.read_text().replace('"detection"', '"embedding"').partition("[[labels]]")
    manifest.write_text(text)
    return HearingFixture(tmp_path / "data", store)


def test_nothing_is_heard_while_a_recording_is_analyzed(
    fixture: HearingFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = list[str]()
    asked = threading.Event()
    give_way: Callable[[Foreground], None] = Foreground.give_way

    def noted(self: Foreground) -> None:
        asked.set()
        give_way(self)
        order.append("heard")

    monkeypatch.setattr(foreground, "PATIENCE_SECONDS", 600)
    monkeypatch.setattr(Foreground, "give_way", noted)
    with fixture.working(lanes=1):
        wait_for(lambda: fixture.objects.reads)
        assert asked.wait(PATIENCE_SECONDS)  # although the only lane is taken
        order.append("analyzed")
        fixture.objects.gate.set()
        assert fixture.finished_file(fixture.file_id).status == "completed"
        wait_for(fixture.heard)
    assert order[0] == "analyzed"


def test_what_is_heard_goes_on_slowly_beside_recordings_that_never_end(
    fixture: HearingFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreground, "PATIENCE_SECONDS", 0.01)
    with fixture.working(lanes=1):
        wait_for(lambda: fixture.objects.reads)
        wait_for(fixture.heard)
        assert fixture.file(fixture.file_id).status == "processing"
