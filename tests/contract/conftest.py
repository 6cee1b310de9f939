"""One appliance for all tests of the contract. Each of its responses is checked against its OpenAPI document."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract.compatibility import Verdict, calls_of
from tests.contract.spec import Spec
from tests.support.appliances import Api, Appliance, running_appliance, wait_for
from tests.support.receivers import Receiver, receiving


@pytest.fixture(scope="session")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """A running appliance with MinIO, in a folder that every user could read before."""
    folder = tmp_path_factory.mktemp("appliance")
    folder.chmod(0o755)
    (folder / "appliance.db").touch(0o644)
    with running_appliance(folder, models, storage_server="minio") as running:
        yield running


@pytest.fixture(scope="module")
def spec(appliance: Appliance) -> Spec:
    """The OpenAPI document that the appliance serves. A module may have an appliance of its own."""
    return Spec(requests.get(f"{appliance.url}/api/v1/openapi.json").json())


@pytest.fixture(autouse=True)
def _check_every_response(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check each response to ``requests``: it has one X-Request-ID and is as the document says."""
    send = requests.Session.send

    @functools.wraps(send)
    def checked(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        response = send(self, request, **options)
        spec.check(response)
        return response

    monkeypatch.setattr(requests.Session, "send", checked)


@pytest.fixture(autouse=True)
def _check_named_calls(request: pytest.FixtureRequest, appliance: Appliance, spec: Spec) -> Iterator[None]:
    """If docs/compatibility.md names the test, check that it made these calls: the front door logs every request.

    So calls count whatever client makes them. Options are not logged, only whether the call was refused.
    """
    test = f"{request.path.stem}::{request.node.originalname}"
    named = {(call.route, call.verdict is Verdict.REFUSED) for call in calls_of(test)}
    names = [f"{name}.log{turned}" for name in ("frontdoor", "frontdoor-strangers") for turned in ("", ".1")]
    logs = [appliance.data_dir / "logs" / name for name in names]  # each may be turned at any moment
    starts = {log.stat().st_ino: log.stat().st_size for log in logs if named and log.exists()}

    def missing() -> set[tuple[str, bool]]:
        made = set()
        for log in filter(Path.exists, logs):
            with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
                file.seek(starts.get(os.fstat(file.fileno()).st_ino, 0))
                for text in file:
                    if text.endswith(b"\n") and b"log.access" in text:
                        line = json.loads(text)
                        route = f"{line['request']['method']} {spec.path_of(line['request']['uri'])}"
                        made.add((route, line["status"] >= 400))
        return named - made

    yield
    if named:
        wait_for(lambda: not missing())  # the log is a little late


@pytest.fixture
def api(appliance: Appliance) -> Api:
    """The API with the first key."""
    return appliance.api


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with receiving() as running:
        yield running


@pytest.fixture(scope="session")
def other(appliance: Appliance) -> Api:
    """The API with a key of another tenant."""
    return appliance.api_of("other", "other")


@pytest.fixture(scope="session")
def anonymous(appliance: Appliance) -> Api:
    """The API without a key."""
    return Api(appliance.url, None)
