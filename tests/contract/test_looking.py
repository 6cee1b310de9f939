"""Clips, envelopes and spectrograms of the recordings of a job."""

from __future__ import annotations

import io
import struct
import uuid
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
import soundfile

from appliance.engine.decode.png import from_png
from appliance.engine.decode.recording import open_audio
from appliance.state.database import Database
from tests.contract.test_annotation_sets import add_audio, new_dataset
from tests.support.appliances import Api, Appliance, wait_for
from tests.support.encoded_files import encode, noise, wav
from tests.support.toy_recordings import loud_wav

JOBS = "/api/v1/inference-jobs"
SOURCE = noise(48_000, 70, 2)


@pytest.fixture(scope="module")
def file(appliance: Appliance) -> tuple[str, bytes]:
    """The path of a stereo MP3 of 70 s, which is long enough for a waveform from the worker, and its bytes."""
    job_id, content = appliance.api.make_job(), encode("mp3", SOURCE, 48_000)
    file_id = appliance.api.send(job_id, content, name="a.mp3", content_type="audio/mpeg")
    assert appliance.api.finished_file(job_id, file_id)["status"] == "completed"
    return f"{JOBS}/{job_id}/files/{file_id}", content


def shown(api: Api, path: str) -> requests.Response:
    """The answer to a GET that may have to be repeated while something is made."""

    def ready() -> requests.Response | None:
        response = api.response("GET", path)
        if response.status_code == 503:
            assert (response.json()["code"], response.headers["Retry-After"]) == ("being_made", "2")
            return None
        return response

    return wait_for(ready, every_seconds=0.2)


def test_a_clip_is_exact(api: Api, file: tuple[str, bytes]) -> None:
    path, content = file
    whole = np.concatenate(list(open_audio(io.BytesIO(content)).blocks()))
    for start_ms, end_ms in ((0, 10), (61_003, 62_507), (69_000, 80_000)):
        response = api.response("GET", f"{path}/clip", params={"start_ms": start_ms, "end_ms": end_ms})
        assert (response.status_code, response.headers["Content-Type"]) == (200, "audio/wav"), response.text
        assert "immutable" in response.headers["Cache-Control"]
        samples, rate = soundfile.read(io.BytesIO(response.content), dtype="float32", always_2d=True)
        assert rate == 48_000
        np.testing.assert_array_equal(samples, whole[start_ms * 48 : end_ms * 48])


def test_a_clip_of_a_dataset_is_of_its_normalized_file(api: Api) -> None:
    dataset = new_dataset(api)
    path = f"{dataset}/audio/{add_audio(api, dataset, wav(SOURCE[:96_000], 48_000))}"
    url = api.get(f"{path}/download-url", params={"normalized": True})["download_url"]
    whole, _ = soundfile.read(io.BytesIO(requests.get(url).content), dtype="float32")
    response = api.response("GET", f"{path}/clip", params={"start_ms": 503, "end_ms": 1007})
    samples, rate = soundfile.read(io.BytesIO(response.content), dtype="float32")
    assert (response.status_code, rate) == (200, 16_000)
    np.testing.assert_array_equal(samples, whole[503 * 16 : 1007 * 16])
    drawn = api.response("GET", f"{path}/spectrogram.png", params={"start_ms": 503, "end_ms": 1007})
    assert from_png(drawn.content).shape[0] == 256
    assert "end_ms" in api.get(f"{path}/clip", 400, params={"start_ms": 9, "end_ms": 9})["detail"]
    assert "ends before" in api.get(f"{path}/clip", 416, params={"start_ms": 9000, "end_ms": 9001})["detail"]


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "status", "sentence"),
    [
        (70_000, 71_000, 416, "lasts 70000 ms"),
        (10, 10, 400, "end_ms: must be after start_ms"),
        (0, 30_001, 422, "up to 30000 ms"),
        (-1, 10, 400, "start_ms"),
        ("x", 10, 400, "start_ms"),
        (0, "", 400, "end_ms"),
    ],
)
def test_a_clip_that_cannot_be(
    api: Api, file: tuple[str, bytes], start_ms: Any, end_ms: Any, status: int, sentence: str
) -> None:
    problem = api.get(f"{file[0]}/clip", status, params={"start_ms": start_ms, "end_ms": end_ms})
    assert sentence in problem["detail"]


