"""A script from the reference page works with this appliance if only its base URL, key and ids are changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract import reference
from tests.support import toy_models
from tests.support.appliances import Appliance
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(appliance: Appliance, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run snippets one after another in one namespace, as one script."""
    if not (models / "your-model-id").exists():  # nor may a model change that the appliance reads
        toy_models.frame_model(models, name="your-model-id")  # a new model is found without a restart
    for name in ("test_audio.wav", "audio1.wav", "audio2.wav", "audio3.wav"):
        (tmp_path / name).write_bytes(loud_wav())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELAY_API_KEY", appliance.key)
    namespace: dict[str, Any] = {"model_id": "your-model-id"}

    def run_snippets(*snippets: str) -> dict[str, Any]:
        for snippet in snippets:
            assert "relayai" not in snippet or snippet is reference.CREATE
            file_id = namespace.get("upload_info", {}).get("file_id", "")
            code = snippet.replace("https://api.relayai.dev", appliance.url).replace("file-uuid", file_id)
            exec(code, namespace)
        return namespace

    return run_snippets


def test_one_file(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = run(reference.CREATE, reference.UPLOAD, reference.POLL, reference.DETAILS, reference.ONE_FILE)
    output = capsys.readouterr().out
    assert "File queued for inference: queued" in output
    assert "Processed: 1/1\nAll files processed!" in output
    assert "\nFile: test_audio.wav\nStatus: completed\nDetections: 1\n" in output
    assert "  loud: 1160-1742ms (confidence: 1.00)\n" in output
    assert script["file_result"]["detections"] == LOUD_DETECTIONS
    run(reference.DOWNLOAD)
    assert (tmp_path / "downloaded.wav").read_bytes() == loud_wav()


def test_a_batch_with_five_threads(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    script = run(reference.CREATE, "import os", reference.BATCH, reference.POLL, reference.DETAILS)
    output = capsys.readouterr().out
    assert "Uploaded 3 files for inference" in output
    assert "Processed: 3/3\nAll files processed!" in output
    assert sorted(file["file_id"] for file in script["job"]["files"]) == sorted(script["file_ids"])
    for name in ("audio1.wav", "audio2.wav", "audio3.wav"):
        assert f"\nFile: {name}\nStatus: completed\nDetections: 1\n" in output


def test_a_pipeline_and_the_wait_with_backoff(run: Run) -> None:
    script = run(reference.CREATE, "import os", reference.BATCH, reference.PIPELINE, reference.BACKOFF)
    job = script["wait_for_results"](script["inference_job_id"])
    assert [file["status"] for file in job["files"]] == ["completed"] * 5


def test_listing_and_cancelling(run: Run) -> None:
    script = run(reference.CREATE, reference.UPLOAD, reference.POLL, reference.LIST)
    listed = script["response"].json()["inference_jobs"]
    assert script["inference_job_id"] in [job["id"] for job in listed]
    assert {job["status"] for job in listed} == {"completed"}
    script = run(reference.CREATE, reference.CANCEL, reference.DETAILS)
    assert script["job"]["status"] == "cancelled"


def test_the_polling_loop_ends_when_every_file_failed(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_audio.wav").write_bytes(b"no recording")
    run(reference.CREATE, reference.UPLOAD, reference.POLL, reference.DETAILS)
    output = capsys.readouterr().out
    assert "All files processed!" in output
    assert "Status: failed\nDetections: 0\n" in output
