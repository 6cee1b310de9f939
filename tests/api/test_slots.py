"""Slow calls of one tenant leave threads of the API to the others."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask_openapi import OpenAPI
from werkzeug.test import TestResponse

from appliance.api.access import SLOW_CALLS
from appliance.api.app import create_app
from appliance.services import keys
from appliance.services.box import Box
from appliance.services.datasets.similarity import Similarity
from tests.support import toy_models
from tests.support.appliances import PATIENCE_SECONDS, wait_for
from tests.support.boxes import DictionaryStore, make_box

SEARCH = f"/api/v1/datasets/{uuid.uuid4()}/audio/{uuid.uuid4()}/similar"
THREADS = 4  # of which a tenant alone may hold two with slow calls


class SlowSearches:
    """Searches that end when the test says so, and how many have begun."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.begun = 0

    def similar(self, *_: Any, **__: Any) -> list[Any]:
        self.begun += 1
        assert self.may_end.wait(PATIENCE_SECONDS)
        return []


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowSearches]:
    slow = SlowSearches()
    monkeypatch.setattr(Similarity, "similar", slow.similar)
    yield slow
    slow.may_end.set()


@pytest.fixture
def box(tmp_path: Path, migrated: Path) -> Box:
    shutil.copy(migrated, tmp_path)
    toy_models.frame_model(tmp_path / "models")
    return make_box(tmp_path, tmp_path / "models", DictionaryStore(), api_threads=THREADS)


class Clients:
    """A client of each of two tenants, whose calls may run side by side."""

    def __init__(self, box: Box) -> None:
        self.app: OpenAPI = create_app(box)
        self._keys = {tenant: keys.create_key(box.db, tenant, tenant) for tenant in ("one", "two")}
        self._pool = ThreadPoolExecutor(8)

    def call(self, tenant: str, path: str, method: str = "GET", **options: Any) -> TestResponse:
        headers = {"X-API-Key": self._keys[tenant]}
        return self.app.test_client().open(path, method=method, headers=headers, **options)

    def begin(self, tenant: str) -> Future[TestResponse]:
        return self._pool.submit(self.call, tenant, SEARCH)


def test_a_tenant_holds_half_of_the_threads_and_another_one_is_served(box: Box, searches: SlowSearches) -> None:
    clients = Clients(box)
    first = [clients.begin("one") for _ in range(2)]
    wait_for(lambda: searches.begun == 2)
    refused = clients.call("one", SEARCH)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "2")
    assert refused.json
    assert refused.json["code"] == "too_many_calls"
    assert "2 of your searches and imports are in progress" in refused.json["detail"]
    assert clients.call("one", "/api/v1/usage").status_code == 200  # any other call
    second = clients.begin("two")
    wait_for(lambda: searches.begun == 3)
    searches.may_end.set()
    assert [search.result().status_code for search in (*first, second)] == [200, 200, 200]
    assert clients.call("one", SEARCH).status_code == 200


def test_a_call_that_fails_holds_nothing_afterwards(box: Box) -> None:
    clients = Clients(box)
    annotations = f"/api/v1/datasets/{uuid.uuid4()}/annotation-sets/{uuid.uuid4()}/annotations"
    for _ in range(THREADS):
        assert clients.call("one", SEARCH).status_code == 404
        assert clients.call("one", f"{annotations}/bulk", "POST", data="no JSON").status_code == 400


def test_every_slow_call_is_one_of_the_api(box: Box) -> None:
    assert set(create_app(box).view_functions) >= SLOW_CALLS
