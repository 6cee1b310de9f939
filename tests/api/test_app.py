"""The API when storage, database or models fail, and the table of its errors."""

from __future__ import annotations

import inspect
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from structlog.testing import CapturingLogger
from werkzeug.test import TestResponse

from appliance import errors
from appliance.api import errors as errors_module
from appliance.api.app import create_app
from appliance.config import Settings
from appliance.engine.models.store import ModelStore
from appliance.errors import ApplianceError, DatabaseBusy, StorageError, StorageUnavailable
from appliance.http_errors import FILE_ERRORS, HTTP_ERRORS, TITLES, http_error_of, http_error_of_status
from appliance.services import health, keys
from appliance.services.box import Box
from appliance.services.inference import jobs as inference_jobs
from appliance.state import workers
from appliance.state.database import Database
from appliance.storage.objects import ObjectStore
from tests.support import toy_models

JOBS = "/api/v1/inference-jobs"
ERRORS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, ApplianceError)]


class Objects:
    """Object storage that raises the error that a test sets."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.is_ready = True

    def upload_form(self, *_: Any, **__: Any) -> Any:
        assert self.error
        raise self.error

    def ready(self) -> bool:
        return self.is_ready


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def box(tmp_path: Path, migrated: Path, objects: Objects) -> Box:
    toy_models.frame_model(tmp_path / "models")
    shutil.copy(migrated, tmp_path)
    db = Database(tmp_path / "appliance.db")
    db.migrate()
    settings = Settings(data_dir=tmp_path, default_model="loud-frames")
    return Box(settings, db, cast(ObjectStore, objects), ModelStore(tmp_path / "models"))


@pytest.fixture
def client(box: Box) -> Iterator[FlaskClient]:
    client = create_app(box).test_client()
    client.environ_base["HTTP_X_API_KEY"] = keys.create_key(box.db, "test")
    with client:
        yield client


def body_of(response: TestResponse) -> Any:
    """Return the JSON of a response."""
    return response.json


def request_upload(client: FlaskClient) -> TestResponse:
    """Request an upload form for a new job."""
    job_id = body_of(client.post(JOBS, json={"model_id": "loud-frames"}))["id"]
    body = {"filename": "a.wav", "content_type": "audio/wav", "file_size_bytes": 1}
    return client.post(f"{JOBS}/{job_id}/files/upload-url", json=body)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_a_status_and_a_meaning(kind: type[ApplianceError]) -> None:
    assert re.fullmatch(r"[a-z_]+", kind.code)
    assert "code" in vars(kind)
    assert kind.__doc__
    assert kind.__doc__.strip().endswith(".")
    assert 400 <= http_error_of(kind).status <= 599


def test_every_code_is_one_error() -> None:
    codes = [kind.code for kind in ERRORS]
    assert len(codes) == len(set(codes)) > 20
    http_codes = [error.code for error in HTTP_ERRORS]
    assert len(http_codes) == len(set(http_codes))
    assert {error.status for error in HTTP_ERRORS} == set(TITLES)
    assert set(FILE_ERRORS) <= set(ERRORS)


@pytest.mark.parametrize("status", [400, 404, 405, 406, 413, 414, 415, 418, 429, 500, 501, 503, 507])
def test_a_status_of_the_framework_is_answered_with_a_listed_code(status: int) -> None:
    assert http_error_of_status(status) in HTTP_ERRORS


def test_storage_that_does_not_answer_is_a_503_with_retry_after(objects: Objects, client: FlaskClient) -> None:
    objects.error = StorageUnavailable("Object storage does not answer.")
    response = request_upload(client)
    assert (response.status_code, response.mimetype) == (503, "application/problem+json")
    assert body_of(response)["code"] == "storage_unavailable"
    assert int(response.headers["Retry-After"]) > 0
    job = body_of(client.get(JOBS))["inference_jobs"][0]
    assert (job["total_files"], job["status"]) == (0, "pending")  # no file without its form


@pytest.mark.parametrize(
    "error", [StorageError("secret: hunter2"), RuntimeError("secret: hunter2"), KeyError("hunter2")]
)
def test_an_unexpected_error_is_a_500_that_shows_only_the_request_id(
    objects: Objects, client: FlaskClient, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(errors_module, "log", log)
    objects.error = error
    response = request_upload(client)
    assert (response.status_code, response.mimetype) == (500, "application/problem+json")
    assert set(body_of(response)) == {"type", "title", "status", "detail", "code"}
    assert body_of(response)["code"] == "internal_error"
    assert "hunter2" not in response.text
    request_id = response.headers["X-Request-ID"]
    assert request_id in body_of(response)["detail"]
    [entry] = log.calls
    assert (entry.method_name, entry.kwargs["request_id"]) == ("error", request_id)
    assert "hunter2" in str(entry.kwargs)


def test_a_busy_database_is_a_503(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise DatabaseBusy("The database stayed locked.")

    monkeypatch.setattr(inference_jobs, "create_job", busy)
    response = client.post(JOBS, json={"model_id": "loud-frames"})
    assert (response.status_code, body_of(response)["code"]) == (503, "database_busy")
    assert response.headers["Retry-After"]


def test_readyz_reports_each_part(
    box: Box, objects: Objects, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEPT_SECONDS", 0.0)

    def unready() -> dict[str, str]:
        response = client.get("/readyz")
        checks = {name: check["detail"] for name, check in body_of(response)["checks"].items() if not check["ok"]}
        assert (response.status_code, body_of(response)["status"]) == ((503, "not ready") if checks else (200, "ready"))
        return checks

    assert unready() == {"worker": "has not started yet"}
    with box.db.transaction() as tx:
        workers.register(tx, "w", "cpu")
    assert unready() == {}
    objects.is_ready = False
    assert set(unready()) == {"storage"}
    objects.is_ready = True
    with box.db.transaction() as tx:
        tx.change("UPDATE workers SET seen_at = seen_at - 100")
    assert re.search(r"silent for 1\d\d s", unready()["worker"])
    with box.db.transaction() as tx:
        workers.touch(tx, "w")
    (box.models.root / "loud-frames" / "1.0.0" / "model.onnx").unlink()
    assert set(unready()) == {"model"}


def test_readyz_and_healthz_need_no_key_and_healthz_no_database(box: Box) -> None:
    client = create_app(box).test_client()
    with box.db.transaction() as tx:
        tx.change("ALTER TABLE inference_jobs RENAME TO gone")
    assert client.get("/healthz").status_code == 200
    response = client.get("/readyz")
    assert response.status_code == 503
    assert body_of(response)["checks"]["database"] == {"ok": False, "detail": None}


def test_a_model_for_another_task_cannot_detect(box: Box, client: FlaskClient) -> None:
    manifest = toy_models.frame_model(box.models.root, name="other") / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('"detection"', '"embedding"'))
    response = client.post(JOBS, json={"model_id": "other"})
    assert response.status_code == 400
    assert "model_id" in body_of(response)["detail"]


def test_a_new_model_version_applies_only_to_new_jobs(box: Box, client: FlaskClient) -> None:
    old = body_of(client.post(JOBS, json={"model_id": "loud-frames"}))
    toy_models.frame_model(box.models.root, version="1.1.0")
    new = body_of(client.post(JOBS, json={"model_id": "loud-frames"}))
    assert (old["model_version"], new["model_version"]) == ("1.0.0", "1.1.0")
    assert body_of(client.get(f"{JOBS}/{old['id']}"))["model_version"] == "1.0.0"
