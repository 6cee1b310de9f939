"""Calls of the hosted service's other pages on the raw route: its quickstart, webhooks, word search, and its clients.

The scripts are those of the pages; only the base URL, the key and the names of files and receivers differ.
docs/compatibility.md lists the pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import assemblyai
import pytest

from appliance.state.database import Database
from tests.contract.test_speech_raw import RawClient, assert_sample_text
from tests.support import node_client
from tests.support.appliances import PATIENCE_SECONDS, Appliance, running_appliance, wait_for
from tests.support.receivers import Receiver
from tests.support.speech_sample import SAMPLE as SPEECH

MODEL = "moonshine-tiny-en@0.0.59"
DAY_SECONDS = 86_400

QUICKSTART = """
import requests
import time

base_url = "https://api.assemblyai.com"
headers = {"authorization": "<YOUR_API_KEY>"}

with open("./my-audio.mp3", "rb") as f:
  response = requests.post(base_url + "/v2/upload", headers=headers, data=f)

upload_url = response.json()["upload_url"]

data = {
    "audio_url": upload_url,
    "speech_models": ["universal-3-pro", "universal-2"],
    "language_detection": True
}

response = requests.post(base_url + "/v2/transcript", headers=headers, json=data)

transcript_id = response.json()["id"]
polling_endpoint = f"{base_url}/v2/transcript/{transcript_id}"

while True:
  transcript = requests.get(polling_endpoint, headers=headers).json()

  if transcript["status"] == "completed":
    print(transcript["text"])
    break
  elif transcript["status"] == "error":
    raise RuntimeError(f"Transcription failed: {transcript['error']}")
  else:
    time.sleep(3)
"""

WORD_SEARCH = """
words = ['foo', 'bar', 'foo bar', '42']

word_search_endpoint = f"{base_url}/v2/transcript/{transcript_id}/word-search?words={','.join(words)}"

response_json = requests.get(word_search_endpoint, headers=headers).json()

for match in response_json['matches']:
  print(f"Found '{match['text']}' {match['count']} times in the transcript")
"""

NODE_QUICKSTART = """
import { AssemblyAI } from "assemblyai";

const client = new AssemblyAI({
  apiKey: "<YOUR_API_KEY>",
  baseUrl: "https://api.assemblyai.com",
});

const audioFile = "./my-audio.mp3";

const params = {
  audio: audioFile,
  speech_models: ["universal-3-pro", "universal-2"],
  language_detection: true,
};

const transcript = await client.transcripts.transcribe(params, { pollingInterval: 100 });
"""

NODE_OTHER_CALLS = """
const { id } = transcript;
const page = await client.transcripts.list({ limit: 1 });
let refusal;
try {
  await client.transcripts.submit({ audio: audioFile, speaker_labels: true });
} catch (error) {
  refusal = error.message;
}
console.log(JSON.stringify({
  transcript,
  uploaded: await client.files.upload(audioFile),
  read: (await client.transcripts.get(id)).text,
  listed: page.transcripts[0].id,
  found: await client.transcripts.wordSearch(id, ["the", "foo"]),
  sentences: (await client.transcripts.sentences(id)).sentences.length,
  paragraphs: (await client.transcripts.paragraphs(id)).paragraphs.length,
  srt: await client.transcripts.subtitles(id, "srt", 32),
  vtt: await client.transcripts.subtitles(id, "vtt"),
  refusal,
  deleted: (await client.transcripts.delete(id)).id,
}));
"""


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance that may call receivers on the loopback and tries each webhook twice."""
    settings = {"webhook_networks": '["127.0.0.0/8"]', "webhook_retry_seconds": "[0.1]"}
    with running_appliance(tmp_path_factory.mktemp("pages"), models, storage_server="minio", **settings) as running:
        yield running


@pytest.fixture
def raw(appliance: Appliance) -> RawClient:
    return RawClient(appliance.url, appliance.key)


