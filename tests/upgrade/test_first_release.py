"""A data folder of the first release starts today, and its clients find everything that they left in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from standardwebhooks import Webhook

from appliance.state.database import Database
from tests.support.appliances import PATIENCE_SECONDS, ROOT, Appliance, running_appliance, wait_for
from tests.support.archives import extract

HERE = Path(__file__).parent
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
RECEIVER = urlsplit(EXPECTED["pending_deliveries"]["receiver"])
JOBS = "/api/v1/inference-jobs"
RAW_LIST = "/v2/transcript?"
SPEECH = ROOT / "appliance" / "samples" / "speech.flac"
CLICK = ROOT / "tests" / "clips" / "click.flac"


class Client:
    """Calls the appliance with one key, on every route."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key

    def call(self, method: str, path: str, status: int = 200, **options: Any) -> requests.Response:
        """The answer, which must have this status."""
        header = {"X-API-Key": self.key} if path.startswith("/api/") else {"Authorization": self.key}
        response = requests.request(method, self.url + path, headers=header, timeout=PATIENCE_SECONDS, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
        return response

    def get(self, path: str) -> Any:
        """The answer as it was recorded: JSON or text, with ``{origin}`` for the appliance's own URL."""
        response = self.call("GET", path)
        text = response.text.replace(self.url, "{origin}")
        return json.loads(text) if response.headers["Content-Type"].startswith("application/json") else text

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        return self.call("POST", path, status, json=body).json()

    def ends(self, path: str, field: str, end: str) -> None:
        """Wait until a field has the value ``end``."""
        wait_for(lambda: self.get(path)[field] == end or None)


@pytest.fixture(scope="module")
def webhooks() -> Iterator[list[tuple[dict[str, str], bytes]]]:
    """Headers and body of each webhook that comes to the URL for which deliveries are pending."""
    calls = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    def listen() -> HTTPServer | None:
        with contextlib.suppress(OSError):  # a connection of another test may have this port for a moment
            return HTTPServer((str(RECEIVER.hostname), RECEIVER.port or 0), Handler)
        return None

    with wait_for(listen) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield calls
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, webhooks: object, speech_model: None) -> Iterator[Appliance]:
    """Today's appliance on the data folder of the first release, with the models of this repository."""
    folder = tmp_path_factory.mktemp("first-release")
    extract(HERE / "first-release.tar.xz", folder)
    settings = {
        "default_model": "artifacts",
        "webhook_networks": '["127.0.0.0/8"]',
        "webhook_log_days": 36_500,  # or the sweep would drop the old deliveries that the test compares
        "upload_grace_seconds": 0,
    }
    with running_appliance(folder, ROOT / "model_store", **settings) as running:
        yield running


@pytest.fixture
def clients(appliance: Appliance) -> dict[str, Client]:
    """A client for each key of the first release."""
    return {name: Client(appliance.url, key) for name, key in EXPECTED["keys"].items()}


def without_new_keys(answer: Any, recorded: Any) -> Any:
    """Today's answer without the keys that the first release did not have."""
    if isinstance(answer, dict) and isinstance(recorded, dict):
        return {name: without_new_keys(value, recorded[name]) for name, value in answer.items() if name in recorded}
    if isinstance(answer, list) and isinstance(recorded, list) and len(answer) == len(recorded):
        return [without_new_keys(value, old) for value, old in zip(answer, recorded, strict=True)]
    return answer


def test_every_answer_is_the_recorded_one(clients: dict[str, Client]) -> None:
    recorded = {
        (entry["key"], entry["path"]): entry["body"]
        for entry in EXPECTED["answers"]
        if not entry["path"].startswith(RAW_LIST)
    }
    answers = {(key, path): without_new_keys(clients[key].get(path), body) for (key, path), body in recorded.items()}
    # A replaced secret is listed for 24 hours after it was replaced.
    for answer in (recorded, answers):
        answer["default", "/api/v1/webhooks/secret"]["previous"] = []
    assert answers == recorded


def test_the_raw_route_lists_its_own_transcripts(clients: dict[str, Client]) -> None:
    """The first release also listed those of the other speech routes there."""
    recorded = [entry for entry in EXPECTED["answers"] if entry["path"].startswith(RAW_LIST)]
    raw = {
        entry["body"]["id"]
        for entry in EXPECTED["answers"]
        if entry["path"].count("/") == 3 and "/v2/" in entry["path"]
    }
    assert len(recorded) == 2
    assert len(raw) == 3
    for entry in recorded:
        transcripts = clients[entry["key"]].get(entry["path"])["transcripts"]
        old = {transcript["id"]: transcript for transcript in recorded[0]["body"]["transcripts"]}
        assert transcripts
        assert {transcript["id"] for transcript in transcripts} <= raw
        assert all(
            without_new_keys(transcript, old[transcript["id"]]) == old[transcript["id"]] for transcript in transcripts
        )
    every = [transcript["id"] for transcript in clients[recorded[0]["key"]].get(recorded[0]["path"])["transcripts"]]
    assert every == [transcript["id"] for transcript in recorded[0]["body"]["transcripts"] if transcript["id"] in raw]


