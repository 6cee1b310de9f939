"""Recordings by URL: which are accepted, what is stored, and how a fetch ends that cannot succeed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.config import Settings, load_settings
from appliance.errors import (
    ConfigurationError,
    EmptyFile,
    FetchFailed,
    FileTooLarge,
    InvalidRequest,
    LeaseLost,
    Stopped,
    SubjectGone,
)
from appliance.services.box import Box
from appliance.services.speech import batch, fetch, presigned, raw_transcripts
from appliance.services.speech.batch import Source
from appliance.services.speech.media import delete_media
from appliance.services.speech.raw_transcripts import Callback
from appliance.services.work import leases
from appliance.state import media as media_rows
from appliance.state.media import Media
from tests.services.speech.arrivals import batch_file
from tests.support.boxes import CONTENT, SPEECH_MODEL, DictionaryStore, claim, lose_lease, queued_work, with_settings
from tests.support.file_servers import FileServer, serving_files

FIELD = "audio_url"


@pytest.fixture
def lan(box: Box) -> Box:
    """A box that may fetch from this machine."""
    return with_settings(box, fetch_hosts=["127.0.0.0/8"], max_upload_bytes=1_000_000)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving_files() as running:
        running.files["/a%20b.wav"] = CONTENT
        yield running


def go_on() -> None:
    """A checkpoint of a worker that is not stopped."""


def requested(box: Box, url: str, filename: str = "") -> Media:
    with box.db.transaction() as tx:
        return fetch.request_fetch(tx, 1, "raw", url, filename or fetch.filename_of(url))


def fetched(box: Box, url: str) -> Media:
    """Request a URL and fetch it. Returns its media."""
    media = requested(box, url)
    fetch.fetch(box, claim(box, "fetch"), go_on)
    return find(box, media)


def find(box: Box, media: Media) -> Media:
    row = media_rows.find_media(box.db, media.id)
    assert row is not None
    return row


def test_nothing_is_fetched_unless_the_operator_allows_it(box: Box) -> None:
    with pytest.raises(InvalidRequest, match="audio_url: this appliance fetches no URL"):
        fetch.check_sources(box, ["http://10.0.0.7/a.wav"], FIELD)


@pytest.mark.parametrize(
    ("hosts", "url", "reason"),
    [
        (["10.0.0.0/8"], "http://10.0.0.7/a.wav", None),
        (["10.0.0.7"], "http://10.0.0.7/a.wav", None),
        (["10.0.0.7"], "http://10.0.0.8/a.wav", "The address 10.0.0.8 is not allowed by the setting fetch_hosts."),
        (["nas.example"], "https://NAS.example:8443/a.wav", None),
        (["nas.example"], "http://web.example/a.wav", "The address 10.0.0.7 is not allowed"),
        (["10.0.0.0/24"], "http://web.example/a.wav", None),
        (["nas.example"], "http://here.example/a.wav", "The address 127.0.0.1 is not allowed"),
        (["here.example"], "http://here.example/a.wav", "The address 127.0.0.1 is not allowed"),
        (["here.example", "127.0.0.0/8"], "http://here.example/a.wav", None),
        (["127.0.0.0/8"], "http://127.0.0.1:8080/v2/upload/1", "Port 8080 of 127.0.0.1 belongs to the appliance"),
        (["0.0.0.0/0"], "http://127.0.0.1/a.wav", "The address 127.0.0.1 is not allowed"),
        (["0.0.0.0/0"], "http://169.254.169.254/latest", "The address 169.254.169.254 is not allowed"),
        (["10.0.0.0/8"], "ftp://10.0.0.7/a.wav", "Must begin with http:// or https://."),
        (["10.0.0.0/8"], "http://me:word@10.0.0.7/a.wav", "Must not hold a user name"),
        (["10.0.0.0/8"], "file:///etc/passwd", "Must begin with http"),
    ],
)
def test_only_listed_hosts_are_accepted(
    box: Box, monkeypatch: pytest.MonkeyPatch, hosts: list[str], url: str, reason: str | None
) -> None:
    names = {"nas.example": "10.0.0.9", "web.example": "10.0.0.7", "here.example": "127.0.0.1"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: [(0, 0, 0, "", (names[host], port))])
    allowing = with_settings(box, fetch_hosts=Settings(fetch_hosts=hosts).fetch_hosts, port=8080)
    if reason is None:
        fetch.check_sources(allowing, [url], FIELD)
    else:
        with pytest.raises(InvalidRequest) as refusal:
            fetch.check_sources(allowing, [url], FIELD)
        assert str(refusal.value).startswith(f"audio_url: {reason}")


def test_one_request_may_name_a_few_hosts_only(lan: Box) -> None:
    """Each name may take seconds to resolve, and a thread of the API waits for it."""
    fetch.check_sources(lan, [f"http://127.0.0.1:9/{number}" for number in range(1000)], FIELD)
    with pytest.raises(InvalidRequest, match="sources: Names 9 hosts; one request may name 8"):
        fetch.check_sources(lan, [f"http://127.0.0.{number}:9/a" for number in range(1, 10)], "sources")


@pytest.mark.parametrize("entry", ["", "a b", "http://nas", "10.0.0.1/8", "1.2.3.4.5", "-nas", "nas/24"])
def test_an_entry_that_is_neither_a_name_nor_a_network_is_refused(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="fetch_hosts"):
        load_settings(fetch_hosts=[entry])


def test_a_file_is_stored_and_its_transcript_begins(lan: Box, objects: DictionaryStore, server: FileServer) -> None:
    transcript = raw_transcripts.fetch_and_transcribe(
        lan, 1, f"{server.url}/a%20b.wav?x=y", SPEECH_MODEL, {}, Callback()
    )
    assert transcript.status == "waiting"
    presigned.settle_pending(lan)  # the sweep leaves it alone
    fetch.fetch(lan, claim(lan, "fetch"), go_on)
    media = media_rows.find_media(lan.db, transcript.media_id)
    assert media is not None
    assert (media.status, media.size_bytes, media.original_filename) == ("stored", len(CONTENT), "a b.wav")
    assert objects.contents[media.object_key] == CONTENT
    assert queued_work(lan) == [("transcription", transcript.id)]
    assert raw_transcripts.find(lan, 1, transcript.id).options["audio_url"] == f"{server.url}/a%20b.wav?x=y"
    assert server.calls == ["/a%20b.wav?x=y"]


def test_a_body_without_a_length_is_stored(lan: Box, objects: DictionaryStore, server: FileServer) -> None:
    server.files["/a.wav"] = content = bytes(range(256)) * 1024
    server.without_length.add("/a.wav")
    assert objects.contents[fetched(lan, f"{server.url}/a.wav").object_key] == content


def test_a_batch_of_urls_waits_for_its_files(lan: Box, server: FileServer) -> None:
    sources = [Source(f"{server.url}/a%20b.wav"), Source(f"{server.url}/a%20b.wav", "mine.wav")]
    report = batch.create_batch(lan, 1, None, None, None, sources)
    assert [media.original_filename for _, media in report.items] == ["a b.wav", "mine.wav"]
    assert {transcript.status for transcript, _ in report.items} == {"waiting"}
    for _ in sources:
        fetch.fetch(lan, claim(lan, "fetch"), go_on)
    assert {transcript.status for transcript, _ in batch.find_batch(lan, 1, report.id).items} == {"queued"}


def test_files_and_urls_are_combined(lan: Box) -> None:
    stored = batch_file(lan)
    report = batch.create_batch(lan, 1, None, [stored.id], None, [Source("http://127.0.0.1:9/a.wav")])
    assert [media.original_filename for _, media in report.items] == [stored.original_filename, "a.wav"]


def test_a_batch_with_a_url_that_is_not_allowed_fetches_none(lan: Box, server: FileServer) -> None:
    sources = [Source(f"{server.url}/a%20b.wav"), Source("http://10.0.0.1/a.wav")]
    with pytest.raises(InvalidRequest, match=r"sources: The address 10\.0\.0\.1"):
        batch.create_batch(lan, 1, None, None, None, sources)
    assert queued_work(lan) == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/none.wav", "answered 404."),
        ("/moved.wav", "answered 302; redirects are not followed."),
        ("/half.wav", "broke off after 12 of 24 bytes."),
    ],
)
def test_an_answer_that_is_not_the_whole_file_fails(lan: Box, server: FileServer, path: str, reason: str) -> None:
    server.statuses["/moved.wav"] = 302
    server.files["/half.wav"] = CONTENT
    server.cut.add("/half.wav")
    assert len(CONTENT) == 24
    with pytest.raises(FetchFailed, match=reason):
        fetched(lan, server.url + path)
    assert "/elsewhere.wav" not in server.calls


def test_a_name_that_leads_elsewhere_by_now_is_not_called(lan: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: [(0, 0, 0, "", ("10.0.0.1", port))])
    with pytest.raises(FetchFailed, match=r"The address 10\.0\.0\.1 is not allowed by the setting fetch_hosts"):
        fetched(lan, "http://here.example/a.wav")


@pytest.mark.parametrize("with_length", [True, False])
def test_a_file_over_the_limit_is_left(
    lan: Box, objects: DictionaryStore, server: FileServer, with_length: bool
) -> None:
    server.files["/a.wav"] = bytes(1_000_001)
    if not with_length:
        server.without_length.add("/a.wav")
    with pytest.raises(FileTooLarge, match="over the limit of 1000000 bytes"):
        fetched(lan, f"{server.url}/a.wav")
    assert objects.contents == {}


def test_an_empty_file_fails(lan: Box, objects: DictionaryStore, server: FileServer) -> None:
    server.files["/a.wav"] = b""
    with pytest.raises(EmptyFile):
        fetched(lan, f"{server.url}/a.wav")
    assert objects.contents == {}


def test_a_fetch_that_fails_three_times_fails_the_media_and_its_transcript(lan: Box, server: FileServer) -> None:
    transcript = raw_transcripts.fetch_and_transcribe(lan, 1, f"{server.url}/none.wav", SPEECH_MODEL, {}, Callback())
    for _ in range(3):
        work = claim(lan, "fetch")
        with pytest.raises(FetchFailed) as failure:
            fetch.fetch(lan, work, go_on)
        leases.retry(lan, work, failure.value, counts=True)
        with lan.db.transaction() as tx:
            tx.change("UPDATE work SET run_after = NULL")
    failed = raw_transcripts.find(lan, 1, transcript.id)
    assert (failed.status, failed.error_code) == ("failed", "fetch_failed")
    assert failed.error_message is not None
    assert failed.error_message.startswith("The URL cannot be fetched: 127.0.0.1:")
    assert queued_work(lan) == []


def test_a_machine_that_is_silent_does_not_delay_a_stop(
    lan: Box, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "WATCH_SECONDS", 0.05)
    server.files["/a.wav"] = CONTENT
    server.silent.add("/a.wav")
    stopping = threading.Event()

    def checkpoint() -> None:
        if stopping.is_set():
            raise Stopped("The worker is stopping.")

    requested(lan, f"{server.url}/a.wav")
    timer = threading.Timer(0.3, stopping.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(Stopped):
        fetch.fetch(lan, claim(lan, "fetch"), checkpoint)
    assert time.monotonic() - started < fetch.STALL_SECONDS / 2


def test_a_machine_that_is_silent_for_long_is_left(
    lan: Box, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "STALL_SECONDS", 2.0)
    server.files["/a.wav"] = CONTENT
    server.silent.add("/a.wav")
    with pytest.raises(FetchFailed, match=r"silent for 2 s"):
        fetched(lan, f"{server.url}/a.wav")


def test_a_fetch_has_a_time_limit(lan: Box, server: FileServer) -> None:
    server.files["/a.wav"] = CONTENT
    server.silent.add("/a.wav")
    with pytest.raises(FetchFailed, match=r"no answer within 0\.4 s"):
        fetched(with_settings(lan, fetch_timeout_seconds=0.4), f"{server.url}/a.wav")


def test_media_that_was_deleted_meanwhile_leaves_no_object(
    lan: Box, objects: DictionaryStore, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = requested(lan, f"{server.url}/a%20b.wav")
    work = claim(lan, "fetch")
    put_stream = objects.put_stream

    def put_and_delete(*values: Any) -> str:
        etag = put_stream(*values)
        with lan.db.transaction() as tx:
            delete_media(tx, 1, media.id)
        return etag

    monkeypatch.setattr(objects, "put_stream", put_and_delete)
    with pytest.raises(LeaseLost):
        fetch.fetch(lan, work, go_on)
    assert objects.contents == {}
    with pytest.raises(SubjectGone):
        fetch.fetch(lan, work, go_on)


def test_a_fetch_whose_lease_was_lost_changes_nothing(lan: Box, server: FileServer) -> None:
    media = requested(lan, f"{server.url}/a%20b.wav")
    work = claim(lan, "fetch")
    lose_lease(lan, work)
    with pytest.raises(LeaseLost):
        fetch.fetch(lan, work, go_on)
    assert find(lan, media).status == "pending"
