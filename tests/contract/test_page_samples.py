"""The samples of the pages on uploading audio and on asynchronous transcription run as they stand.

Only the base URL, the key, ids and file names differ, and a comment that asks for the user's own code is that code.
The browser runs the TypeScript once more, in test_browser.py. The page's C# is not run, because that needs .NET, for
which Debian has no package.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import soundfile

from tests.contract import page_samples
from tests.support import browser
from tests.support.appliances import PATIENCE_SECONDS, Api, Appliance, wait_for
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

Run = Callable[..., dict[str, Any]]
NAMES = ("audio_sample.wav", "test_audio.wav", "file1.wav", "file2.wav", "file3.wav")

SUCCESSFUL = "// implement logic for successful request here"
UNSUCCESSFUL = "// implement logic for unsuccessful request here"
EXCEPTION = "// implement the logic here when an exception occurs"

JAVA_PROGRAM = """
%s
public class Sample {
    public static void main(String[] arguments) throws Exception {
        String presignedUrl = arguments[0];
        byte[] preRecordedAudio = java.nio.file.Files.readAllBytes(java.nio.file.Path.of(arguments[1]));
        %s
    }
}
"""
NODE_PROGRAM = """
import { readFileSync } from "node:fs";
const [presignedUrl, path] = process.argv.slice(-2);
const preRecordedAudio = new File([readFileSync(path)], "take.wav");
await %s
"""


@pytest.fixture
def dataset_id(api: Api) -> str:
    return str(api.post("/api/v1/datasets", {"name": "samples"}, 201)["id"])


@pytest.fixture
def run(appliance: Appliance, dataset_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run blocks one after another in one namespace, as one script."""
    for name in NAMES:
        (tmp_path / name).write_bytes(loud_wav())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELAY_API_KEY", appliance.key)
    namespace: dict[str, Any] = {}

    def run_blocks(*blocks: str, **ids: str) -> dict[str, Any]:
        namespace.update(ids)
        for block in blocks:
            code = block.replace("https://api.relayai.dev", appliance.url).replace("your-dataset-id", dataset_id)
            exec(code.replace("your-inference-job-id", ids.get("inference_job_id", "")), namespace)
        return namespace

    return run_blocks


def ended_audio(api: Api, dataset_id: str, audio_id: str) -> str:
    """Wait until the audio is processed. Returns its status."""

    def ended() -> str | None:
        status = str(api.get(f"/api/v1/datasets/{dataset_id}/audio/{audio_id}")["processing_status"])
        return status if status in ("ready", "failed") else None

    return wait_for(ended)


