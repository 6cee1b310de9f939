"""The page of metrics of a running appliance, and its status."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support.appliances import Api, Appliance, bundled_storage, wait_for
from tests.support.toy_recordings import loud_wav


def page(appliance: Appliance, key: str) -> dict[str, float]:
    """The samples of the page, by their text without the value."""
    response = requests.get(f"{appliance.url}/metrics", headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == 200, response.text
    return {
        f"{sample.name}{{{','.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def scraper(appliance: Appliance) -> str:
    """A key that may read the metrics and nothing else."""
    options = ("--tenant", "monitoring", "--scope", "metrics", "--data-dir", str(appliance.data_dir))
    return appliance.command("keys", "create", "scraper", *options)


def test_a_recording_is_counted_at_every_stage(appliance: Appliance, api: Api, scraper: str) -> None:
    api.finished_file(job_id := api.make_job(), api.send(job_id, loud_wav()))
    done = "appliance_work_total{kind=inference,model=loud-frames@1.0.0,process=worker,result=completed}"
    wait_for(lambda: page(appliance, scraper).get(done))
    shown = page(appliance, scraper)
    assert shown["appliance_audio_seconds_total{kind=inference,model=loud-frames@1.0.0,process=worker}"] > 0
    for stage in ("fetch", "decode", "graph", "events", "commit"):
        assert shown[f"appliance_stage_seconds_count{{process=worker,stage={stage}}}"] > 0, stage
    assert shown["appliance_batch_fill_ratio_count{model=loud-frames@1.0.0,process=worker}"] > 0
    assert shown["appliance_threads{pool=lanes,process=worker}"] >= 2
    assert shown["appliance_busy_threads{pool=lanes,process=worker}"] >= 0
    confirm = "/api/v1/inference-jobs/<job_id>/files/confirm"
    assert shown[f"appliance_http_requests_total{{method=POST,process=api,route={confirm},status=200}}"] > 0
    assert shown["process_resident_memory_bytes{process=worker}"] > 0
    assert shown["appliance_queue_pieces{kind=inference,state=ready}"] >= 0
    wait_for(lambda: page(appliance, scraper)["appliance_status{status=Ready}"] == 1)  # a busy worker may be late


def test_a_file_that_fails_is_counted_with_its_code(appliance: Appliance, api: Api, scraper: str) -> None:
    api.finished_file(job_id := api.make_job(), api.send(job_id, b"not audio at all"))
    failed = "appliance_work_total{kind=inference,model=loud-frames@1.0.0,process=worker,result=corrupt_audio}"
    wait_for(lambda: page(appliance, scraper).get(failed))


@bundled_storage
def test_storage_and_the_front_door_are_on_the_page(appliance: Appliance, api: Api, scraper: str) -> None:
    size = len(loud_wav())
    before = page(appliance, scraper)
    api.upload(api.make_job(), loud_wav())

    def after() -> dict[str, float] | None:
        shown = page(appliance, scraper)
        posts = "minio_s3_requests_total{api=postpolicybucket,process=storage}"  # MinIO counts every few seconds
        return shown if shown.get(posts, 0.0) > before.get(posts, 0.0) else None

    shown = wait_for(after)
    for process in ("storage", "frontdoor"):
        assert shown[f"appliance_server_figures{{process={process}}}"] == 1
    received = "minio_s3_traffic_received_bytes_total{process=storage}"
    assert shown[received] - before[received] >= size
    assert shown["process_resident_memory_bytes{process=frontdoor}"] > 0
    # Each request is counted once: the form's upload is the only one that the API does not count.
    upload = "caddy_http_request_duration_seconds_count{code=204,method=POST,process=frontdoor,server=door}"
    assert shown[upload] - before.get(upload, 0.0) == 1


@bundled_storage
def test_no_series_of_storage_changes_its_name_at_a_restart(appliance: Appliance, scraper: str) -> None:
    named = [line for line in page(appliance, scraper) if line.startswith("minio_")]
    assert len(named) > 20
    assert not [line for line in named if "127.0.0.1" in line]


def test_a_path_of_a_client_is_no_label(appliance: Appliance, api: Api, scraper: str) -> None:
    api.get("/api/v1/inference-jobs/no-such-thing-0815", 404)
    api.get("/no-such-path-0815", 404)
    shown = page(appliance, scraper)
    assert shown["appliance_http_requests_total{method=GET,process=api,route=none,status=404}"] > 0
    assert not any("0815" in line for line in shown)


def test_metrics_need_the_scope(appliance: Appliance, api: Api, anonymous: Api) -> None:
    assert api.get("/metrics", 403)["code"] == "scope_missing"
    anonymous.get("/metrics", 401)


def test_the_status_is_open_and_its_details_are_not(api: Api, anonymous: Api) -> None:
    for client in (api, anonymous):
        wait_for(lambda: client.get("/api/v1/status") == {"status": "Ready", "reasons": []})  # noqa: B023


def test_no_file_of_metrics_is_open_to_others(appliance: Appliance) -> None:
    file: Path = appliance.data_dir / "run" / "worker.prom"
    wait_for(file.exists)
    assert file.stat().st_mode & 0o077 == 0
