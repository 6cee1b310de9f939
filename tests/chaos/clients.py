"""Clients that send recordings without pause, through every kind of upload, and write down what was confirmed.

They behave as a patient script does: an error of the connection and a status that asks for patience are tried again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.support.toy_recordings import loud_wav

PATIENCE_SECONDS = 240.0
WAIT_SECONDS = 0.2
TRANSIENT = (429, 502, 503, 504, 507)
FILES_OF_A_JOB = 5
LARGE_BYTES = 65 * 1024**2  # the worker copies such an upload after its confirm


@dataclass
class Ledger:
    """What the appliance has confirmed so far, by id, and every answer that no client should get."""

    files: set[str] = field(default_factory=set)
    audio: set[str] = field(default_factory=set)
    media: set[str] = field(default_factory=set)
    wrong_answers: list[str] = field(default_factory=list)
    api_seconds: list[float] = field(default_factory=list)  # of each call that was answered
    retries: int = 0

    def __len__(self) -> int:
        return len(self.files) + len(self.audio) + len(self.media)


class Client(threading.Thread):
    """One client. It sends until ``stopping`` is set, and then ends the recording in hand."""

    def __init__(
        self,
        url: str,
        key: str,
        callback_url: str,
        ledger: Ledger,
        seed: int,
        stopping: threading.Event,
        wait: Callable[[], None] = lambda: None,
        large_share: float = 0.0,
    ) -> None:
        super().__init__(name=f"client-{seed}", daemon=True)
        self._url = url
        self._headers = {"X-API-Key": key, "Authorization": key}
        self._callback_url = callback_url
        self._ledger = ledger
        self._random = random.Random(seed)
        self._stopping = stopping
        self._wait = wait
        self._large_share = large_share

    def run(self) -> None:
        """Send recordings by a route chosen at random, again and again."""
        routes = [self._inference, self._dataset, self._batch]
        while not self._stopping.is_set():
            try:
                self._random.choices(routes, [6, 2, 2])[0]()
            except WrongAnswerError as error:
                self._ledger.wrong_answers.append(str(error))

    def _inference(self) -> None:
        body = {"model_id": "loud-frames", "callback_url": f"{self._callback_url}/files"}
        job = self._post("/api/v1/inference-jobs", body, 201)["id"]
        folder = f"/api/v1/inference-jobs/{job}/files"
        for _ in range(FILES_OF_A_JOB):
            self._wait()
            content = self._recording()
            size = {"filename": "take.wav", "content_type": "audio/wav", "file_size_bytes": len(content)}
            form = self._post(f"{folder}/upload-url", size)
            self._send_form(form["upload_url"], form["upload_fields"], content)
            self._post(f"{folder}/confirm", {"file_id": form["file_id"]})
            self._ledger.files.add(form["file_id"])
            if self._stopping.is_set():
                return

    def _dataset(self) -> None:
        self._wait()
        folder = f"/api/v1/datasets/{self._post('/api/v1/datasets', {'name': 'chaos'}, 201)['id']}/audio"
        content = self._recording()
        form = self._post(
            f"{folder}/upload-url", {"filename": "take.wav", "content_type": "audio/wav", "file_size": len(content)}
        )
        self._send_form(form["upload_url"], form["fields"], content)
        self._post(f"{folder}/confirm", {"audio_id": form["audio_id"]})
        self._ledger.audio.add(form["audio_id"])

    def _recording(self) -> bytes:
        return loud_wav() + bytes(LARGE_BYTES if self._random.random() < self._large_share else 0)

    def _batch(self) -> None:
        files = []
        for number in range(2):
            self._wait()
            files.append(("files", (f"{number}.wav", loud_wav(), "audio/wav")))
        accepted = self._until_answered(
            "batch", (202,), lambda: requests.post(self._at("/transcribe/files/upload"), files=files, **self._options)
        ).json()
        self._ledger.media.update(file["file_id"] for file in accepted["files"])

    def _post(self, path: str, body: Any, status: int = 200) -> Any:
        def send() -> requests.Response:
            started = time.monotonic()
            response = requests.post(self._at(path), json=body, **self._options)
            self._ledger.api_seconds.append(time.monotonic() - started)
            return response

        return self._until_answered(f"POST {path}", (status,), send).json()

    def _send_form(self, url: str, fields: dict[str, str], content: bytes) -> None:
        self._until_answered(
            "form", (200, 204), lambda: requests.post(url, data=fields, files={"file": ("take", content)}, timeout=30)
        )

    def _until_answered(
        self, what: str, expected: tuple[int, ...], send: Callable[[], requests.Response]
    ) -> requests.Response:
        """Send until an answer has one of the expected statuses. Raises WrongAnswer."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                response = send()
            except requests.RequestException as error:
                last = str(error)
            else:
                if response.status_code in expected:
                    return response
                last = f"{response.status_code} {response.text[:300]}"
                if response.status_code not in TRANSIENT:
                    raise WrongAnswerError(f"{what}: {last}")
            if time.monotonic() > deadline:
                raise WrongAnswerError(f"{what}: no good answer for {PATIENCE_SECONDS:.0f} s; the last was {last}")
            self._ledger.retries += 1
            time.sleep(WAIT_SECONDS)

    def _at(self, path: str) -> str:
        return self._url + path

    @property
    def _options(self) -> dict[str, Any]:
        return {"headers": self._headers, "timeout": 30}


class WrongAnswerError(Exception):
    """The appliance answered what no client should get, or never."""
