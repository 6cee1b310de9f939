"""Datasets over HTTP: the flow of the reference page, search, annotations, deletion and invalid input."""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import soundfile

from tests.support.appliances import Api, Appliance, files_below, wait_for
from tests.support.encoded_files import encode, noise, wav
from tests.support.toy_recordings import long_flac

RATE_HZ = 44_100
NUM_FILES = 250
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


class Dataset:
    """Creates a dataset and calls its API."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.id = api.post("/api/v1/datasets", {"name": "takes"}, 201)["id"]
        self.path = f"/api/v1/datasets/{self.id}"

    def request_upload(
        self, size: object, name: str = "take.wav", content_type: str = "audio/wav", status: int = 200
    ) -> Any:
        body = {"filename": name, "content_type": content_type, "file_size": size}
        return self.api.post(f"{self.path}/audio/upload-url", body, status)

    def upload(self, content: bytes, **declared: Any) -> str:
        form = self.request_upload(len(content), **declared)
        response = requests.post(form["upload_url"], data=form["fields"], files={"file": ("take", content)})
        assert response.status_code == 204, response.text
        return form["audio_id"]

    def confirm(self, audio_id: str, status: int = 200) -> Any:
        return self.api.post(f"{self.path}/audio/confirm", {"audio_id": audio_id}, status)

    def send(self, content: bytes, **declared: Any) -> str:
        audio_id = self.upload(content, **declared)
        assert self.confirm(audio_id)["status"] == "normalizing"
        return audio_id

    def audio(self, audio_id: str, status: int = 200) -> Any:
        return self.api.get(f"{self.path}/audio/{audio_id}", status)

    def finished_audio(self, audio_id: str) -> Any:
        def finished() -> Any:
            audio = self.audio(audio_id)
            return audio if audio["processing_status"] in ("ready", "failed") else None

        return wait_for(finished)

    def send_and_wait(self, content: bytes, **declared: Any) -> str:
        audio_id = self.send(content, **declared)
        audio = self.finished_audio(audio_id)
        assert audio["processing_status"] == "ready", audio
        return audio_id

    def download(self, audio_id: str, **query: object) -> requests.Response:
        answer = self.api.get(f"{self.path}/audio/{audio_id}/download-url", params=query)
        assert answer["expires_in"] == 3600
        return requests.get(answer["download_url"])

    def delete(self, audio_id: str = "") -> None:
        path = f"{self.path}/audio/{audio_id}" if audio_id else self.path
        assert self.api.response("DELETE", path).status_code == 204


@pytest.fixture
def dataset(api: Api) -> Dataset:
    return Dataset(api)


def sweep(seconds: float, highest_hz: float) -> np.ndarray:
    """A sine at 0.9 of full scale that rises from 20 Hz to ``highest_hz``: (num_samples,)."""
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return 0.9 * np.sin(2 * np.pi * (20 * time + (highest_hz - 20) * time**2 / (2 * seconds)))


def test_a_dataset_is_created_listed_changed_and_deleted(api: Api, other: Api) -> None:
    created = api.post("/api/v1/datasets", {"name": "takes", "description": "of May"}, 201)
    assert created["audio_count"] == 0
    path = f"/api/v1/datasets/{created['id']}"
    assert api.get(path) == created
    changed = api.call("PATCH", path, 200, json={"name": "June"})
    assert (changed["name"], changed["description"]) == ("June", "of May")
    newer = api.post("/api/v1/datasets", {"name": "newer"}, 201)
    page = api.get("/api/v1/datasets", params={"limit": 1})
    assert [row["id"] for row in page["datasets"]] == [newer["id"]]
    following = api.get("/api/v1/datasets", params={"limit": 1, "cursor": page["next_cursor"]})
    assert [row["id"] for row in following["datasets"]] == [created["id"]]
    for call in (("GET", path), ("PATCH", path), ("DELETE", path)):
        other.call(*call, 404, json={"name": "mine"})
    assert api.response("DELETE", path).status_code == 204
    api.get(path, 404)


def test_audio_is_normalized_embedded_and_downloaded(dataset: Dataset) -> None:
    stereo = np.stack([sweep(2, 7000), sweep(2, 7000)], axis=1)
    content = wav(stereo.astype(np.float32), RATE_HZ)
    audio_id = dataset.send(content, name="a/b\\c\n.wav")
    assert dataset.confirm(audio_id)["status"] == "normalizing"
    audio = dataset.finished_audio(audio_id)
    assert audio["processing_status"] == "ready"
    assert audio["original_filename"] == "a/b\\c\n.wav"
    assert (audio["duration_ms"], audio["sample_rate_hz"], audio["channels"]) == (2000, RATE_HZ, 2)
    assert audio["size_bytes"] == len(content)
    assert dataset.download(audio_id).content == content
    for yes in ("True", "true", "1"):
        normalized = dataset.download(audio_id, normalized=yes)
        samples, rate = soundfile.read(io.BytesIO(normalized.content))
        assert (rate, samples.ndim, normalized.headers["Content-Type"]) == (16_000, 1, "audio/wav")
        assert abs(len(samples) - 32_000) <= 1
    for no in ("False", "false", "0"):
        assert dataset.download(audio_id, normalized=no).content == content


def test_five_threads_send_in_parallel(dataset: Dataset) -> None:
    takes = [wav(noise(16_000, 0.5, seed=seed), 16_000) for seed in range(12)]
    with concurrent.futures.ThreadPoolExecutor(max_workers=5) as executor:
        audio_ids = list(executor.map(dataset.send, takes))
    assert len(set(audio_ids)) == len(takes)
    assert {dataset.finished_audio(audio_id)["processing_status"] for audio_id in audio_ids} == {"ready"}
    page = dataset.api.get(f"{dataset.path}/audio", params={"status": "ready", "limit": 5})
    assert [audio["id"] for audio in page["audio"]] == list(reversed(audio_ids))[:5] or len(page["audio"]) == 5
    assert page["next_cursor"]
    assert dataset.api.get(f"{dataset.path}/audio", params={"status": "failed"})["audio"] == []


def colored_noise(seed: int, seconds: float = 1.0) -> np.ndarray:
    """Noise; each seed has its own spectrum and amplitude modulation: (num_samples,) float32 at 44.1 kHz."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(int(seconds * RATE_HZ)))
    bands = np.exp(1.5 * rng.standard_normal(24))
    gain = np.interp(np.linspace(0, 23, len(spectrum)) ** 0.5 * 23**0.5, np.arange(24), bands)
    modulation = 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(1, 12) * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)
    sound = modulation * np.fft.irfft(spectrum * gain, int(seconds * RATE_HZ))
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def test_a_re_encoded_copy_is_found_first_among_many(dataset: Dataset) -> None:
    """While the files are being processed, every call is answered."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=5) as executor:
        ids = list(executor.map(lambda seed: dataset.send(wav(colored_noise(seed), RATE_HZ)), range(NUM_FILES)))
    copied_seeds = (0, NUM_FILES // 2, NUM_FILES - 1)
    copies = [
        dataset.send(encode("mp3", colored_noise(seed), RATE_HZ), name="copy.mp3", content_type="audio/mpeg")
        for seed in copied_seeds
    ]
    pending = {"status": "normalizing", "limit": 1}
    wait_for(lambda: not dataset.api.get(f"{dataset.path}/audio", params=pending)["audio"], 800)
    assert dataset.api.get(f"{dataset.path}/audio", params={"status": "failed"})["audio"] == []
    for seed, copy in zip(copied_seeds, copies, strict=True):
        assert dataset.finished_audio(copy)["processing_status"] == "ready"
        similar = dataset.api.get(f"{dataset.path}/audio/{copy}/similar", params={"k": 3})["similar"]
        assert similar[0]["audio_id"] == ids[seed]
        assert len(similar) == 3
        similarities = [match["similarity"] for match in similar]
        assert similarities == sorted(similarities, reverse=True)


def test_similarity_is_over_all_datasets_or_one(dataset: Dataset) -> None:
    ids = [dataset.send_and_wait(wav(colored_noise(seed), RATE_HZ)) for seed in (5000, 5001, 5002)]
    other_dataset = Dataset(dataset.api)
    twin = other_dataset.send_and_wait(wav(colored_noise(5001), RATE_HZ))
    path = f"{dataset.path}/audio/{ids[1]}/similar"
    assert dataset.api.get(path, params={"k": 1})["similar"][0]["audio_id"] == twin
    matches = dataset.api.get(path, params={"dataset_id": dataset.id})["similar"]
    assert {match["audio_id"] for match in matches} == {ids[0], ids[2]}
    assert "sound_model" in dataset.api.get(path, 409, params={"by": "sound"})["detail"]  # it is not in this store
    assert "by" in dataset.api.get(path, 400, params={"by": "tune"})["detail"]
    other_dataset.delete(twin)
    assert twin not in {match["audio_id"] for match in dataset.api.get(path, params={"k": 1000})["similar"]}


def test_annotations(dataset: Dataset, other: Api) -> None:
    audio_id = dataset.send_and_wait(wav(noise(16_000, 1), 16_000))
    path = f"{dataset.path}/audio/{audio_id}/annotations"
    api = dataset.api
    annotation = api.post(path, {"artifact_type": "click", "start_ms": 10, "end_ms": 11}, 201)
    for format_, text in (
        ("jsonl", '{"artifact_type": "hum", "start_ms": 5, "end_ms": 900}\n\n'),
        ("audacity", "0.5000\t0,7505\tdropout\n\\\t100.0\t200.0\n0.9\t0.9\tclick\n"),
    ):
        api.call("POST", f"{path}/import", 201, params={"format": format_}, data=text)
    listed = api.get(path)["annotations"]
    assert [(a["artifact_type"], a["start_ms"], a["end_ms"]) for a in listed] == [
        ("hum", 5, 900),
        ("click", 10, 11),
        ("dropout", 500, 751),
        ("click", 900, 901),
    ]
    exported = api.response("GET", f"{path}/export", params={"format": "jsonl"})
    assert exported.headers["Content-Type"].startswith("application/x-ndjson")
    assert [json.loads(line)["artifact_type"] for line in exported.text.splitlines()] == [
        a["artifact_type"] for a in listed
    ]
    track = api.response("GET", f"{path}/export", params={"format": "audacity"}).text
    assert track.splitlines()[0] == "0.005000\t0.900000\thum"
    other.get(path, 404)
    assert api.response("DELETE", f"{path}/{annotation['id']}").status_code == 204
    api.call("DELETE", f"{path}/{annotation['id']}", 404)
    assert len(api.get(path)["annotations"]) == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"artifact_type": "", "start_ms": 0, "end_ms": 1}, "artifact_type"),
        ({"artifact_type": "\0", "start_ms": 0, "end_ms": 1}, "artifact_type"),
        ({"artifact_type": "hum", "start_ms": -1, "end_ms": 1}, "start_ms"),
        ({"artifact_type": "hum", "start_ms": 5, "end_ms": 5}, "end_ms"),
        ({"artifact_type": "hum", "start_ms": 0, "end_ms": 1001}, "end_ms"),
        ({"artifact_type": "hum", "start_ms": 0.5, "end_ms": 7}, "start_ms"),
        ({"artifact_type": "hum", "start_ms": 0}, "end_ms"),
        ({"artifact_type": "hum", "start_ms": 0, "end_ms": 7, "by": "me"}, "by"),
    ],
)
def test_a_bad_annotation_names_the_field(ready_audio: str, api: Api, body: Any, field: str) -> None:
    assert field in api.post(f"{ready_audio}/annotations", body, 400)["detail"]
    assert api.get(f"{ready_audio}/annotations")["annotations"] == []


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("jsonl", '{"artifact_type": "hum", "start_ms": 0, "end_ms": 7}\nnot json\n'),
        ("jsonl", '{"artifact_type": "hum", "start_ms": 0, "end_ms": true}\n'),
        ("jsonl", "[1]\n"),
        ("jsonl", "[" * 100_000),
        ("jsonl", '{"artifact_type": "\\ud800", "start_ms": 0, "end_ms": 7}\n'),
        ("jsonl", '{"artifact_type": "\\u0000hum", "start_ms": 0, "end_ms": 7}\n'),
        ("audacity", "0.1\t0.2\t\0hum\n"),
        ("audacity", "0.1\t0.2\thum\nzero\tone\thum\n"),
        ("audacity", "nan\t0.2\thum\n"),
        ("audacity", "0.1 0.2 hum\n"),
        ("json", "{}"),
    ],
)
def test_a_bad_import_stores_nothing(ready_audio: str, api: Api, format_: str, text: str) -> None:
    api.call("POST", f"{ready_audio}/annotations/import", 400, params={"format": format_}, data=text)
    assert api.get(f"{ready_audio}/annotations")["annotations"] == []


@pytest.fixture(scope="module")
def ready_audio(appliance: Appliance) -> str:
    """The path of a recording of one second that is ready."""
    dataset = Dataset(appliance.api)
    return f"{dataset.path}/audio/{dataset.send_and_wait(wav(noise(16_000, 1), 16_000))}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (wav(noise(16_000, 0.05), 16_000), "100 ms"),
        (b"this is no recording, whatever its name says" * 20, "not a recording"),
    ],
)
def test_a_bad_recording_fails_with_a_sentence(dataset: Dataset, content: bytes, words: str) -> None:
    audio_id = dataset.send(content)
    audio = dataset.finished_audio(audio_id)
    assert audio["processing_status"] == "failed"
    assert words in audio["processing_error"]
    assert audio["processing_error"] in dataset.confirm(audio_id, 409)["detail"]
    dataset.api.get(f"{dataset.path}/audio/{audio_id}/download-url", 409, params={"normalized": "true"})
    dataset.api.get(f"{dataset.path}/audio/{audio_id}/similar", 409)
    dataset.delete(audio_id)
    assert dataset.finished_audio(dataset.send(wav(noise(16_000, 0.5), 16_000)))["processing_status"] == "ready"


def test_a_bad_upload_request_names_the_field(dataset: Dataset) -> None:
    for size in (0, -1, "7", None, True, 1.5):
        assert "file_size" in dataset.request_upload(size, status=400)["detail"]
    assert dataset.request_upload(500 * 1024**2 + 1, status=413)["code"] == "file_too_large"
    refused = dataset.request_upload(10, content_type="text/plain", status=400)["detail"]
    for content_type in ("wav", "mpeg", "mp4", "ogg", "flac", "webm", "aac"):
        assert f"audio/{content_type}" in refused
    name = "x" * 300
    audio_id = dataset.request_upload(10, name=name)["audio_id"]
    assert dataset.audio(audio_id)["original_filename"] == name
    assert dataset.confirm(audio_id, 409)["code"] == "not_uploaded"
    dataset.api.get(f"{dataset.path}/audio/{audio_id}/download-url", 409)
    dataset.api.get(f"{dataset.path}/audio/{audio_id}/download-url", 409, params={"normalized": "1"})
    wrong = dataset.request_upload(10)
    refusal = requests.post(wrong["upload_url"], data=wrong["fields"], files={"file": ("take", b"12345")})
    assert refusal.status_code == 400
    assert dataset.confirm(wrong["audio_id"], 409)["code"] == "not_uploaded"


def test_an_unknown_id_or_one_of_another_tenant_is_a_404(dataset: Dataset, other: Api) -> None:
    audio_id = dataset.send_and_wait(wav(noise(16_000, 0.5), 16_000))
    path = f"{dataset.path}/audio/{audio_id}"
    for missing in (f"/api/v1/datasets/{UNKNOWN_ID}", "/api/v1/datasets/none", f"{dataset.path}/audio/none"):
        dataset.api.get(missing, 404)
    dataset.confirm("none", 404)
    for hidden in (dataset.path, path, f"{path}/download-url", f"{path}/similar", f"{dataset.path}/audio"):
        other.get(hidden, 404)
    other.call("DELETE", path, 404)
    dataset.api.get(f"{path}/similar", 404, params={"dataset_id": UNKNOWN_ID})
    dataset.api.get(f"{path}/similar", 400, params={"k": 0})


def test_deleting_leaves_no_object(dataset: Dataset, appliance: Appliance) -> None:
    remaining = dataset.send_and_wait(wav(noise(16_000, 0.5, seed=1), 16_000))
    deleted = dataset.send_and_wait(wav(noise(16_000, 0.5, seed=2), 16_000))
    urls = [
        dataset.api.get(f"{dataset.path}/audio/{deleted}/download-url", params={"normalized": n})["download_url"]
        for n in ("0", "1")
    ]
    dataset.delete(deleted)
    dataset.audio(deleted, 404)
    assert {requests.get(url).status_code for url in urls} == {404}
    url = dataset.api.get(f"{dataset.path}/audio/{remaining}/download-url")["download_url"]
    dataset.delete()
    dataset.audio(remaining, 404)
    wait_for(lambda: requests.get(url).status_code == 404)
    folder = appliance.data_dir / "objects" / "minio" / "audio" / "tenant-1" / f"dataset-{dataset.id}"
    wait_for(lambda: not any(path.name == "xl.meta" for path in files_below(folder)))


def test_deleting_audio_stops_its_processing(dataset: Dataset, tmp_path: Path) -> None:
    content = long_flac(tmp_path / "long.flac", 30).read_bytes()
    audio_id = dataset.send(content, name="long.flac", content_type="audio/flac")
    dataset.delete(audio_id)
    next_audio = dataset.send_and_wait(wav(noise(16_000, 0.5), 16_000))
    dataset.audio(audio_id, 404)
    assert dataset.audio(next_audio)["processing_status"] == "ready"


def test_audio_becomes_ready_although_its_worker_was_killed(appliance: Appliance, tmp_path: Path) -> None:
    dataset = Dataset(appliance.api)
    content = long_flac(tmp_path / "long.flac", 20).read_bytes()
    audio_id = dataset.send(content, name="long.flac", content_type="audio/flac")
    wait_for(lambda: dataset.audio(audio_id)["processing_status"] == "embedding")
    appliance.kill("worker")
    assert dataset.finished_audio(audio_id)["processing_status"] == "ready"
    similar = dataset.api.get(f"{dataset.path}/audio/{audio_id}/similar")["similar"]
    assert audio_id not in {match["audio_id"] for match in similar}
    assert os.path.exists(appliance.data_dir / "appliance.db")
