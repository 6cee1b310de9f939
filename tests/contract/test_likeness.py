"""Detections that sound alike: by their spectra, whatever their loudness, in all files of a job."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.contract.test_looking import shown
from tests.contract.test_reviews import JOBS, NO_MERGING
from tests.support.appliances import Api
from tests.support.encoded_files import wav
from tests.support.toy_recordings import RATE_HZ

FRAME = 256
KINDS = "tone", "noise", "low"


def sound(kind: str, loudness: float, seed: int) -> np.ndarray:
    """Forty frames: a tone of 3 kHz, white noise, or a tone of 200 Hz."""
    rng, place = np.random.default_rng(seed), np.arange(40 * FRAME) / RATE_HZ
    if kind == "noise":
        return loudness * rng.standard_normal(len(place))
    return loudness * np.sqrt(2) * np.sin(2 * np.pi * (3000 if kind == "tone" else 200) * place + seed)


@pytest.fixture(scope="module")
def job(appliance: Any) -> tuple[str, list[tuple[str, int, int]]]:
    """The path of a job with two files, each of nine sounds of three kinds, and the stretches of the first file."""
    api: Api = appliance.api
    job_id = api.make_job(**NO_MERGING)
    silence = np.zeros(40 * FRAME)
    for file in range(2):
        sounds = [sound(KINDS[n % 3], (0.1, 0.14, 0.2)[n // 3], 10 * file + n) for n in range(9)]
        content = np.concatenate([part for one in sounds for part in (one, silence)]).astype(np.float32)
        api.send(job_id, wav(content, RATE_HZ), name=f"{file}.wav")
    files = api.finished_job(job_id)["files"]
    assert [len(file["detections"]) for file in files] == [9, 9]
    return f"{JOBS}/{job_id}", [
        (files[0]["id"], detection["start_ms"], detection["end_ms"]) for detection in files[0]["detections"]
    ]


def alike(api: Api, path: str, stretch: tuple[str, int, int], **more: Any) -> Any:
    query = "&".join(
        f"{name}={value}"
        for name, value in ({"file_id": stretch[0], "start_ms": stretch[1], "end_ms": stretch[2]} | more).items()
    )
    return shown(api, f"{path}/similar-detections?{query}").json()


@pytest.mark.parametrize("kind", range(3), ids=KINDS)
def test_sounds_of_one_kind_are_alike(api: Api, job: tuple[str, list[tuple[str, int, int]]], kind: int) -> None:
    path, stretches = job
    answer = alike(api, path, stretches[kind], min_similarity=0)
    assert answer["compared"] == 18
    assert (answer["items"][0]["detection"]["start_ms"], answer["items"][0]["similarity"]) == (stretches[kind][1], 1.0)
    starts = [stretch[1] for stretch in stretches]
    first = [starts.index(item["detection"]["start_ms"]) % 3 for item in answer["items"][:6]]
    assert first == [kind] * 6
    similarities = [item["similarity"] for item in answer["items"]]
    assert similarities == sorted(similarities, reverse=True)
    assert similarities[5] > 0.8 > similarities[6]


def test_only_the_chosen_detections_are_compared(api: Api, job: tuple[str, list[tuple[str, int, int]]]) -> None:
    path, stretches = job
    assert alike(api, path, stretches[0], state="rejected") == {"items": [], "compared": 0}
    assert alike(api, path, stretches[0], type="hum") == {"items": [], "compared": 0}
    assert len(alike(api, path, stretches[0], min_similarity=0.9999)["items"]) < 18


def test_a_bad_question_is_refused(api: Api, other: Api, job: tuple[str, list[tuple[str, int, int]]]) -> None:
    path, [(file_id, start, end), *_] = job
    params: dict[str, Any] = {"file_id": file_id, "start_ms": start, "end_ms": end}
    url = f"{path}/similar-detections"
    assert "end_ms: must be after" in api.get(url, 400, params=params | {"start_ms": end})["detail"]
    assert "min_similarity" in api.get(url, 400, params=params | {"min_similarity": 2})["detail"]
    assert "file_id" in api.get(url, 400, params={"start_ms": 0, "end_ms": 1})["detail"]
    api.get(url, 404, params=params | {"file_id": "nobody"})
    other.get(url, 404, params=params)
    assert api.get(url, 416, params=params | {"start_ms": 10**7, "end_ms": 10**7 + 1})["code"] == "outside_recording"