def test_an_upload_to_a_dataset(
    run: Run, api: Api, dataset_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = run(page_samples.REQUEST, page_samples.UPLOAD, page_samples.CONFIRM)
    assert set(script["upload_info"]) == {"upload_url", "fields", "audio_id", "expires_in"}
    assert script["confirmation"] == {
        "audio_id": script["upload_info"]["audio_id"],
        "status": "normalizing",
        "message": "Upload confirmed. Processing started.",
    }
    audio_id = script["upload_info"]["audio_id"]
    assert ended_audio(api, dataset_id, audio_id) == "ready"
    run(page_samples.STATUS, page_samples.DOWNLOAD, page_samples.NORMALIZED, audio_id=audio_id)
    normalized = requests.get(script["response"].json()["download_url"]).content
    assert soundfile.info(io.BytesIO(normalized)).samplerate == 16_000
    run(page_samples.FAILED)
    assert capsys.readouterr().out == "Upload successful\nStatus: normalizing\nProcessing status: ready\n"
    assert (tmp_path / "downloaded_audio.wav").read_bytes() == loud_wav()
    assert script["audio"]["processing_status"] == "ready"


def test_a_bulk_upload_with_five_threads(
    run: Run, api: Api, dataset_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script = run(page_samples.REQUEST, page_samples.BULK)
    assert capsys.readouterr().out == "Uploaded 3 files\n"
    assert len(set(script["audio_ids"])) == 3
    assert {ended_audio(api, dataset_id, audio_id) for audio_id in script["audio_ids"]} == {"ready"}


def test_an_upload_for_inference(run: Run, api: Api) -> None:
    job = api.make_job()
    run(page_samples.REQUEST, page_samples.INFERENCE, inference_job_id=job)
    [file] = api.finished_job(job)["files"]
    assert (file["original_filename"], file["detections"]) == ("test_audio.wav", LOUD_DETECTIONS)


def test_audio_that_failed_is_deleted(
    run: Run, api: Api, dataset_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audio_sample.wav").write_bytes(b"no recording")
    audio_id = run(page_samples.REQUEST, page_samples.UPLOAD, page_samples.CONFIRM)["upload_info"]["audio_id"]
    assert ended_audio(api, dataset_id, audio_id) == "failed"
    run(page_samples.FAILED, audio_id=audio_id)
    assert "Processing failed: " in capsys.readouterr().out
    api.get(f"/api/v1/datasets/{dataset_id}/audio/{audio_id}", 404)


# --- the page on asynchronous transcription -----------------------------------------------------------------------


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "take.wav"
    file.write_bytes(loud_wav())
    return file


def put_with_java(url: str, recording: Path) -> str:
    """Return what the Java of the page prints, with code where its comments ask for the user's own."""
    java = shutil.which("java")
    assert java, "The tests need a JDK. Run scripts/install-jdk."
    code = with_code(page_samples.JAVA, 'System.out.print("successful");', 'System.out.print("unsuccessful");')
    imports, _, statements = code.partition("\n\n")
    source = recording.with_name("Sample.java")
    source.write_text(JAVA_PROGRAM % (imports, statements))
    return output_of([java, str(source), url, str(recording)])


def put_with_node(url: str, recording: Path) -> str:
    """Return what the TypeScript of the page prints under Node, with code where its comments ask for the user's own."""
    code = with_code(page_samples.TYPESCRIPT, 'console.log("successful");', 'console.log("unsuccessful");')
    source = recording.with_name("sample.mts")
    source.write_text(NODE_PROGRAM % code.replace(EXCEPTION, "throw error;").strip())
    return output_of([str(browser.NODE), str(source), url, str(recording)]).strip()


def put_with_python(url: str, recording: Path) -> str:
    """Return whether the Python of the page read a success."""
    namespace: dict[str, Any] = {"presigned_url": url, "pre_recorded_audio": recording.read_bytes()}
    exec(page_samples.PYTHON, namespace)
    return "successful" if namespace["response"].ok else "unsuccessful"


def with_code(sample: str, successful: str, unsuccessful: str) -> str:
    """Replace the comments that ask for code."""
    assert (sample.count(SUCCESSFUL), sample.count(UNSUCCESSFUL)) == (1, 1)
    return sample.replace(SUCCESSFUL, successful).replace(UNSUCCESSFUL, unsuccessful)


def output_of(command: list[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("put", [put_with_java, put_with_node, put_with_python])
def test_a_recording_is_put_and_its_transcription_ends(
    api: Api, recording: Path, put: Callable[[str, Path], str]
) -> None:
    body = {"fileName": recording.name, "contentType": "audio/wav", "modelId": "loud-frames"}
    upload = api.post("/api/generate-presigned-url", body)
    assert put(upload["presignedUrl"], recording) == "successful"

    def ended() -> Any:
        path = f"/api/get-transcription?transcriptionId={upload['transcriptionId']}"
        transcription = api.get(path)
        return transcription if transcription["status"] in ("completed", "failed") else None

    transcription = wait_for(ended)
    assert transcription["status"] == "completed"
    assert [(span["startMs"], span["endMs"]) for span in transcription["detections"]] == [(1160, 1742)]


@pytest.mark.parametrize("put", [put_with_java, put_with_node, put_with_python])
def test_a_changed_url_is_an_unsuccessful_request(api: Api, recording: Path, put: Callable[[str, Path], str]) -> None:
    upload = api.post("/api/generate-presigned-url", {"fileName": "take.wav", "contentType": "audio/wav"})
    changed = upload["presignedUrl"].replace("X-Amz-Signature=", "X-Amz-Signature=0")
    assert put(changed, recording) == "unsuccessful"
