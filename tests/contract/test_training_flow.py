"""A training from the first upload to the first detection, over HTTP, while its worker is killed in each phase."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contract.test_annotation_sets import new_dataset
from tests.support import toy_models
from tests.support.appliances import Api, Appliance, post_form, running_appliance, wait_for
from tests.support.encoded_files import wav
from tests.support.receivers import Receiver

pytestmark = pytest.mark.timeout(1200)  # a training comes last on a busy machine

JOBS = "/api/v1/training-jobs"
PHASES = ("preparing", "fitting", "evaluating", "exporting")
ENDS = ("completed", "failed", "cancelled")
RATE_HZ = 8000
SECONDS, BEEPS, BEEP_MS, RECORDINGS = 16, 3, 200, 12


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance with a base model that is trained on in seconds, to which a minute of reviewed audio is enough."""
    folder = tmp_path_factory.mktemp("training")
    shutil.copytree(models, folder / "store")
    toy_models.bands_model(folder / "store")
    settings = {"training_clean_minutes": 1, "lease_seconds": 6, "webhook_networks": '["127.0.0.0/8"]'}
    with running_appliance(folder / "data", folder / "store", storage_server="minio", **settings) as running:
        yield running


def beeping(seed: int) -> tuple[bytes, list[tuple[int, int]]]:
    """Noise with beeps in it. Returns a WAV, and where the beeps are in milliseconds."""
    random = np.random.default_rng(seed)
    samples = 0.02 * random.standard_normal(SECONDS * RATE_HZ)
    starts = 500 * random.choice(np.arange(1, 2 * SECONDS - 1), BEEPS, replace=False)
    for start_ms in starts:
        beep = 0.15 * np.sin(2 * np.pi * 1125 * np.arange(BEEP_MS * RATE_HZ // 1000) / RATE_HZ)
        samples[start_ms * RATE_HZ // 1000 :][: len(beep)] += beep
    return wav(samples.astype(np.float32), RATE_HZ), [(int(start), int(start) + BEEP_MS) for start in sorted(starts)]


@pytest.fixture(scope="module")
def dataset_id(appliance: Appliance) -> str:
    """A dataset of recordings, each a group of its own, with every beep annotated and all of it reviewed."""
    api = appliance.api
    dataset = new_dataset(api)
    sent = []
    for seed in range(RECORDINGS):
        content, spans = beeping(seed)
        declared = {"filename": f"{seed}.wav", "content_type": "audio/wav", "file_size": len(content)}
        form = api.post(f"{dataset}/audio/upload-url", declared | {"group": f"place {seed}"})
        post_form({"upload_url": form["upload_url"], "upload_fields": form["fields"]}, content)
        api.post(f"{dataset}/audio/confirm", {"audio_id": form["audio_id"]})
        sent.append((f"{dataset}/audio/{form['audio_id']}", spans))
    for audio, spans in sent:
        wait_for(lambda: api.get(audio)["processing_status"] == "ready")  # noqa: B023
        for start_ms, end_ms in spans:
            api.post(f"{audio}/annotations", {"artifact_type": "beep", "start_ms": start_ms, "end_ms": end_ms}, 201)
        api.post(f"{audio}/reviews", {"labels": ["beep"]}, 201)
    return dataset.rpartition("/")[2]


def reached(api: Api, job_id: str, status: str) -> Any:
    """Wait until a training is in this phase, or beyond. Returns the training."""
    later = (*PHASES[PHASES.index(status) :], *ENDS) if status in PHASES else ENDS

    def there() -> Any:
        job = api.get(f"{JOBS}/{job_id}")
        return job if job["status"] in later else None

    return wait_for(there, 900, 0.02)


def test_a_detector_is_trained_and_used_although_its_worker_dies(
    appliance: Appliance, api: Api, dataset_id: str, receiver: Receiver
) -> None:
    body: dict[str, Any] = {"name": "beeps", "dataset_ids": [dataset_id], "labels": ["beep"], "base_model": "bands"}
    body["callback_url"] = receiver.url
    assert api.post(JOBS, body, params={"dry_run": True})["refusals"] == []
    job_id = api.post(JOBS, body, 202)["id"]
    for phase in PHASES:
        reached(api, job_id, phase)
        killed = appliance.kill("worker")
        wait_for(lambda: appliance.pid("worker") not in (0, killed))  # noqa: B023
    job = reached(api, job_id, "completed")
    assert (job["status"], job["error_message"], job["model_id"]) == ("completed", None, "beeps@1.0.0")
    report = api.get(f"{JOBS}/{job_id}/report")["report"]
    (row,) = report["per_label"]
    assert row["held_out_groups"] >= 3
    assert row["f1"] > 0.9, row
    wait_for(lambda: not list((appliance.data_dir / "training").glob(job_id)))
    event = wait_for(lambda: [call for call in receiver.calls if job_id in str(call)])
    assert "training.completed" in str(event[0])
    model = api.get("/api/v1/models/beeps")
    assert model["training_job_id"] == job_id
    assert {label["name"] for label in model["labels"]} == {"loud", "beep"}
    content, spans = beeping(1000)  # a place that it never heard
    inference_id = api.make_job("beeps")
    file = api.finished_file(inference_id, api.send(inference_id, content))
    beeps = [d["start_ms"] for d in file["detections"] if d["artifact_type"] == "beep"]
    near = [any(abs(start - beep) < 200 for beep in beeps) for start, _ in spans]
    assert all(near), (spans, beeps)