def test_every_download_has_the_recorded_bytes(clients: dict[str, Client]) -> None:
    for entry in EXPECTED["downloads"]:
        url = clients[entry["key"]].call("GET", entry["path"]).json()[entry["field"]]
        response = requests.get(url, timeout=PATIENCE_SECONDS)
        assert response.status_code == 200, f"{entry['path']}: {response.text}"
        assert hashlib.sha256(response.content).hexdigest() == entry["sha256"], entry["path"]


def test_what_was_deleted_or_belongs_to_another_tenant_is_not_found(clients: dict[str, Client]) -> None:
    for entry in EXPECTED["missing"]:
        clients[entry["key"]].call("GET", entry["path"], 404)


def test_a_revoked_key_stays_refused(clients: dict[str, Client]) -> None:
    clients["revoked"].call("GET", JOBS, 401)


def test_unfinished_work_is_finished(appliance: Appliance, clients: dict[str, Client]) -> None:
    for entry in EXPECTED["unfinished"]:
        clients[entry["key"]].ends(entry["path"], entry["field"], entry["ends"])
    database = Database(appliance.data_dir / "appliance.db")
    wait_for(lambda: not database.all("SELECT kind, subject_id FROM work WHERE kind <> 'webhook'"))
    wait_for(lambda: not list((appliance.data_dir / "spool").iterdir()))


def test_pending_deliveries_arrive_with_the_signature_of_the_old_secret(
    clients: dict[str, Client], webhooks: list[tuple[dict[str, str], bytes]]
) -> None:
    pending = EXPECTED["pending_deliveries"]
    recorded = {delivery["id"]: delivery for delivery in pending["deliveries"]}

    def delivered() -> Any:
        deliveries = clients[pending["key"]].get("/api/v1/webhooks/deliveries")["deliveries"]
        return deliveries if all(delivery["status"] == "delivered" for delivery in deliveries) else None

    for delivery in wait_for(delivered):
        old = recorded[delivery["id"]]
        assert delivery["attempts"] == old["attempts"] + 1
        assert all(delivery[name] == old[name] for name in ("event_type", "url", "created_at"))
    events = {headers["webhook-id"]: Webhook(pending["secret"]).verify(body, headers) for headers, body in webhooks}
    assert {name: event["type"] for name, event in events.items()} == {
        name: delivery["event_type"] for name, delivery in recorded.items()
    }


def test_an_old_upload_can_be_transcribed(clients: dict[str, Client]) -> None:
    upload = EXPECTED["unused_upload"]
    client = clients[upload["key"]]
    audio_url = upload["audio_url"].format(origin=client.url)
    transcript = client.post("/v2/transcript", {"audio_url": audio_url})
    client.ends(f"/v2/transcript/{transcript['id']}", "status", "completed")


def test_new_work_succeeds(appliance: Appliance) -> None:
    api = appliance.api_of("new-desk", "new")
    job_id = api.make_job("artifacts")
    api.send(job_id, CLICK.read_bytes(), name="click.flac", content_type="audio/flac")
    assert api.finished_job(job_id)["status"] == "completed"
    client = Client(appliance.url, api.key or "")
    upload = client.call("POST", "/v2/upload", data=SPEECH.read_bytes()).json()
    transcript = client.post("/v2/transcript", {"audio_url": upload["upload_url"]})
    client.ends(f"/v2/transcript/{transcript['id']}", "status", "completed")


@pytest.mark.parametrize("pragma", ["integrity_check", "quick_check"])
def test_the_database_is_sound(appliance: Appliance, pragma: str) -> None:
    (row,) = Database(appliance.data_dir / "appliance.db").all(f"PRAGMA {pragma}")
    assert tuple(row) == ("ok",)


def test_every_foreign_key_has_its_row(appliance: Appliance) -> None:
    assert Database(appliance.data_dir / "appliance.db").all("PRAGMA foreign_key_check") == []


def test_the_tables_are_those_of_a_new_data_folder(appliance: Appliance, tmp_path: Path) -> None:
    """A change in the text of an old migration would reach new data folders alone."""
    new = Database(tmp_path / "appliance.db")
    new.migrate()
    schema = "SELECT name, sql FROM sqlite_schema ORDER BY name"
    upgraded = Database(appliance.data_dir / "appliance.db")
    assert [tuple(row) for row in upgraded.all(schema)] == [tuple(row) for row in new.all(schema)]
