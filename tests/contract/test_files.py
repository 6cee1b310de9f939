"""Files of a job: request, upload, confirm, read and download them."""

from __future__ import annotations

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.contract.test_crashes import completions
from tests.support.appliances import Api, Appliance, on_seaweedfs, post_form
from tests.support.encoded_files import KINDS, encode, noise, video_only, wav
from tests.support.toy_recordings import LOUD_DETECTIONS, LOUD_DURATION_MS, loud_wav

JOBS = "/api/v1/inference-jobs"
LIMIT = 500 * 1024**2


@pytest.fixture
def job_id(api: Api) -> str:
    return api.make_job()


def test_from_form_to_detections(api: Api, job_id: str) -> None:
    content = loud_wav()
    form = api.request_upload(job_id, len(content))
    assert set(form) == {"upload_url", "upload_fields", "file_id", "expires_in"}
    assert form["expires_in"] == 3600
    uuid.UUID(form["file_id"])
    pending = {
        "id": form["file_id"],
        "file_id": form["file_id"],
        "original_filename": "take.wav",
        "status": "pending",
        "detection_count": 0,
        "detections": [],
        "detections_truncated": False,
        "error_message": None,
        "error_code": None,
        "duration_ms": None,
        "config": {"threshold": 0.5, "merge_window_ms": 200, "min_duration_ms": 50},
        "redetection": None,
        "scores_kept": False,
        "verdict": None,
        "verdict_reasons": [],
    }
    assert api.file(job_id, form["file_id"]) == pending
    post_form(form, content)
    assert api.file(job_id, form["file_id"]) == pending
    confirmed = api.confirm(job_id, form["file_id"])
    assert (confirmed["file_id"], confirmed["status"]) == (form["file_id"], "queued")
    assert confirmed["message"]
    job = api.finished_job(job_id)
    completed = pending | {
        "status": "completed",
        "detection_count": 1,
        "detections": LOUD_DETECTIONS,
        "duration_ms": LOUD_DURATION_MS,
        "scores_kept": True,
    }
    assert (job["status"], job["files"]) == ("completed", [completed])
    assert api.file(job_id, form["file_id"]) == completed


def test_a_form_has_the_fields_of_signature_version_4(api: Api, job_id: str) -> None:
    fields = api.request_upload(job_id, 100)["upload_fields"]
    assert {name.lower() for name in fields} == {
        "key",
        "content-type",
        "policy",
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-signature",
        *([] if on_seaweedfs else ["x-amz-security-token"]),
    }
    assert fields["x-amz-algorithm"] == "AWS4-HMAC-SHA256"
    assert fields["Content-Type"] == "audio/wav"


@pytest.mark.parametrize(
    ("declared", "canonical"),
    [
        ("audio/wav", "audio/wav"),
        ("audio/x-wav", "audio/wav"),
        ("audio/wave", "audio/wav"),
        ("audio/vnd.wave", "audio/wav"),
        ("AUDIO/WAV", "audio/wav"),
        ("audio/wav; codecs=1", "audio/wav"),
        ("audio/mpeg", "audio/mpeg"),
        ("audio/mp3", "audio/mpeg"),
        ("audio/mp4", "audio/mp4"),
        ("audio/x-m4a", "audio/mp4"),
        ("audio/ogg", "audio/ogg"),
        ("audio/ogg; codecs=opus", "audio/ogg"),
        ("application/ogg", "audio/ogg"),
        ("audio/flac", "audio/flac"),
        ("audio/x-flac", "audio/flac"),
        ("audio/webm;codecs=opus", "audio/webm"),
        ("audio/aac", "audio/aac"),
        ("audio/aacp", "audio/aac"),
    ],
)
def test_seven_content_types_and_their_other_names_are_accepted(
    api: Api, job_id: str, declared: str, canonical: str
) -> None:
    assert api.request_upload(job_id, 100, content_type=declared)["upload_fields"]["Content-Type"] == canonical


@pytest.mark.parametrize("declared", ["", "audio", "audio/", "audio/x", "text/plain", "image/png", "*/*"])
def test_another_type_is_a_400(api: Api, job_id: str, declared: str) -> None:
    problem = api.request_upload(job_id, 100, content_type=declared, status=400)
    assert problem["code"] == "unsupported_content_type"
    assert "content_type" in problem["detail"]
    assert api.job(job_id)["total_files"] == 0