@pytest.fixture
def client(appliance: Appliance) -> assemblyai.Transcriber:
    """The published Python package. Only its URL and key are set."""
    assemblyai.settings.base_url = appliance.url
    assemblyai.settings.api_key = appliance.key
    assemblyai.settings.polling_interval = 0.1
    assemblyai.settings.http_timeout = PATIENCE_SECONDS
    return assemblyai.Transcriber()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the file of the pages."""
    (tmp_path / "my-audio.mp3").write_bytes(SPEECH.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own(script: str, appliance: Appliance) -> str:
    """Return a script of a page with the base URL and a key of the appliance."""
    return script.replace("https://api.assemblyai.com", appliance.url).replace("<YOUR_API_KEY>", appliance.key)


def assert_quickstart_answer(transcript: Any) -> None:
    """Fail if a transcript is not the sample's, or does not say what was asked for and which model was used."""
    assert_sample_text(transcript["text"])
    assert transcript["speech_models"] == ["universal-3-pro", "universal-2"]
    assert transcript["speech_model_used"] == MODEL
    assert (transcript["language_detection"], transcript["language_code"]) == (True, "en")


@pytest.mark.usefixtures("folder")
def test_the_quickstart_and_the_word_search_run_as_they_stand(
    appliance: Appliance, capsys: pytest.CaptureFixture[str]
) -> None:
    script: dict[str, Any] = {}
    exec(own(QUICKSTART, appliance), script)
    assert_quickstart_answer(script["transcript"])
    assert capsys.readouterr().out == script["transcript"]["text"] + "\n"
    text = script["transcript"]["text"].lower()
    assert " the " in text
    exec(own(WORD_SEARCH.replace("'foo bar'", "'The'"), appliance), script)
    count = sum(word["text"].lower().strip(".,") == "the" for word in script["transcript"]["words"])
    assert capsys.readouterr().out == f"Found 'The' {count} times in the transcript\n"


def test_the_python_package_runs_the_quickstart_and_searches_words(client: assemblyai.Transcriber) -> None:
    config = assemblyai.TranscriptionConfig(speech_models=["universal-3-pro", "universal-2"], language_detection=True)
    transcript = client.transcribe(str(SPEECH), config)
    assert_quickstart_answer(transcript.json_response)
    words = transcript.words or []
    phrase = f"{words[3].text} {words[4].text}".upper()
    [match, *_] = transcript.word_search([phrase, "foo bar"])
    assert (match.text, match.indexes[0]) == (phrase, 3)
    assert match.timestamps[0] == (words[3].start, words[4].end)
    with pytest.raises(assemblyai.TranscriptError, match="up to 5 words"):
        transcript.word_search(["one two three four five six"])


def test_the_node_package_makes_every_call_that_the_route_has(appliance: Appliance, folder: Path) -> None:
    answers = json.loads(node_client.run_program(own(NODE_QUICKSTART + NODE_OTHER_CALLS, appliance), folder))
    transcript = answers["transcript"]
    assert_quickstart_answer(transcript)
    assert answers["uploaded"].startswith(f"{appliance.url}/v2/upload/")
    assert answers["read"] == transcript["text"]
    assert {answers["listed"], answers["deleted"]} == {transcript["id"]}
    [match] = answers["found"]["matches"]
    assert (match["text"], answers["found"]["total_count"]) == ("the", match["count"])
    assert answers["sentences"] >= answers["paragraphs"] >= 1
    assert answers["srt"].startswith("1\n00:00:0")
    assert answers["vtt"].startswith("WEBVTT\n\n00:00:0")
    assert "speaker_labels" in answers["refusal"]


