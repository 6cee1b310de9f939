"""The worker trains in a process of its own, which may be killed at any moment. What it trains is a toy."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from appliance.engine.training.request import Phase
from appliance.services.training import jobs
from appliance.services.training.work import workspace_of
from appliance.services.work import leases
from appliance.state.training_jobs import TrainingJob
from appliance.worker import training
from tests.support.appliances import ROOT, wait_for
from tests.support.toy_recordings import loud_wav
from tests.support.training_material import add_base_model, choices, new_dataset
from tests.worker.test_worker import WorkerFixture

pytestmark = pytest.mark.slow

PHASES: tuple[Phase, ...] = get_args(Phase)


class TrainingFixture(WorkerFixture):
    """A worker fixture with a dataset that is enough to train from."""

    def start(self) -> str:
        """Request a training. Returns its id."""
        return jobs.create_job(self.box, 1, choices([new_dataset(self.box)])).job.id

    def job(self, job_id: str) -> TrainingJob:
        return jobs.find_job(self.box, 1, job_id)

    def workspace(self, job_id: str) -> Path:
        return workspace_of(self.box, job_id)

    def go(self, job_id: str, *phases: str) -> None:
        """Let these phases end."""
        for phase in phases:
            (self.workspace(job_id) / f"go-{phase}").touch()

    def reached(self, job_id: str, status: str) -> TrainingJob:
        wait_for(lambda: self.job(job_id).status == status)
        return self.job(job_id)

    def process(self, job_id: str) -> int:
        """Wait for the process of a training. Returns its id."""

        def of_job() -> int:
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    words = (folder / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if b"tests.support.toy_trainer" in words and job_id.encode() in words:
                    return int(folder.name)
            return 0

        return wait_for(of_job)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainingFixture]:
    store = tmp_path / "store"
    add_base_model(store)
    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(training, "PROGRAM", ("-m", "tests.support.toy_trainer"))
    environment = {"CONFIG": os.devnull, "DATA_DIR": tmp_path / "data", "MODEL_STORE": store}
    for name, value in environment.items():
        monkeypatch.setenv(f"APPLIANCE_{name}", str(value))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "data").mkdir()

    def made(**settings: Any) -> TrainingFixture:
        return TrainingFixture(tmp_path / "data", store, default_model="loud-features", **settings)

    return made


def test_a_killed_training_goes_on_after_the_last_phase(make: Callable[..., TrainingFixture]) -> None:
    """Its process is killed once in each phase. No phase that was over is done again, and there is one model."""
    fixture = make(max_decoder_deaths=10)
    job_id = fixture.start()
    with fixture.working():
        for number, phase in enumerate(PHASES):
            fixture.reached(job_id, phase)
            first = fixture.process(job_id)
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: fixture.process(job_id) != first)  # noqa: B023
            begun = fixture.workspace(job_id) / "begun"
            wait_for(lambda: len(begun.read_text().split()) == 2 * number + 2)  # noqa: B023
            fixture.go(job_id, phase)
        job = fixture.reached(job_id, "completed")
    assert job.report == {"begun": [phase for phase in PHASES for _ in range(2)]}
    assert [m.manifest.id for m in fixture.box.trained_models(1).models()] == ["knocks@1.0.0"]
    assert not fixture.workspace(job_id).exists()
    assert fixture.work() == []


def test_a_worker_that_stops_leaves_the_training_to_the_next(make: Callable[..., TrainingFixture]) -> None:
    fixture = make()
    job_id = fixture.start()
    with fixture.working():
        fixture.reached(job_id, "preparing")
        fixture.go(job_id, "preparing")
        fixture.reached(job_id, "fitting")
    assert fixture.job(job_id).status == "fitting"
    assert [row[1:] for row in fixture.work()] == [(0, 0, None)]  # it does not count as a try
    fixture.go(job_id, *PHASES)
    with fixture.working():
        job = fixture.reached(job_id, "completed")
    assert job.report == {"begun": ["preparing", "fitting", "fitting", "evaluating", "exporting"]}


def test_a_training_is_the_last_to_get_the_processor_and_inference_goes_on(
    make: Callable[..., TrainingFixture],
) -> None:
    fixture = make()
    job_id, second = fixture.start(), fixture.start()
    with fixture.working(lanes=1):
        fixture.reached(job_id, "preparing")
        pid = fixture.process(job_id)
        wait_for(lambda: os.sched_getscheduler(pid) == os.SCHED_IDLE)
        wait_for(lambda: os.getpriority(os.PRIO_PROCESS, pid) == 19)
        group = Path(f"/proc/{pid}/autogroup")  # a kernel without it has no such file
        wait_for(lambda: not group.exists() or group.read_text().endswith(" nice 19\n"))
        file_id = fixture.add(fixture.make_job("loud-features"), loud_wav())
        assert fixture.finished_file(file_id).status == "completed"
        assert fixture.job(second).status == "queued"  # one at a time
        fixture.go(job_id, *PHASES)
        fixture.reached(job_id, "completed")
        fixture.reached(second, "preparing")


def test_a_cancelled_training_ends_its_process_and_leaves_nothing(make: Callable[..., TrainingFixture]) -> None:
    fixture = make()
    job_id = fixture.start()
    with fixture.working():
        fixture.reached(job_id, "preparing")
        pid = fixture.process(job_id)
        jobs.cancel_job(fixture.box, 1, job_id)
        wait_for(lambda: not Path(f"/proc/{pid}").exists())
        wait_for(lambda: not fixture.workspace(job_id).exists())
    assert fixture.job(job_id).status == "cancelled"
    assert fixture.box.trained_models(1).models() == []


def test_what_the_training_refuses_is_shown(make: Callable[..., TrainingFixture]) -> None:
    fixture = make()
    job_id = fixture.start()
    with fixture.working():
        fixture.reached(job_id, "preparing")
        (fixture.workspace(job_id) / "refuse").touch()
        fixture.go(job_id, "preparing")
        job = fixture.reached(job_id, "failed")
    assert (job.error_code, job.error_message) == (
        "training_refused",
        "labels: 'knock' is one recording in many copies.",
    )


def test_a_training_that_takes_too_long_is_given_up(make: Callable[..., TrainingFixture]) -> None:
    fixture = make(training_seconds=0.2)
    job_id = fixture.start()
    with fixture.working():
        job = fixture.reached(job_id, "failed")
    assert "took longer than 0.2 s (training_seconds)" in str(job.error_message)


def test_a_training_that_needs_too_much_memory_is_given_up(
    make: Callable[..., TrainingFixture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPLIANCE_TRAINING_MEMORY_BYTES", str(512 * 1024**2))  # the process reads it
    fixture = make()
    job_id = fixture.start()
    with fixture.working():
        fixture.reached(job_id, "preparing")
        (fixture.workspace(job_id) / "hog").touch()
        fixture.go(job_id, "preparing")
        job = fixture.reached(job_id, "failed")
    assert job.error_message == "The training needs more than 536870912 bytes (training_memory_bytes)."


def test_a_training_whose_process_dies_again_and_again_is_given_up(
    make: Callable[..., TrainingFixture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "PROGRAM", ("-c", "import os; os.abort()"))
    fixture = make()
    job_id = fixture.start()
    with fixture.working():
        job = fixture.reached(job_id, "failed")
    assert (job.error_code, job.error_message) == ("trainer_died", "The process that trains ended with status -6.")