@pytest.mark.parametrize(
    ("size", "status"),
    [
        *((wrong, 400) for wrong in (0, -1, "x", "100", 1.5, True, None)),
        *((large, 413) for large in (LIMIT + 1, 10**30)),
    ],
)
def test_a_wrong_size_is_refused(api: Api, job_id: str, size: Any, status: int) -> None:
    assert "file_size_bytes" in api.request_upload(job_id, size, status=status)["detail"]
    assert api.job(job_id)["total_files"] == 0


@pytest.mark.parametrize("size", [1, LIMIT])
def test_the_smallest_and_the_largest_size_are_allowed(api: Api, job_id: str, size: int) -> None:
    api.request_upload(job_id, size)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content_type": "audio/wav"}, "file_size_bytes"),
        ({"file_size_bytes": 1}, "content_type"),
        ({"filename": 1, "content_type": "audio/wav", "file_size_bytes": 1}, "filename"),
        ({"filename": "a" * 1025, "content_type": "audio/wav", "file_size_bytes": 1}, "filename"),
        ({"content_type": None, "file_size_bytes": 1}, "content_type"),
        ({"content_type": "audio/wav", "file_size_bytes": 1, "file_size": 1}, "file_size"),
        ([], "body"),
    ],
)
def test_a_malformed_upload_request_is_a_400_that_names_the_field(api: Api, job_id: str, body: Any, field: str) -> None:
    assert field in api.post(f"{JOBS}/{job_id}/files/upload-url", body, 400)["detail"]


NAMES = [
    "take 1.wav",
    "../../etc/passwd",
    "a/b\\c.wav",
    "C:\\sounds\\take.wav",
    "tab\tnewline\nreturn\rbell\x07.wav",
    "x" * 296 + ".wav",
    "Größe – 音声 🎧.wav",
    "quote \" and ' and ; and %41.wav",
    "${filename}",
    "{http.request.uuid}",
    "-rf",
    ".",
    "",
    "\u202egpj.wav",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_name_is_kept_as_it_is_and_downloads_under_a_safe_one(api: Api, job_id: str, name: str) -> None:
    content = loud_wav(20, [])
    file_id = api.upload(job_id, content, name=name)
    assert api.file(job_id, file_id)["original_filename"] == name
    download = requests.get(api.get(f"{JOBS}/{job_id}/files/{file_id}/download-url")["url"])
    assert (download.status_code, download.content) == (200, content)
    assert download.headers["Content-Type"] == "audio/wav"
    disposition = download.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=")
    assert not re.search(r"[\x00-\x1f\x7f/\\]", disposition)


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("take 1.wav", 'attachment; filename="take 1.wav"'),
        ("Größe.wav", "attachment; filename=\"Große.wav\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.wav"),
        ("../a.wav", 'attachment; filename="a.wav"'),
    ],
)
def test_a_download_has_its_own_file_name(api: Api, job_id: str, name: str, disposition: str) -> None:
    file_id = api.upload(job_id, b"RIFF", name=name)
    download = requests.get(api.get(f"{JOBS}/{job_id}/files/{file_id}/download-url")["url"])
    expected = disposition.replace("Große", "Gro_e")  # the name for old clients is ASCII
    assert download.headers["Content-Disposition"] == expected


def test_a_download_supports_range(api: Api, job_id: str) -> None:
    content = loud_wav()
    file_id = api.send(job_id, content)
    download = api.get(f"{JOBS}/{job_id}/files/{file_id}/download-url")
    assert download["expires_in"] == 3600
    part = requests.get(download["url"], headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(content)}"
    assert requests.get(download["url"], headers={"Range": "bytes=-10"}).content == content[-10:]
    assert requests.get(download["url"], headers={"Range": f"bytes={len(content)}-"}).status_code == 416


def test_a_download_url_before_the_upload_is_a_409(api: Api, job_id: str) -> None:
    file_id = api.request_upload(job_id, 100)["file_id"]
    assert api.get(f"{JOBS}/{job_id}/files/{file_id}/download-url", 409)["code"] == "not_uploaded"


def test_a_confirm_before_the_upload_is_a_409_and_works_after_it(api: Api, job_id: str) -> None:
    content = loud_wav()
    form = api.request_upload(job_id, len(content))
    assert api.confirm(job_id, form["file_id"], 409)["code"] == "not_uploaded"
    assert api.file(job_id, form["file_id"])["status"] == "pending"
    post_form(form, content)
    api.confirm(job_id, form["file_id"])
    assert api.finished_job(job_id)["status"] == "completed"


