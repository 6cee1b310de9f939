"""What a tenant may use and what the disk keeps free."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from appliance.errors import JobCancelled, QuotaExceeded, StorageFull
from appliance.services import quotas
from appliance.services.box import Box
from appliance.services.datasets import audio, datasets
from appliance.services.inference import files, jobs
from appliance.services.quotas import CHECK_BYTES, Meter
from appliance.services.speech import presigned, raw
from appliance.state import usage
from appliance.state.usage import Usage
from tests.services.datasets import recordings
from tests.support.boxes import CONTENT, ORIGIN, new_file, new_job, with_settings

SIZE = len(CONTENT)


def request(box: Box, job_id: str, size_bytes: int = SIZE) -> str:
    return files.request_upload(
        box, 1, job_id, filename="a.wav", content_type="audio/wav", size_bytes=size_bytes, origin=ORIGIN
    ).file_id


def used(box: Box) -> Usage:
    return usage.of_tenant(box.db, 1)


def test_bytes_of_uploads_are_limited(box: Box) -> None:
    job_id = new_job(box)
    small = with_settings(box, tenant_stored_bytes=2 * SIZE + 1)
    request(small, job_id)
    request(small, job_id)
    with pytest.raises(QuotaExceeded, match=f"tenant_stored_bytes: {2 * SIZE} of {2 * SIZE + 1} are in use"):
        request(small, job_id)
    jobs.purge_job(box, 1, job_id)
    assert used(box) == Usage(0, 0, 0, 0)
    request(small, new_job(box))


def test_another_tenant_is_not_counted(box: Box) -> None:
    request(box, new_job(box))
    assert usage.of_tenant(box.db, 2) == Usage(0, 0, 0, 0)


def test_files_in_flight_and_pending_uploads_are_limited(box: Box) -> None:
    job_id = new_job(box)
    new_file(box, job_id)
    assert used(box) == Usage(SIZE, 0, 1, 0)
    request(with_settings(box, tenant_pending_uploads=1), job_id)
    with pytest.raises(QuotaExceeded, match="tenant_pending_uploads: 1 of 1"):
        request(with_settings(box, tenant_pending_uploads=1), job_id)
    with pytest.raises(QuotaExceeded, match="tenant_active_files: 2 of 2"):
        request(with_settings(box, tenant_active_files=2), job_id)


def test_audio_of_a_day_is_limited_until_midnight(box: Box) -> None:
    job_id = new_job(box)
    file_id = new_file(box, job_id)
    with box.db.transaction() as tx:
        tx.change("UPDATE inference_files SET status = 'processing' WHERE id = ?", [file_id])
        tx.change("UPDATE inference_files SET status = 'completed', duration_ms = 5000 WHERE id = ?", [file_id])
    assert used(box) == Usage(SIZE, 0, 0, 5000)
    request(with_settings(box, tenant_daily_audio_seconds=6), job_id)
    with pytest.raises(QuotaExceeded, match="tenant_daily_audio_seconds: 5 of 5") as refused:
        request(with_settings(box, tenant_daily_audio_seconds=5), job_id)
    assert 0 < refused.value.retry_seconds <= 86_400
    Meter(with_settings(box, tenant_daily_audio_seconds=5), 1).add(CHECK_BYTES)  # what was accepted goes on
    with box.db.transaction() as tx:
        tx.change("UPDATE tenant_usage SET audio_day = audio_day - 1")
    request(with_settings(box, tenant_daily_audio_seconds=5), job_id)


def test_every_product_is_counted_and_limited(box: Box) -> None:
    dataset_id = datasets.create_dataset(box, 1, name="d", description="").id
    recordings.ready_audio(box, dataset_id)
    before = SIZE + 2000  # the upload, and what was made of it
    assert used(box).stored_bytes == before
    raw.store_body(box, 1, io.BytesIO(CONTENT), declared_bytes=SIZE, content_type="audio/wav")
    assert used(box).stored_bytes == before + SIZE
    full = with_settings(box, tenant_stored_bytes=used(box).stored_bytes + SIZE - 1)
    with pytest.raises(QuotaExceeded):
        raw.store_body(full, 1, io.BytesIO(CONTENT), declared_bytes=SIZE, content_type="audio/wav")
    with pytest.raises(QuotaExceeded):
        audio.request_upload(
            full, 1, dataset_id, filename="a.wav", content_type="audio/wav", size_bytes=SIZE, origin=ORIGIN
        )
    datasets.delete_dataset(box, 1, dataset_id)
    assert used(box) == Usage(SIZE, 0, 0, used(box).audio_ms)


def test_an_upload_by_url_over_the_limit_fails_when_it_arrives(box: Box) -> None:
    full = with_settings(box, tenant_stored_bytes=SIZE - 1)
    upload = presigned.request_url(
        full,
        1,
        filename="a.wav",
        content_type="audio/wav",
        callback_url=None,
        model_id="loud-frames",
        config=None,
        origin=ORIGIN,
    )
    row = box.db.one("SELECT upload_key FROM media")
    assert row
    box.objects.put(row["upload_key"], CONTENT, content_type="audio/wav")
    presigned.key_arrived(full, row["upload_key"])
    report = presigned.report(full, 1, upload.transcript_id)
    assert report["status"] == "failed"
    assert used(box) == Usage(0, 0, 0, 0)


def test_nothing_is_taken_that_would_use_the_last_space(box: Box) -> None:
    full = with_settings(box, least_free_bytes=2**62)
    with pytest.raises(StorageFull, match="least_free_bytes"):
        request(full, new_job(box))
    with pytest.raises(StorageFull):
        raw.store_body(full, 1, io.BytesIO(CONTENT), declared_bytes=SIZE, content_type="audio/wav")
    assert used(box) == Usage(0, 0, 0, 0)


def test_a_meter_stops_within_8_mib(box: Box) -> None:
    meter = Meter(with_settings(box, tenant_stored_bytes=10), 1)
    meter.add(CHECK_BYTES - 1)
    with pytest.raises(QuotaExceeded):
        meter.add(1)
    Meter(with_settings(box, tenant_stored_bytes=10), 1, reserved_bytes=CHECK_BYTES).add(CHECK_BYTES)


def test_the_counters_are_those_of_a_recount(box: Box) -> None:
    def delete(box: Box, job_id: str) -> None:
        if row := box.db.one("SELECT id FROM inference_files WHERE job_id = ?", [job_id]):
            files.delete_file(box, 1, job_id, row["id"])

    def cancel(box: Box, job_id: str) -> None:
        jobs.cancel_job(box, 1, job_id)

    actions: list[Callable[[Box, str], object]] = [request, request, new_file, new_file, delete, cancel]
    chance = random.Random(0)
    job_ids = [new_job(box) for _ in range(20)]
    for _ in range(100):
        with suppress(JobCancelled):
            chance.choice(actions)(box, chance.choice(job_ids))
    row = box.db.one(
        """
        SELECT sum(declared_size_bytes) FILTER (WHERE status = 'pending' OR etag IS NOT NULL),
            count(*) FILTER (WHERE status = 'pending'),
            count(*) FILTER (WHERE status IN ('pending', 'queued', 'processing'))
        FROM inference_files
        """
    )
    use = used(box)
    assert (use.stored_bytes, use.pending_uploads, use.active_files) == tuple(row or ())
    assert use.active_files > use.pending_uploads > 0


def test_limits_are_listed_with_their_use(box: Box) -> None:
    request(box, new_job(box))
    listed = {limit.name: (limit.used, limit.allowed) for limit in quotas.limits(box.settings, box.db, 1)}
    assert listed["tenant_stored_bytes"] == (SIZE, None)
    assert listed["tenant_pending_uploads"] == (1, 20_000)
