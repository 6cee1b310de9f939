"""Recordings that the appliance fetches by URL, from a server on the loopback that the settings allow here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract.test_speech_raw import assert_sample_text
from tests.support.appliances import PATIENCE_SECONDS, Appliance, running_appliance, wait_for
from tests.support.file_servers import FileServer, serving_files
from tests.support.speech_sample import SAMPLE as SPEECH


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    settings = {"fetch_hosts": '["127.0.0.0/8"]', "max_upload_bytes": 2_000_000}
    with running_appliance(tmp_path_factory.mktemp("fetching"), models, storage_server="minio", **settings) as running:
        yield running


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving_files() as running:
        running.files["/speech.flac"] = SPEECH.read_bytes()
        running.files["/large.wav"] = bytes(2_000_001)
        yield running


def call(appliance: Appliance, method: str, path: str, status: int = 200, body: Any = None) -> Any:
    headers = {"Authorization": appliance.key}
    response = requests.request(method, appliance.url + path, json=body, headers=headers, timeout=PATIENCE_SECONDS)
    assert response.status_code == status, response.text
    return response.json()


def ended_transcript(appliance: Appliance, audio_url: str) -> Any:
    """Request a transcript and wait for its end. Returns it."""
    created = call(appliance, "POST", "/v2/transcript", body={"audio_url": audio_url})
    assert (created["status"], created["audio_url"]) == ("queued", audio_url)

    def ended() -> Any:
        transcript = call(appliance, "GET", f"/v2/transcript/{created['id']}")
        return transcript if transcript["status"] in ("completed", "error") else None

    return wait_for(ended)


def test_an_audio_url_is_fetched_and_transcribed(appliance: Appliance, server: FileServer) -> None:
    url = f"{server.url}/speech.flac"
    transcript = ended_transcript(appliance, url)
    assert_sample_text(transcript["text"])
    assert transcript["audio_url"] == url
    [listed] = [row for row in call(appliance, "GET", "/v2/transcript")["transcripts"] if row["id"] == transcript["id"]]
    assert listed["audio_url"] == url
    assert call(appliance, "DELETE", f"/v2/transcript/{transcript['id']}")["audio_url"] == url


@pytest.mark.parametrize(("path", "sentence"), [("/large.wav", "over the limit"), ("/none.wav", "answered 404.")])
def test_a_fetch_that_fails_is_an_error_of_the_transcript(
    appliance: Appliance, server: FileServer, path: str, sentence: str
) -> None:
    transcript = ended_transcript(appliance, server.url + path)
    assert transcript["status"] == "error"
    assert sentence in transcript["error"]


@pytest.mark.parametrize("url", ["http://10.0.0.1/a.wav", "http://169.254.169.254/a", "ftp://127.0.0.1/a", "a.wav"])
def test_a_host_that_is_not_listed_is_refused(appliance: Appliance, url: str) -> None:
    error = call(appliance, "POST", "/v2/transcript", 400, {"audio_url": url})["error"]
    assert error.startswith("audio_url: ")
    problem = call(appliance, "POST", "/transcribe/batch", 400, {"sources": [{"url": url}]})
    assert problem["detail"].startswith("sources: ")


def test_the_appliance_fetches_nothing_from_itself(appliance: Appliance) -> None:
    for origin in (appliance.url, appliance.url.replace("127.0.0.1", "localhost")):
        refused = call(appliance, "POST", "/v2/transcript", 400, {"audio_url": f"{origin}/api/v1/models"})
        assert "belongs to the appliance itself" in refused["error"]


def test_a_batch_of_urls_is_fetched_and_transcribed(appliance: Appliance, server: FileServer) -> None:
    sources = [{"url": f"{server.url}/speech.flac", "filename": "mine.flac"}, {"url": f"{server.url}/none.wav"}]
    created = call(appliance, "POST", "/transcribe/batch", 202, {"sources": sources})
    assert [transcript["filename"] for transcript in created["transcripts"]] == ["mine.flac", "none.wav"]

    def ended() -> Any:
        batch = call(appliance, "GET", f"/transcribe/batch/{created['batch_id']}")
        return batch if batch["processed_files"] == batch["total_files"] else None

    good, bad = wait_for(ended)["transcripts"]
    assert_sample_text(good["text"])
    assert (bad["status"], bad["error_code"]) == ("failed", "fetch_failed")