def test_the_worker_has_made_the_waveform_and_storage_serves_its_levels(
    appliance: Appliance, api: Api, file: tuple[str, bytes]
) -> None:
    waveform = api.get(f"{file[0]}/waveform")
    assert (waveform["sample_rate_hz"], waveform["num_channels"], waveform["duration_ms"]) == (48_000, 2, 70_000)
    first, *others = waveform["levels"]
    assert [level["samples_per_pixel"] for level in waveform["levels"]] == [256, 1024, 4096, 16384]
    level = others[0]
    assert urlsplit(level["url"]).netloc == urlsplit(appliance.url).netloc
    last = level["offset"] + level["size_bytes"] - 1
    response = requests.get(level["url"], headers={"Range": f"bytes={level['offset']}-{last}"})
    assert response.status_code == 206
    assert struct.unpack_from("<iIiiIi", response.content) == (2, 0, 48_000, 1024, level["length"], 2)
    pixels = np.frombuffer(response.content, "<i2", offset=24).reshape(level["length"], 2, 2)
    whole = np.concatenate(list(open_audio(io.BytesIO(file[1])).blocks()))
    np.testing.assert_array_equal(
        pixels[5], np.rint(np.stack([f(whole[5 * 1024 : 6 * 1024], axis=0) for f in (np.min, np.max)], 1) * 32768)
    )
    assert first["offset"] == 0


def test_a_waveform_counts_for_its_tenant(appliance: Appliance, api: Api, file: tuple[str, bytes]) -> None:
    row = Database(appliance.data_dir / "appliance.db").one(
        "SELECT waveform_bytes, scores_bytes, derived_bytes FROM inference_files WHERE id = ?", [file[0].split("/")[-1]]
    )
    assert row is not None
    level = api.get(f"{file[0]}/waveform")["levels"][-1]
    assert row["waveform_bytes"] > level["offset"] + level["size_bytes"]
    assert row["derived_bytes"] == row["waveform_bytes"] + row["scores_bytes"]


def test_a_short_recording_gets_its_waveform_when_somebody_looks(api: Api) -> None:
    job_id = api.make_job()
    file_id = api.send(job_id, loud_wav())
    api.finished_file(job_id, file_id)
    waveform = shown(api, f"{JOBS}/{job_id}/files/{file_id}/waveform").json()
    assert waveform["levels"][-1]["length"] <= 512


def test_tiles_cover_the_recording_at_every_level(api: Api, file: tuple[str, bytes]) -> None:
    spectrogram = shown(api, f"{file[0]}/spectrogram").json()
    levels = spectrogram["levels"]
    assert [level["samples_per_column"] for level in levels] == [256, 1024, 4096, 16384]
    assert [level["num_tiles"] for level in levels] == [52, 13, 4, 1]
    response = shown(api, f"{file[0]}/spectrogram/3/0.png")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/png")
    assert "immutable" in response.headers["Cache-Control"]
    tile = from_png(response.content)
    assert tile.shape == (spectrogram["tile_height"], spectrogram["tile_width"])
    num_columns = -(-spectrogram["num_samples"] // 16384)
    assert tile[:, num_columns - 1].any()
    assert not tile[:, num_columns:].any()
    assert shown(api, f"{file[0]}/spectrogram/3/0.png").content == response.content
    for missing in ("3/1", "4/0", "0/52"):
        assert "4 levels" in api.get(f"{file[0]}/spectrogram/{missing}.png", 404)["detail"]


@pytest.mark.parametrize("what", ["clip?start_ms=0&end_ms=10", "waveform", "spectrogram", "spectrogram/0/0.png"])
def test_what_has_no_audio_cannot_be_shown(api: Api, what: str) -> None:
    job_id = api.make_job()
    pending = api.request_upload(job_id, 4)["file_id"]
    assert api.get(f"{JOBS}/{job_id}/files/{pending}/{what}", 409)["code"] == "not_uploaded"
    failed = api.send(job_id, b"no audio")
    api.finished_file(job_id, failed)
    problem = api.get(f"{JOBS}/{job_id}/files/{failed}/{what}", 422)
    assert (problem["code"], "not a recording" in problem["detail"]) == ("cannot_be_played", True)
    api.get(f"{JOBS}/{job_id}/files/{uuid.uuid4()}/{what}", 404)


def test_a_deleted_file_leaves_no_picture_and_no_waveform(appliance: Appliance, api: Api) -> None:
    job_id = api.make_job()
    file_id = api.send(job_id, wav(SOURCE[:96_000], 48_000))
    path = f"{JOBS}/{job_id}/files/{file_id}"
    api.finished_file(job_id, file_id)
    assert shown(api, f"{path}/spectrogram/1/0.png").status_code == 200
    pictures = appliance.data_dir / "tiles" / "tenant-1" / f"inference-{job_id}" / file_id
    url = shown(api, f"{path}/waveform").json()["levels"][0]["url"]
    assert list(pictures.iterdir())
    assert api.response("DELETE", path).status_code == 204
    wait_for(lambda: not pictures.exists() and requests.get(url).status_code == 404)
    api.get(f"{path}/spectrogram/1/0.png", 404)
