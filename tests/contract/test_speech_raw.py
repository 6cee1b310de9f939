"""The raw door, driven by the client that its hosted service publishes, and by plain requests where it has no call."""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import assemblyai
import pytest
import requests
import soundfile

from appliance.state.database import Database
from tests.support.appliances import ROOT, Api, Appliance, peak_bytes, wait_for

SPEECH = ROOT / "appliance" / "samples" / "speech.flac"
MEBIBYTE = 1024**2


@pytest.fixture
def client(appliance: Appliance) -> assemblyai.Transcriber:
    """The published client, told this appliance's URL and key and nothing else."""
    assemblyai.settings.base_url = appliance.url
    assemblyai.settings.api_key = appliance.key
    assemblyai.settings.polling_interval = 0.1
    return assemblyai.Transcriber()


@pytest.fixture
def door(api: Api) -> Door:
    return Door(api.url, api.key or "")


class Door:
    """The raw door as a client without a library finds it."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.headers = {"Authorization": key}

    def raw(self, method: str, path: str, **options: Any) -> requests.Response:
        options["headers"] = self.headers | options.get("headers", {})
        return requests.request(method, f"{self.url}/v2{path}", timeout=60, **options)

    def call(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        response = self.raw(method, path, **options)
        assert response.status_code == status, response.text
        return response.json()

    def upload(self, content: Any) -> str:
        return self.call("POST", "/upload", data=content)["upload_url"]

    def ask(self, audio_url: str, status: int = 200, **options: Any) -> Any:
        return self.call("POST", "/transcript", status, json={"audio_url": audio_url} | options)

    def finished(self, transcript_id: str) -> Any:
        def ended() -> Any:
            found = self.call("GET", f"/transcript/{transcript_id}")
            return found if found["status"] in ("completed", "error") else None

        return wait_for(ended)


@pytest.fixture(scope="module")
def heard(appliance: Appliance) -> Any:
    """A transcript of the speech clip, completed."""
    door = Door(appliance.url, appliance.key)
    return door.finished(door.ask(door.upload(SPEECH.read_bytes()))["id"])


def test_the_published_client_uploads_transcribes_and_reads(client: assemblyai.Transcriber) -> None:
    transcript = client.transcribe(str(SPEECH))
    assert transcript.status == assemblyai.TranscriptStatus.completed, transcript.error
    assert_right(transcript.text or "")
    assert " ".join(word.text for word in transcript.words or []) == transcript.text
    assert transcript.audio_duration == round(soundfile.info(SPEECH).duration)
    assert transcript.get_sentences()
    assert " ".join(each.text for each in transcript.get_paragraphs()) == transcript.text
    assert transcript.export_subtitles_srt().startswith("1\n00:00:0")
    assert transcript.export_subtitles_vtt(chars_per_caption=32).startswith("WEBVTT\n\n00:00:0")
    assert transcript.id in [each.id for each in client.list_transcripts().transcripts]
    assert assemblyai.Transcript.get_by_id(transcript.id).text == transcript.text
    assert assemblyai.Transcript.delete_by_id(transcript.id).text == transcript.text
    with pytest.raises(assemblyai.TranscriptError, match="no such transcript"):
        assemblyai.Transcript.get_by_id(transcript.id)


def test_the_published_client_sends_bytes_and_files(client: assemblyai.Transcriber) -> None:
    for source in (SPEECH.read_bytes(), io.BytesIO(SPEECH.read_bytes())):
        assert client.transcribe(source).text


def test_what_the_published_client_is_refused_it_is_told(client: assemblyai.Transcriber) -> None:
    config = assemblyai.TranscriptionConfig(speaker_labels=True, sentiment_analysis=True)
    with pytest.raises(assemblyai.TranscriptError, match="sentiment_analysis, speaker_labels: not supported"):
        client.transcribe(str(SPEECH), config)
    assemblyai.settings.api_key = "ak_wrong"
    with pytest.raises(assemblyai.TranscriptError, match="The API key is unknown"):
        assemblyai.Transcriber().transcribe(str(SPEECH))


def test_a_recording_that_is_none_ends_in_error(door: Door) -> None:
    ended = door.finished(door.ask(door.upload(b"no recording"))["id"])
    assert ended["status"] == "error"
    assert "not a recording" in ended["error"]
    assert (ended["text"], ended["words"], ended["audio_duration"]) == (None, None, None)


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "audio/flac", "x-www-form-urlencoded"])
def test_a_body_counts_whatever_its_type(door: Door, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    url = door.call("POST", "/upload", data=SPEECH.read_bytes(), headers=headers)["upload_url"]
    assert re.fullmatch(re.escape(door.url) + r"/v2/upload/[0-9a-f-]{36}", url)
    assert door.finished(door.ask(url)["id"])["status"] == "completed"


def test_a_body_may_come_in_chunks_of_unknown_number(door: Door, heard: Any) -> None:
    content = SPEECH.read_bytes()
    url = door.upload(content[at : at + 10_000] for at in range(0, len(content), 10_000))
    assert door.finished(door.ask(url)["id"])["text"] == heard["text"]


def test_a_large_body_passes_without_touching_memory(appliance: Appliance, door: Door) -> None:
    before = {name: peak_bytes(appliance.pid(name)) for name in ("api", "frontdoor")}

    def body() -> Iterator[bytes]:
        for _ in range(200):
            yield bytes(MEBIBYTE)

    assert door.upload(body())
    for name, peak in before.items():
        assert peak_bytes(appliance.pid(name)) - peak < 64 * MEBIBYTE, name


def test_a_body_that_breaks_off_leaves_nothing(appliance: Appliance, door: Door) -> None:
    state = Database(appliance.data_dir / "appliance.db")

    def rows() -> int:
        return len(state.all("SELECT 1 FROM media WHERE status = 'pending'"))

    before = rows()
    url = urlsplit(door.url)
    for framing in ("Content-Length: 90000000", "Transfer-Encoding: chunked"):
        with socket.create_connection((url.hostname, url.port)) as connection:
            key = door.headers["Authorization"]
            head = f"POST /v2/upload HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: {key}\r\n{framing}\r\n\r\n"
            body = bytes(20 * MEBIBYTE)
            connection.sendall(head.encode() + (b"1400000\r\n" if "chunked" in framing else b"") + body)
            wait_for(lambda: rows() == before + 1)
        wait_for(lambda: rows() == before)


def test_only_an_upload_may_be_large(door: Door) -> None:
    large = {"audio_url": "x" * 2 * MEBIBYTE}
    assert "1048576" in door.call("POST", "/transcript", 413, json=large)["error"]


def test_an_upload_that_is_empty_or_unknown_is_refused(door: Door) -> None:
    assert "empty" in door.call("POST", "/upload", 400, data=b"")["error"]
    unknown = f"{door.url}/v2/upload/00000000-0000-4000-8000-000000000000"
    assert door.ask(unknown, 403)["error"] == "Cannot access uploaded file"


def test_an_upload_is_its_tenants(door: Door, other: Api, heard: Any) -> None:
    stranger = Door(other.url, other.key or "")
    assert stranger.ask(heard["audio_url"], 403) == {"error": "Cannot access uploaded file"}
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/sentences"), ("GET", "/srt")):
        stranger.call(method, f"/transcript/{heard['id']}{path}", 404)
    assert stranger.call("GET", "/transcript")["transcripts"] == []
    stranger.call("GET", "/transcript", 400, params={"before_id": heard["id"]})


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/take.mp3",
        "http://127.0.0.1:1/v2/upload/00000000-0000-4000-8000-000000000000",
        "{origin}/v2/upload/../../healthz",
        "{origin}/v2/upload/",
        "{origin}@example.com/v2/upload/00000000-0000-4000-8000-000000000000",
        "file:///etc/passwd",
        "",
    ],
)
def test_no_other_url_is_taken(door: Door, url: str) -> None:
    assert "audio_url" in door.ask(url.format(origin=door.url), 400)["error"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": ""}, {"Authorization": "ak_wrong"}])
def test_a_key_is_needed(appliance: Appliance, headers: dict[str, str]) -> None:
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
        ("webhook_url", "http://10.0.0.1/"),
        ("temperature", 0),
        ("no_such_option", 1),
        ("language_code", "de"),
        ("language_codes", ["en", "fr"]),
        ("punctuate", False),
        ("format_text", False),
        ("speech_model", "slam-1"),
        ("speech_model", "loud-frames"),
        ("speech_models", ["universal-2"]),
    ],
)
def test_an_option_that_is_not_honoured_is_named(door: Door, heard: Any, option: str, value: Any) -> None:
    assert option in door.ask(heard["audio_url"], 400, **{option: value})["error"]


def test_an_option_that_is_honoured_is_taken(door: Door, heard: Any) -> None:
    nothing: dict[str, Any] = {"speaker_labels": False, "auto_chapters": None, "word_boost": [], "keyterms_prompt": []}
    english = {"language_code": "en_us", "punctuate": True, "format_text": True}
    models = {"speech_models": ["universal-2", "moonshine-tiny-en"]}
    made = door.ask(heard["audio_url"], **nothing, **english, **models)
    assert made["speech_model_used"].startswith("moonshine-tiny-en@")
    assert made["language_code"] == "en_us"
    assert door.ask(heard["audio_url"], speech_model="best")["speech_model_used"] == made["speech_model_used"]


def test_results_wait_for_completion(door: Door) -> None:
    failed = door.finished(door.ask(door.upload(b"no recording"))["id"])
    for path in ("sentences", "paragraphs", "srt", "vtt"):
        assert "once it is completed" in door.call("GET", f"/transcript/{failed['id']}/{path}", 400)["error"]


def test_pages_lead_to_one_another(appliance: Appliance) -> None:
    api = appliance.api_of("paging", "paging")
    door = Door(api.url, api.key or "")
    url = door.upload(SPEECH.read_bytes())
    made = [door.ask(url)["id"] for _ in range(5)]

    def page(**query: Any) -> tuple[list[str], dict[str, Any]]:
        found = door.call("GET", "/transcript", params=query)
        return [each["id"] for each in found["transcripts"]], found["page_details"]

    first, details = page(limit=2)
    assert first == made[:2:-1]
    older = requests.get(details["prev_url"], headers=door.headers).json()
    assert [each["id"] for each in older["transcripts"]] == made[2:0:-1]
    newer = requests.get(older["page_details"]["next_url"], headers=door.headers).json()
    assert [each["id"] for each in newer["transcripts"]] == first
    for each in made:
        assert door.finished(each)["status"] == "completed"
    assert page(status="completed")[0] == made[::-1]
    assert page(status="queued")[0] == []
    assert page(created_on="2001-01-01")[0] == []
    door.call("GET", "/transcript", 400, params={"throttled_only": "true"})


def test_deleting_the_last_transcript_deletes_the_upload(door: Door) -> None:
    url = door.upload(SPEECH.read_bytes())
    first, second = door.ask(url)["id"], door.ask(url)["id"]
    door.call("DELETE", f"/transcript/{first}")
    assert door.finished(second)["status"] == "completed"
    door.call("DELETE", f"/transcript/{second}")
    door.call("GET", f"/transcript/{second}", 404)
    door.ask(url, 403)


def assert_right(text: str) -> None:
    """The text of the speech sample is right to within two words."""
    said, heard = (re.findall(r"[a-z']+", each.lower()) for each in (SPEECH.with_suffix(".txt").read_text(), text))
    assert edits(said, heard) <= 2, text


def edits(left: list[str], right: list[str]) -> int:
    """The fewest words to insert, delete or replace to make one of the other."""
    row = list(range(len(right) + 1))
    for i, word in enumerate(left, start=1):
        above, row = row, [i]
        for j, other in enumerate(right, start=1):
            row.append(min(row[-1] + 1, above[j] + 1, above[j - 1] + (word != other)))
    return row[-1]