@pytest.mark.parametrize(("content", "status"), [(SPEECH.read_bytes(), "completed"), (b"no recording", "error")])
def test_a_webhook_has_the_body_and_the_header_of_the_page(
    client: assemblyai.Transcriber, raw: RawClient, receiver: Receiver, content: bytes, status: str
) -> None:
    url = f"{receiver.url}/webhook?customer_id=1234&order_id=5678"
    config = assemblyai.TranscriptionConfig().set_webhook(url, "X-My-Webhook-Secret", "secret-value")
    submitted = client.submit(client.upload_file(content), config)
    wait_for(lambda: receiver.calls)
    [call] = receiver.calls
    assert call.path == "/webhook?customer_id=1234&order_id=5678"
    assert call.headers["X-My-Webhook-Secret"] == "secret-value"
    assert call.headers["Content-Type"] == "application/json"
    assert call.event == {"transcript_id": submitted.id, "status": status}
    wait_for(lambda: raw.call("GET", f"/transcript/{submitted.id}")["webhook_status_code"])
    transcript = raw.call("GET", f"/transcript/{submitted.id}")
    assert transcript["webhook_status_code"] == 204
    assert (transcript["webhook_url"], transcript["webhook_auth"]) == (url, True)
    assert transcript["webhook_auth_header_name"] == "X-My-Webhook-Secret"
    assert "secret-value" not in json.dumps(transcript)


def test_a_webhook_that_fails_is_sent_again(raw: RawClient, receiver: Receiver) -> None:
    receiver.answer = lambda path, number: 500 if number == 0 else 204
    upload = raw.upload(SPEECH.read_bytes())
    transcript_id = raw.request_transcript(upload, webhook_url=receiver.url)["id"]
    wait_for(lambda: len(receiver.calls) == 2)
    assert {call.event["transcript_id"] for call in receiver.calls} == {transcript_id}
    assert raw.call("GET", f"/transcript/{transcript_id}")["webhook_auth"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"webhook_url": "http://8.8.8.8/"}, "webhook_url"),
        ({"webhook_url": "not a URL"}, "webhook_url"),
        ({"webhook_auth_header_name": "X-Secret", "webhook_auth_header_value": "x"}, "webhook_url: is missing"),
        ({"webhook_url": "{receiver}", "webhook_auth_header_name": "X-Secret"}, "webhook_auth_header_value"),
        (
            {"webhook_url": "{receiver}", "webhook_auth_header_name": "Host", "webhook_auth_header_value": "x"},
            "webhook_auth_header_name",
        ),
        (
            {"webhook_url": "{receiver}", "webhook_auth_header_name": "X-S", "webhook_auth_header_value": "a\r\nB: c"},
            "webhook_auth_header_value",
        ),
    ],
)
def test_a_webhook_that_cannot_be_sent_is_refused_by_name(
    raw: RawClient, receiver: Receiver, options: dict[str, str], words: str
) -> None:
    upload = raw.upload(b"no recording")
    options = {name: value.replace("{receiver}", receiver.url) for name, value in options.items()}
    assert words in raw.request_transcript(upload, 400, **options)["error"]
    assert raw.request_transcript(upload)["status"] == "queued"
    assert receiver.calls == []


def test_an_upload_that_no_transcript_used_is_swept(appliance: Appliance, raw: RawClient) -> None:
    unused, younger, used = (raw.upload(SPEECH.read_bytes()) for _ in range(3))
    transcript = raw.finished_transcript(raw.request_transcript(used)["id"])
    state = Database(appliance.data_dir / "appliance.db")
    ids = {upload: upload.rpartition("/")[2] for upload in (unused, younger, used)}
    with state.transaction() as tx:  # nobody waits two days
        for upload, days in ((unused, 2.1), (younger, 1.9), (used, 2.1)):
            age = (days * DAY_SECONDS, ids[upload])
            tx.change("UPDATE media SET unused_since = unused_since - ? WHERE id = ?", age)
    # To ask the API with a request for a transcript would use the upload.
    wait_for(lambda: state.one("SELECT 1 FROM media WHERE id = ?", [ids[unused]]) is None)
    assert raw.request_transcript(unused, 403) == {"error": "Cannot access uploaded file"}
    assert raw.request_transcript(younger)["status"] == "queued"
    assert raw.request_transcript(used)["status"] == "queued"
    assert raw.call("GET", f"/transcript/{transcript['id']}")["text"] == transcript["text"]
