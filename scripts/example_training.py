"""Trains a detector of tabla strokes, from annotated recordings to detections, over HTTP. docs/training.md shows it.

The recordings are made of the sounds of the Debian package sonic-pi-samples. Each is a minute of sounds of all kinds in
soft noise, with four strokes of one tabla sample. That sample is its group: a stroke that the detector is tried on was
never heard in fitting. Two samples are in no recording of the dataset; the detector is used on them at the end.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import urllib3

RATE_HZ = 44_100
SECONDS, STROKES, OTHERS = 60, 4, 20
LABEL = "tabla"
KEPT_FOR_USE = ("tabla_ke2", "tabla_tun2")
LEFT_OUT = ("tabla", "loop", "ambi", "vinyl")  # whose other sounds have strokes in them, or fill the whole minute


@dataclass(frozen=True)
class Client:
    """Calls an appliance with one key."""

    url: str
    key: str
    http: urllib3.PoolManager

    def call(self, method: str, path: str, body: Any = None, data: bytes | None = None) -> Any:
        """Return the JSON of the answer. Ends the program with the problem if there is one."""
        content = data if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        answer = self.http.request(method, f"{self.url}{path}", body=content, headers=headers)
        if answer.status >= 400:
            raise SystemExit(f"{method} {path}: {answer.status} {answer.data.decode()}")
        return answer.json()

    def upload(self, form: dict[str, Any], fields: str, content: bytes) -> None:
        """Post a file with an upload form."""
        values = {**form[fields], "file": ("take.flac", content)}
        answer = self.http.request("POST", form["upload_url"], fields=values)
        if answer.status != 204:
            raise SystemExit(f"The upload failed: {answer.status} {answer.data.decode()}")

    def wait(self, path: str, key: str, ends: tuple[str, ...]) -> Any:
        """Ask until a field has one of these values, and say how it changes. Returns the answer."""
        said = None
        while True:
            answer = self.call("GET", path)
            if answer[key] != said:
                said = answer[key]
                print(f"{time.strftime('%H:%M:%S')} {said}", flush=True)
            if said in ends:
                return answer
            time.sleep(1)


def read_sounds(folder: Path) -> dict[str, np.ndarray]:
    """Return each sound, (num_samples,), by its name."""
    sounds = {}
    for path in sorted(folder.glob("*.flac")):
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        sounds[path.stem] = soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ)
    if not sounds:
        raise SystemExit(f"{folder} has no sounds; name the folder samples of the package sonic-pi-samples.")
    return sounds


def make_recording(sounds: dict[str, np.ndarray], stroke: str, seed: int) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a recording as FLAC, and where the strokes are, in milliseconds."""
    random = np.random.default_rng(seed)
    others = [name for name in sounds if not name.startswith(LEFT_OUT)]
    names = [stroke] * STROKES + list(random.choice(others, OTHERS))
    samples = 0.002 * random.standard_normal(SECONDS * RATE_HZ)
    spans = []
    places = random.permutation(len(names)) * (SECONDS - 3) / len(names) + random.uniform(0, 1.5, len(names))
    for name, place in zip(names, places, strict=True):
        first, sound = int(place * RATE_HZ), sounds[name][: 2 * RATE_HZ]
        samples[first : first + len(sound)] += random.uniform(0.3, 0.9) * sound / np.abs(sound).max()
        if name == stroke:
            loud = np.flatnonzero(np.abs(sound) > 0.05 * np.abs(sound).max())
            spans.append((round(1000 * place), round(1000 * (place + loud[-1] / RATE_HZ)) + 1))
    file = io.BytesIO()
    soundfile.write(file, 0.5 * samples, RATE_HZ, format="FLAC")
    return file.getvalue(), sorted(spans)


def annotate(client: Client, sounds: dict[str, np.ndarray], strokes: list[str], count: int) -> str:
    """Make a dataset of annotated and reviewed recordings. Returns its id."""
    dataset_id = client.call("POST", "/api/v1/datasets", {"name": "tabla strokes"})["id"]
    audio = f"/api/v1/datasets/{dataset_id}/audio"
    for number in range(count):
        stroke = strokes[number % len(strokes)]
        content, spans = make_recording(sounds, stroke, number)
        declared = {"filename": f"{number}.flac", "content_type": "audio/flac", "file_size": len(content)}
        form = client.call("POST", f"{audio}/upload-url", declared | {"group": stroke})
        client.upload(form, "fields", content)
        client.call("POST", f"{audio}/confirm", {"audio_id": form["audio_id"]})
        path = f"{audio}/{form['audio_id']}"
        while client.call("GET", path)["processing_status"] != "ready":
            time.sleep(0.2)
        rows = [{"artifact_type": LABEL, "start_ms": start, "end_ms": end} for start, end in spans]
        client.call("POST", f"{path}/annotations/import", data="\n".join(map(json.dumps, rows)).encode())
        client.call("POST", f"{path}/reviews", {"labels": [LABEL]})
    return str(dataset_id)


def train(client: Client, dataset_id: str) -> str:
    """Train, and print what the report says. Returns the id of the model."""
    body = {"name": "tabla", "dataset_ids": [dataset_id], "labels": [LABEL], "base_model": "artifacts"}
    for sentence in client.call("POST", "/api/v1/training-jobs?dry_run=true", body)["refusals"]:
        raise SystemExit(sentence)
    job_id = client.call("POST", "/api/v1/training-jobs", body)["id"]
    job = client.wait(f"/api/v1/training-jobs/{job_id}", "status", ("completed", "failed", "cancelled"))
    if job["status"] != "completed":
        raise SystemExit(job["error_message"])
    report = client.call("GET", f"/api/v1/training-jobs/{job_id}/report")["report"]
    print(json.dumps(report, indent=2))
    return str(job["model_id"])


def use(client: Client, sounds: dict[str, np.ndarray], model_id: str) -> None:
    """Find strokes of samples that were in no recording of the dataset, and print them beside the truth."""
    job_id = client.call("POST", "/api/v1/inference-jobs", {"model_id": model_id})["id"]
    files = f"/api/v1/inference-jobs/{job_id}/files"
    for number, stroke in enumerate(KEPT_FOR_USE):
        content, spans = make_recording(sounds, stroke, 10_000 + number)
        declared = {"filename": f"{stroke}.flac", "content_type": "audio/flac", "file_size_bytes": len(content)}
        form = client.call("POST", f"{files}/upload-url", declared)
        client.upload(form, "upload_fields", content)
        client.call("POST", f"{files}/confirm", {"file_id": form["file_id"]})
        file = client.wait(f"{files}/{form['file_id']}", "status", ("completed", "failed"))
        detections = [d for d in file["detections"] if d["artifact_type"] == LABEL]
        print(f"{stroke}: strokes begin at {[start for start, _ in spans]} ms")
        print(f"{stroke}: reported at {[(d['start_ms'], round(d['confidence'], 2)) for d in detections]}")


def main() -> None:
    """Run the whole example."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("sounds", type=Path, help="the folder samples of the package sonic-pi-samples")
    options.add_argument("--url", default="http://127.0.0.1:8080")
    options.add_argument("--key", required=True)
    options.add_argument("--recordings", type=int, default=48)
    chosen = options.parse_args()
    client = Client(chosen.url, chosen.key, urllib3.PoolManager(timeout=60))
    sounds = read_sounds(chosen.sounds)
    strokes = [name for name in sounds if name.startswith(LABEL) and name not in KEPT_FOR_USE]
    dataset_id = annotate(client, sounds, strokes, chosen.recordings)
    use(client, sounds, train(client, dataset_id))


if __name__ == "__main__":
    main()