def test_a_second_confirm_changes_nothing(api: Api, job_id: str) -> None:
    file_id = api.upload(job_id, loud_wav())
    first = api.confirm(job_id, file_id)
    assert api.confirm(job_id, file_id) == first
    job = api.finished_job(job_id)
    assert api.confirm(job_id, file_id) == first
    assert api.job(job_id) == job
    assert job["files"][0]["detections"] == LOUD_DETECTIONS


def test_many_confirms_at_once_queue_the_file_once(appliance: Appliance, api: Api, job_id: str) -> None:
    file_id = api.upload(job_id, loud_wav())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Api(api.url, api.key).confirm(job_id, file_id), range(16)))
    assert api.finished_job(job_id)["files"][0]["detections"] == LOUD_DETECTIONS
    assert completions(appliance, file_id) == 1


def test_a_job_that_is_cancelled_during_its_uploads_ends(api: Api, job_id: str) -> None:
    """Whether an upload or the cancel comes first: in the end every file has ended, and no more are accepted."""

    def send(number: int) -> int:
        client = Api(api.url, api.key)
        if number == 12:
            client.cancel(job_id)
        body = {"filename": "a", "content_type": "audio/wav", "file_size_bytes": len(content)}
        response = client.response("POST", f"{JOBS}/{job_id}/files/upload-url", json=body)
        if response.status_code == 200:
            post_form(response.json(), content)
            client.response("POST", f"{JOBS}/{job_id}/files/confirm", json={"file_id": response.json()["file_id"]})
        return response.status_code

    content = loud_wav()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(send, range(24)))
    assert set(statuses) == {200, 409}
    job = api.job(job_id)
    assert (job["status"], job["total_files"]) == ("cancelled", statuses.count(200))
    assert job["processed_files"] == job["total_files"]
    assert {file["status"] for file in job["files"]} <= {"completed", "cancelled"}


def test_an_upload_of_the_wrong_size_is_a_400_and_can_be_repeated(api: Api, job_id: str) -> None:
    content = loud_wav()
    form = api.request_upload(job_id, len(content))
    post_form(form, content[:-2], 400)
    assert api.confirm(job_id, form["file_id"], 409)["code"] == "not_uploaded"
    assert api.file(job_id, form["file_id"])["status"] == "pending"
    post_form(form, content)
    api.confirm(job_id, form["file_id"])
    assert api.finished_job(job_id)["files"][0]["detections"] == LOUD_DETECTIONS


@pytest.mark.parametrize("body", [{}, {"file_id": 1}, {"file_id": None}, {"id": "x"}, [], "x"])
def test_a_malformed_confirm_is_a_400(api: Api, job_id: str, body: Any) -> None:
    api.post(f"{JOBS}/{job_id}/files/confirm", body, 400)


@pytest.mark.parametrize("file_id", ["nothing", "00000000-0000-0000-0000-000000000000", "'"])
def test_an_unknown_file_id_is_a_404(api: Api, job_id: str, file_id: str) -> None:
    assert api.confirm(job_id, file_id, 404)["code"] == "not_found"
    api.get(f"{JOBS}/{job_id}/files/{file_id}", 404)
    api.get(f"{JOBS}/{job_id}/files/{file_id}/download-url", 404)


def test_a_file_belongs_to_its_job_alone(api: Api, job_id: str) -> None:
    file_id = api.upload(job_id, loud_wav())
    another = api.make_job()
    api.confirm(another, file_id, 404)
    api.get(f"{JOBS}/{another}/files/{file_id}", 404)
    api.get(f"{JOBS}/{another}/files/{file_id}/download-url", 404)


