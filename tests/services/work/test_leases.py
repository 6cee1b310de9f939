"""Work under a lease: claimed with its subject, tried again within limits, given up with a reason."""

from __future__ import annotations

import pytest

from appliance.errors import (
    ApplianceError,
    DecoderDied,
    DecoderKilled,
    LeaseLost,
    ObjectDamaged,
    StorageUnavailable,
)
from appliance.services.box import Box
from appliance.services.inference import files, jobs
from appliance.services.work import leases
from appliance.state import inference_files, workers
from appliance.state.inference_files import InferenceFile
from tests.support.boxes import (
    CALLBACK,
    claim,
    events,
    lose_lease,
    new_file,
    new_job,
    queued_work,
    snapshot,
    with_settings,
)


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is ready again as soon as it is released."""
    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.0)


@pytest.fixture
def job_id(box: Box) -> str:
    """A job whose ends are announced."""
    return new_job(box, CALLBACK)


@pytest.fixture
def file_id(box: Box, job_id: str) -> str:
    """A file that waits for a worker."""
    return new_file(box, job_id)


def file_of(box: Box, job_id: str, file_id: str) -> InferenceFile:
    return files.get_file(box, 1, job_id, file_id).file


def counts(box: Box) -> list[tuple[int, int, str | None]]:
    """The attempts, the lost leases and the owner of all work of inference."""
    rows = box.db.all("SELECT attempts, lost_leases, lease_owner FROM work WHERE kind = 'inference' ORDER BY id")
    return [(row["attempts"], row["lost_leases"], row["lease_owner"]) for row in rows]


def test_a_claim_starts_its_subject(box: Box, job_id: str, file_id: str) -> None:
    work = claim(box)
    assert (work.kind, work.subject_id) == ("inference", file_id)
    assert file_of(box, job_id, file_id).status == "processing"
    assert leases.claim(box, "w2", "lanes") is None


def test_a_claim_takes_only_work_of_its_pool(box: Box, file_id: str) -> None:
    assert leases.claim(box, "w", "storage") is None
    assert leases.claim(box, "w", "lanes") is not None


def test_work_whose_subject_has_ended_does_not_stand_before_other_work(box: Box, job_id: str, file_id: str) -> None:
    next_id = new_file(box, job_id)
    with box.db.transaction() as tx:
        inference_files.mark_processing(tx, file_id)
        inference_files.mark_completed(tx, file_id, 1000, [])
    assert claim(box).subject_id == next_id
    assert file_of(box, job_id, file_id).status == "completed"
    assert queued_work(box, "webhook") == [("inference", next_id)]


def test_work_whose_subject_seems_to_be_in_progress_is_started_again(box: Box, job_id: str, file_id: str) -> None:
    with box.db.transaction() as tx:
        inference_files.mark_processing(tx, file_id)
    assert claim(box).subject_id == file_id
    assert file_of(box, job_id, file_id).status == "processing"


def test_jobs_take_turns(box: Box, job_id: str) -> None:
    first = [new_file(box, job_id) for _ in range(3)]
    other = new_file(box, new_job(box))
    assert [claim(box).subject_id for _ in range(4)] == [first[0], other, first[1], first[2]]


def test_a_heartbeat_keeps_only_the_leases_that_are_still_held(box: Box, job_id: str) -> None:
    new_file(box, job_id)
    new_file(box, job_id)
    kept, lost = claim(box), claim(box)
    lose_lease(box, lost)
    assert leases.heartbeat(box, "w", [kept, lost]) == {kept}


def test_given_up_work_fails_its_subject_with_the_reason(box: Box, job_id: str, file_id: str) -> None:
    leases.fail(box, claim(box), DecoderDied("It crashed."))
    file = file_of(box, job_id, file_id)
    assert (file.status, file.error_code, file.error_message) == ("failed", "decoder_died", "It crashed.")
    assert queued_work(box, "webhook") == []
    assert events(box) == ["file.failed", "job.completed"]


def test_tries_that_count_are_used_up(box: Box, job_id: str, file_id: str) -> None:
    limited = with_settings(box, max_decoder_deaths=3)
    for tries in (1, 2):
        leases.retry(limited, claim(box), DecoderDied("It crashed."), counts=True)
        assert file_of(box, job_id, file_id).status == "queued"
        assert counts(box) == [(tries, 0, None)]
    leases.retry(limited, claim(box), DecoderDied("It crashed again."), counts=True)
    assert file_of(box, job_id, file_id).error_message == "It crashed again."
    assert events(box) == ["file.failed", "job.completed"]


@pytest.mark.parametrize("error", [DecoderKilled("Memory was short."), ObjectDamaged("The disk failed.")])
def test_what_may_recover_gets_eight_tries(
    box: Box, job_id: str, file_id: str, error: ApplianceError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.0)
    limited = with_settings(box, max_decoder_deaths=1)
    for tries in range(1, 8):
        assert leases.retry(limited, claim(box), error, counts=True)
        assert counts(box) == [(tries, 0, None)]
    assert not leases.retry(limited, claim(box), error, counts=True)
    assert file_of(box, job_id, file_id).error_code == error.code


def test_tries_that_do_not_count_are_never_used_up(box: Box, job_id: str, file_id: str) -> None:
    limited = with_settings(box, max_decoder_deaths=1)
    for _ in range(5):
        leases.retry(limited, claim(box), StorageUnavailable("It is away."), counts=False)
    assert file_of(box, job_id, file_id).status == "queued"
    assert counts(box) == [(0, 0, None)]


def test_released_work_waits_before_the_next_try(box: Box, file_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RETRY_SECONDS", 60.0)
    leases.retry(box, claim(box), StorageUnavailable("It is away."), counts=False)
    assert leases.claim(box, "w", "lanes") is None


def test_without_the_lease_work_can_be_neither_failed_nor_released(box: Box, file_id: str) -> None:
    work = claim(box)
    lose_lease(box, work)
    before = snapshot(box)
    with pytest.raises(LeaseLost):
        leases.fail(box, work, DecoderDied("It crashed."))
    for is_counted in (True, False):
        with pytest.raises(LeaseLost):
            leases.retry(box, work, DecoderDied("It crashed."), counts=is_counted)
    assert snapshot(box) == before


def test_a_new_worker_frees_the_work_of_the_one_before_it(box: Box, job_id: str, file_id: str) -> None:
    leases.start_worker(box, "w", "cpu")
    claim(box)
    leases.start_worker(box, "w2", "cuda")
    assert file_of(box, job_id, file_id).status == "queued"
    assert counts(box) == [(0, 1, None)]
    worker = workers.first(box.db)
    assert worker is not None
    assert (worker.id, worker.provider) == ("w2", "cuda")


def test_a_worker_that_starts_frees_only_the_work_of_its_own_predecessor(box: Box, job_id: str, file_id: str) -> None:
    leases.start_worker(box, "w", "cuda", 1, 2)
    claim(box)
    for worker_id in ("second", "third"):
        leases.start_worker(box, worker_id, "cuda", 2, 2)
        assert file_of(box, job_id, file_id).status == "processing"
    assert [(worker.id, worker.number) for worker in workers.everyone(box.db)] == [("w", 1), ("third", 2)]
    leases.start_worker(box, "w2", "cuda", 1, 1)
    assert file_of(box, job_id, file_id).status == "queued"
    assert [worker.id for worker in workers.everyone(box.db)] == ["w2"]


def test_a_dead_worker_counts_only_on_what_a_lane_did(box: Box, job_id: str, file_id: str) -> None:
    files.delete_file(box, 1, job_id, file_id)
    new_file(box, job_id)
    for kind in ("purge", "inference"):
        claim(box, kind)
    leases.start_worker(box, "w2", "cpu")
    rows = box.db.all("SELECT kind, lost_leases FROM work WHERE kind <> 'webhook'")
    assert {row["kind"]: row["lost_leases"] for row in rows} == {"purge": 0, "inference": 1}


def test_work_is_suspect_after_several_dead_workers(box: Box, job_id: str, file_id: str) -> None:
    for number in range(3):
        assert leases.claim_suspect(box, "w") is None
        claim(box)
        leases.start_worker(box, f"w{number}", "cpu")
    new_file(box, job_id)
    suspect = leases.claim_suspect(box, "w")
    assert suspect is not None
    assert (suspect.subject_id, file_of(box, job_id, file_id).status) == (file_id, "processing")
    assert leases.claim_suspect(box, "w") is None


def test_a_file_that_loses_too_many_workers_fails(box: Box, job_id: str, file_id: str) -> None:
    limited = with_settings(box, max_lost_leases=2)
    for number in (1, 2):
        assert claim(box).lost_leases == number - 1
        leases.start_worker(limited, f"w{number}", "cpu")
    file = file_of(box, job_id, file_id)
    assert (file.status, file.error_code) == ("failed", "worker_lost")
    assert "2 times" in (file.error_message or "")
    assert queued_work(box, "webhook") == []
    assert events(box) == ["file.failed", "job.completed"]


def test_a_file_of_a_cancelled_job_is_not_freed(box: Box, job_id: str, file_id: str) -> None:
    work = claim(box)
    jobs.cancel_job(box, 1, job_id)
    leases.start_worker(box, "w2", "cpu")
    assert file_of(box, job_id, file_id).status == "cancelled"
    assert leases.heartbeat(box, "w", [work]) == set()
    with pytest.raises(LeaseLost):
        leases.fail(box, work, DecoderDied("It crashed."))
