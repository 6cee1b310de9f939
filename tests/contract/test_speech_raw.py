"""The raw route, called by the client library of the hosted service and, if that has no call, by plain requests."""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import assemblyai
import numpy as np
import pytest
import requests
import soundfile

from appliance.engine.decode.png import from_png
from appliance.state.database import Database
from tests.support.appliances import PATIENCE_SECONDS, Api, Appliance, peak_bytes, wait_for
from tests.support.speech_sample import SAMPLE as SPEECH
from tests.support.speech_sample import wrong_words
from tests.support.toy_recordings import RATE_HZ, loud_wav
from tests.support.trainings import tenant_of

MEBIBYTE = 1024**2


@pytest.fixture
def client(appliance: Appliance) -> assemblyai.Transcriber:
    """The published client library. Only its URL and key are set."""
    assemblyai.settings.base_url = appliance.url
    assemblyai.settings.api_key = appliance.key
    assemblyai.settings.polling_interval = 0.1
    assemblyai.settings.http_timeout = PATIENCE_SECONDS
    return assemblyai.Transcriber()


@pytest.fixture
def raw(api: Api) -> RawClient:
    return RawClient(api.url, api.key or "")


class RawClient:
    """Calls the raw route with one key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.headers = {"Authorization": key}

    def response(self, method: str, path: str, **options: Any) -> requests.Response:
        options["headers"] = self.headers | options.get("headers", {})
        return requests.request(method, f"{self.url}/v2{path}", timeout=PATIENCE_SECONDS, **options)

    def call(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        response = self.response(method, path, **options)
        assert response.status_code == status, response.text
        return response.json()

    def upload(self, content: Any) -> str:
        return self.call("POST", "/upload", data=content)["upload_url"]

    def request_transcript(self, audio_url: str, status: int = 200, **options: Any) -> Any:
        return self.call("POST", "/transcript", status, json={"audio_url": audio_url} | options)

    def finished_transcript(self, transcript_id: str) -> Any:
        def ended() -> Any:
            transcript = self.call("GET", f"/transcript/{transcript_id}")
            return transcript if transcript["status"] in ("completed", "error") else None

        return wait_for(ended)


@pytest.fixture(scope="module")
def transcript(appliance: Appliance) -> Any:
    """A completed transcript of the speech sample."""
    raw = RawClient(appliance.url, appliance.key)
    return raw.finished_transcript(raw.request_transcript(raw.upload(SPEECH.read_bytes()))["id"])


def test_the_published_client_uploads_transcribes_and_reads(client: assemblyai.Transcriber) -> None:
    transcript = client.transcribe(str(SPEECH))
    assert transcript.status == assemblyai.TranscriptStatus.completed, transcript.error
    assert_sample_text(transcript.text or "")
    assert " ".join(word.text for word in transcript.words or []) == transcript.text
    assert transcript.audio_duration == round(soundfile.info(SPEECH).duration)
    assert transcript.get_sentences()
    assert " ".join(paragraph.text for paragraph in transcript.get_paragraphs()) == transcript.text
    assert transcript.export_subtitles_srt().startswith("1\n00:00:0")
    assert transcript.export_subtitles_vtt(chars_per_caption=32).startswith("WEBVTT\n\n00:00:0")
    assert transcript.id in [listed.id for listed in client.list_transcripts().transcripts]
    assert assemblyai.Transcript.get_by_id(transcript.id).text == transcript.text
    assert assemblyai.Transcript.delete_by_id(transcript.id).text == transcript.text
    with pytest.raises(assemblyai.TranscriptError, match="no such transcript"):
        assemblyai.Transcript.get_by_id(transcript.id)


def test_the_published_client_sends_bytes_and_files(client: assemblyai.Transcriber) -> None:
    for source in (SPEECH.read_bytes(), io.BytesIO(SPEECH.read_bytes())):
        assert client.transcribe(source).text


def test_the_published_client_shows_why_a_request_was_refused(client: assemblyai.Transcriber) -> None:
    config = assemblyai.TranscriptionConfig(speaker_labels=True, sentiment_analysis=True)
    with pytest.raises(assemblyai.TranscriptError, match="sentiment_analysis, speaker_labels: not supported"):
        client.transcribe(str(SPEECH), config)
    assemblyai.settings.api_key = "ak_wrong"
    with pytest.raises(assemblyai.TranscriptError, match="The API key is unknown"):
        assemblyai.Transcriber().transcribe(str(SPEECH))


def test_an_undecodable_file_ends_in_error(raw: RawClient) -> None:
    ended = raw.finished_transcript(raw.request_transcript(raw.upload(b"no recording"))["id"])
    assert ended["status"] == "error"
    assert "not a recording" in ended["error"]
    assert (ended["text"], ended["words"], ended["audio_duration"]) == (None, None, None)


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "audio/flac", "x-www-form-urlencoded"])
def test_a_body_of_any_content_type_is_accepted(raw: RawClient, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    url = raw.call("POST", "/upload", data=SPEECH.read_bytes(), headers=headers)["upload_url"]
    assert re.fullmatch(re.escape(raw.url) + r"/v2/upload/[0-9a-f-]{36}", url)
    assert raw.finished_transcript(raw.request_transcript(url)["id"])["status"] == "completed"


def test_a_body_may_be_chunked(raw: RawClient, transcript: Any) -> None:
    content = SPEECH.read_bytes()
    url = raw.upload(content[at : at + 10_000] for at in range(0, len(content), 10_000))
    assert raw.finished_transcript(raw.request_transcript(url)["id"])["text"] == transcript["text"]


def test_a_large_body_is_never_held_in_memory(appliance: Appliance, raw: RawClient) -> None:
    before = {name: peak_bytes(appliance.pid(name)) for name in ("api", "frontdoor")}

    def body() -> Iterator[bytes]:
        for _ in range(200):
            yield bytes(MEBIBYTE)

    assert raw.upload(body())
    for name, peak in before.items():
        assert peak_bytes(appliance.pid(name)) - peak < 128 * MEBIBYTE, name


def test_a_body_that_breaks_off_leaves_nothing(appliance: Appliance) -> None:
    raw = RawClient(appliance.url, str(appliance.api_of("breaking-off", "breaking-off").key))
    tenant_id = tenant_of(appliance.data_dir, "breaking-off")
    state = Database(appliance.data_dir / "appliance.db")

    def rows() -> int:
        return len(state.all("SELECT 1 FROM media WHERE tenant_id = ?", [tenant_id]))

    url = urlsplit(raw.url)
    for framing in ("Content-Length: 90000000", "Transfer-Encoding: chunked"):
        with socket.create_connection((url.hostname, url.port)) as connection:
            key = raw.headers["Authorization"]
            head = f"POST /v2/upload HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: {key}\r\n{framing}\r\n\r\n"
            body = bytes(20 * MEBIBYTE)
            connection.sendall(head.encode() + (b"1400000\r\n" if "chunked" in framing else b"") + body)
            wait_for(lambda: rows() == 1)
        wait_for(lambda: rows() == 0)


def test_only_an_upload_may_be_large(raw: RawClient) -> None:
    large = {"audio_url": "x" * 2 * MEBIBYTE}
    assert "1048576" in raw.call("POST", "/transcript", 413, json=large)["error"]


def test_a_stretch_of_the_recording_is_heard_and_seen(raw: RawClient) -> None:
    recording = loud_wav()
    transcript = f"/transcript/{raw.request_transcript(raw.upload(recording))['id']}"
    path, picture = f"{transcript}/clip", f"{transcript}/spectrogram.png"
    seen = raw.response("GET", picture, params={"start_ms": 1000, "end_ms": 1500})
    assert (seen.status_code, seen.headers["Content-Type"]) == (200, "image/png")
    assert from_png(seen.content).shape == (256, -(-RATE_HZ // 2 // 256))
    clip = raw.response("GET", path, params={"start_ms": 1000, "end_ms": 1500})
    assert (clip.status_code, clip.headers["Content-Type"]) == (200, "audio/wav")
    heard, rate = soundfile.read(io.BytesIO(clip.content), dtype="float32")
    whole, own_rate = soundfile.read(io.BytesIO(recording), dtype="float32")
    assert rate == own_rate
    assert np.array_equal(heard, whole[rate : rate * 3 // 2])
    for start, end, status in ((1500, 1000, 400), (0, 30_001, 422), (2400, 2500, 416)):
        for one in (path, picture):
            raw.call("GET", one, status, params={"start_ms": start, "end_ms": end})


def test_an_upload_that_is_empty_or_unknown_is_refused(raw: RawClient) -> None:
    assert "empty" in raw.call("POST", "/upload", 400, data=b"")["error"]
    unknown = f"{raw.url}/v2/upload/00000000-0000-4000-8000-000000000000"
    assert raw.request_transcript(unknown, 403)["error"] == "Cannot access uploaded file"


def test_an_upload_is_known_under_every_name_of_the_appliance(raw: RawClient) -> None:
    url = raw.upload(b"no recording")
    named = RawClient(raw.url.replace("127.0.0.1", "localhost"), raw.headers["Authorization"])
    tunnel = {"X-Forwarded-Proto": "https"}
    for client, audio_url, headers in (
        (named, url, {}),
        (raw, url, tunnel),
        (raw, named.upload(b"no recording"), {}),
        (raw, url.replace("http://127.0.0.1", "https://box.example"), {}),
    ):
        created = client.call("POST", "/transcript", json={"audio_url": audio_url}, headers=headers)
        assert created["audio_url"].rpartition("/")[2] == audio_url.rpartition("/")[2]


def test_transcripts_of_the_other_routes_are_not_seen_here(appliance: Appliance) -> None:
    api = appliance.api_of("three-routes", "three-routes")
    raw = RawClient(api.url, api.key or "")
    body = {"fileName": "a.wav", "contentType": "audio/wav", "modelId": "loud-frames"}
    presigned = api.post("/api/generate-presigned-url", body)["transcriptionId"]
    bearer = {"Authorization": f"Bearer {api.key}"}
    form = [("files", ("a.wav", b"no recording"))]
    upload = api.call("POST", "/transcribe/files/upload", 202, files=form, headers=bearer)
    request = {"batch_upload_id": upload["batch_upload_id"]}
    batch = api.call("POST", "/transcribe/batch", 202, json=request, headers=bearer)
    own = raw.request_transcript(raw.upload(b"no recording"))["id"]
    assert [listed["id"] for listed in raw.call("GET", "/transcript")["transcripts"]] == [own]
    for hidden in (presigned, batch["transcripts"][0]["transcript_id"]):
        raw.call("GET", f"/transcript/{hidden}", 404)
        raw.call("DELETE", f"/transcript/{hidden}", 404)
    file_url = f"{raw.url}/v2/upload/{upload['files'][0]['file_id']}"
    assert raw.request_transcript(file_url, 403) == {"error": "Cannot access uploaded file"}
    api.get(f"/api/get-transcription?transcriptionId={presigned}")
    api.get(f"/transcribe/batch/{batch['batch_id']}", headers=bearer)
    api.get(f"/api/get-transcription?transcriptionId={own}", 404)


def test_an_upload_of_another_tenant_is_refused(raw: RawClient, other: Api, transcript: Any) -> None:
    other_tenant = RawClient(other.url, other.key or "")
    assert other_tenant.request_transcript(transcript["audio_url"], 403) == {"error": "Cannot access uploaded file"}
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/sentences"), ("GET", "/srt")):
        other_tenant.call(method, f"/transcript/{transcript['id']}{path}", 404)
    assert other_tenant.call("GET", "/transcript")["transcripts"] == []
    other_tenant.call("GET", "/transcript", 400, params={"before_id": transcript["id"]})


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/take.mp3",
        "{origin}/v2/upload/../../healthz",
        "{origin}/v2/upload/",
        "{origin}/v2/upload/00000000-0000-4000-8000-000000000000/more",
        "{origin}/v2/upload/00000000-0000-4000-8000-00000000000",
        "{origin}?/v2/upload/00000000-0000-4000-8000-000000000000",
        "ftp://127.0.0.1/v2/upload/00000000-0000-4000-8000-000000000000",
        "http://[::1/v2/upload/00000000-0000-4000-8000-000000000000",
        "/v2/upload/00000000-0000-4000-8000-000000000000",
        "file:///etc/passwd",
        "",
    ],
)
def test_any_other_url_is_refused(raw: RawClient, url: str) -> None:
    assert "audio_url" in raw.request_transcript(url.format(origin=raw.url), 400)["error"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": "ak_wrong"}])
def test_a_request_without_a_valid_key_is_a_401(appliance: Appliance, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/upload"), ("POST", "/transcript"), ("GET", "/transcript")):
        response = requests.request(method, f"{appliance.url}/v2{path}", headers=headers)
        assert response.status_code == 401


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("speaker_labels", True),
        ("auto_chapters", True),
        ("entity_detection", True),
        ("redact_pii", True),
        ("word_boost", ["relay"]),
        ("webhook_url", "http://8.8.8.8/"),
        ("temperature", 0),
        ("no_such_option", 1),
        ("language_code", "de"),
        ("language_codes", ["en", "fr"]),
        ("punctuate", False),
        ("format_text", False),
        ("speech_model", "no-such-model"),
        ("speech_model", "loud-frames"),
        ("speech_models", ["no-such-model"]),
    ],
)
def test_an_unsupported_option_is_named(raw: RawClient, transcript: Any, option: str, value: Any) -> None:
    assert option in raw.request_transcript(transcript["audio_url"], 400, **{option: value})["error"]


def test_a_supported_option_is_accepted(raw: RawClient, transcript: Any) -> None:
    empty: dict[str, Any] = {"speaker_labels": False, "auto_chapters": None, "word_boost": [], "keyterms_prompt": []}
    english: dict[str, Any] = {"language_code": "en_us", "punctuate": True, "format_text": True}
    models: dict[str, Any] = {"speech_models": ["universal-2", "moonshine-tiny-en"]}
    accepted = raw.request_transcript(transcript["audio_url"], **empty, **english, **models)
    assert accepted["speech_model_used"].startswith("moonshine-tiny-en@")
    assert accepted["language_code"] == "en_us"
    best = raw.request_transcript(transcript["audio_url"], speech_model="best")
    assert best["speech_model_used"] == accepted["speech_model_used"]


def test_results_of_a_failed_transcript_are_a_400(raw: RawClient) -> None:
    failed = raw.finished_transcript(raw.request_transcript(raw.upload(b"no recording"))["id"])
    for path in ("sentences", "paragraphs", "srt", "vtt"):
        assert "once it is completed" in raw.call("GET", f"/transcript/{failed['id']}/{path}", 400)["error"]


def test_pages_lead_to_one_another(appliance: Appliance) -> None:
    api = appliance.api_of("paging", "paging")
    raw = RawClient(api.url, api.key or "")
    url = raw.upload(SPEECH.read_bytes())
    ids = [raw.request_transcript(url)["id"] for _ in range(5)]

    def page(**query: Any) -> tuple[list[str], dict[str, Any]]:
        listing = raw.call("GET", "/transcript", params=query)
        return [transcript["id"] for transcript in listing["transcripts"]], listing["page_details"]

    first, details = page(limit=2)
    assert first == ids[:2:-1]
    older = requests.get(details["prev_url"], headers=raw.headers).json()
    assert [transcript["id"] for transcript in older["transcripts"]] == ids[2:0:-1]
    newer = requests.get(older["page_details"]["next_url"], headers=raw.headers).json()
    assert [transcript["id"] for transcript in newer["transcripts"]] == first
    for transcript_id in ids:
        assert raw.finished_transcript(transcript_id)["status"] == "completed"
    assert page(status="completed")[0] == ids[::-1]
    assert page(status="queued")[0] == []
    assert page(created_on="2001-01-01")[0] == []
    raw.call("GET", "/transcript", 400, params={"throttled_only": "true"})


def test_deleting_the_last_transcript_deletes_the_upload(raw: RawClient) -> None:
    url = raw.upload(SPEECH.read_bytes())
    first, second = raw.request_transcript(url)["id"], raw.request_transcript(url)["id"]
    raw.call("DELETE", f"/transcript/{first}")
    assert raw.finished_transcript(second)["status"] == "completed"
    raw.call("DELETE", f"/transcript/{second}")
    raw.call("GET", f"/transcript/{second}", 404)
    raw.request_transcript(url, 403)


def assert_sample_text(text: str) -> None:
    """Fail if more than two words of a transcript of the speech sample are wrong."""
    assert wrong_words(text) <= 2, text