def test_a_bad_file_fails_with_its_reason_and_its_neighbours_complete(api: Api, job_id: str) -> None:
    bad = {
        "corrupt_audio": b"Dear Sir or Madam, " * 100,
        "audio_too_short": wav(noise(16_000, 0.05), 16_000),
        "no_audio_stream": video_only(),
        "unsupported_audio": wav(noise(4_000, 1), 4_000),
    }
    bad_ids = {}
    good = [api.send(job_id, loud_wav())]
    for code, content in bad.items():
        bad_ids[code] = api.send(job_id, content)
        good.append(api.send(job_id, loud_wav()))
    job = api.finished_job(job_id)
    files = {file["id"]: file for file in job["files"]}
    assert (job["status"], job["processed_files"], job["error_message"]) == ("completed", 9, None)
    for code, file_id in bad_ids.items():
        file = files[file_id]
        assert (file["status"], file["error_code"]) == ("failed", code), file
        assert file["error_message"].endswith(".")
        assert (file["detection_count"], file["detections"], file["duration_ms"]) == (0, [], None)
    for file_id in good:
        assert files[file_id]["detections"] == LOUD_DETECTIONS


def test_a_cut_upload_is_refused_by_its_size(api: Api, job_id: str) -> None:
    """A form takes the declared size alone, so storage refuses what is left of a cut upload."""
    form = api.request_upload(job_id, 100)
    post_form(form, b"", 400)
    assert api.confirm(job_id, form["file_id"], 409)["code"] == "not_uploaded"


@pytest.mark.parametrize("kind", ["wav", "mp3", "m4a", "ogg", "flac", "webm", "aac"])
def test_every_format_is_decoded(api: Api, job_id: str, kind: str) -> None:
    """Two seconds at 48 kHz, loud from 1.0 to 1.5 s; lossy codecs may smear a frame or two."""
    samples = noise(48_000, 2, level=0.0005)
    samples[48_000:72_000] = noise(48_000, 0.5, level=0.4)
    content_type = {"wav": "wav", "mp3": "mpeg", "m4a": "mp4"}.get(kind, kind)
    name = f"take.{KINDS[kind].extension}"
    file_id = api.send(job_id, encode(kind, samples, 48_000), name=name, content_type=f"audio/{content_type}")
    file = api.finished_file(job_id, file_id)
    assert file["detection_count"] == 1, file
    detection = file["detections"][0]
    assert detection["start_ms"] == pytest.approx(1000, abs=25)
    assert detection["end_ms"] == pytest.approx(1500, abs=25)


def test_each_model_scores_its_own_jobs(api: Api) -> None:
    jobs = {model: api.make_job(model) for model in ("loud-frames", "loud-windows", "loud-softmax", "loud-single")}
    for job_id in jobs.values():
        api.send(job_id, loud_wav(), name=f"{job_id}.wav")
    spans = {}
    for model, job_id in jobs.items():
        detections = api.finished_job(job_id)["files"][0]["detections"]
        assert {detection["artifact_type"] for detection in detections} == {"loud"}
        spans[model] = (detections[0]["start_ms"], detections[-1]["end_ms"])
    assert spans["loud-softmax"] == spans["loud-single"]
    assert spans["loud-frames"] == (1160, 1742)
    for start_ms, end_ms in spans.values():
        assert start_ms <= 1170
        assert end_ms >= 1740


def test_urls_follow_the_host_that_the_client_used(appliance: Appliance, api: Api, job_id: str) -> None:
    port = appliance.url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost"):
        origin = f"http://{host}:{port}"
        client = Api(origin, api.key)
        content = loud_wav()
        form = client.request_upload(job_id, len(content))
        assert form["upload_url"] == f"{origin}/audio"
        post_form(form, content)
        client.confirm(job_id, form["file_id"])
        url = client.get(f"{JOBS}/{job_id}/files/{form['file_id']}/download-url")["url"]
        assert url.startswith(f"{origin}/audio/")
        assert requests.get(url).content == content


def test_urls_follow_the_scheme_of_a_tunnel(api: Api, job_id: str) -> None:
    form = api.call(
        "POST",
        f"{JOBS}/{job_id}/files/upload-url",
        200,
        json={"filename": "a", "content_type": "audio/wav", "file_size_bytes": 1},
        headers={"X-Forwarded-Proto": "https", "Host": "box.example"},
    )
    assert form["upload_url"] == "https://box.example/audio"


@pytest.mark.parametrize("host", ["x:port", "a'b", "a(b)", "x;y", "x%41"])
def test_an_invalid_host_is_refused(api: Api, job_id: str, host: str) -> None:
    body = {"filename": "a", "content_type": "audio/wav", "file_size_bytes": 1}
    problem = api.post(f"{JOBS}/{job_id}/files/upload-url", body, 400, headers={"Host": host})
    assert "Host" in problem["detail"]
