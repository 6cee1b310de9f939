"""The front door when the API and storage do not respond."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import requests

from appliance.frontdoor import caddy
from appliance.frontdoor.door import FrontDoor
from appliance.storage.local_server import free_ports
from tests.frontdoor.test_uploads import assert_problem
from tests.support.servers import running


def closed_door(folder: Path) -> FrontDoor:
    """A front door with nothing behind it."""
    port, closed = free_ports(2)
    return FrontDoor(
        host="127.0.0.1",
        port=port,
        bucket="audio",
        storage_endpoint=f"http://127.0.0.1:{closed}",
        storage_host="storage.internal",
        api_socket=folder / "none.sock",
        folder=folder / "door",
        max_upload_bytes=1000,
        max_batch_bytes=5000,
    )


def test_an_outage_is_a_503_with_retry_after(tmp_path: Path) -> None:
    door = closed_door(tmp_path)
    origin = f"http://127.0.0.1:{door.port}"

    def responds() -> bool:
        try:
            return requests.get(origin, timeout=5).status_code == 503
        except requests.ConnectionError:
            return False

    with running(caddy.command(door), caddy.environment(door), tmp_path / "door.log", responds):
        for response in (requests.get(f"{origin}/api"), requests.get(f"{origin}/audio/a")):
            assert_problem(response, 503, "service_unavailable")
            assert int(response.headers["Retry-After"]) > 0
        plain = requests.get(f"{origin}/v2/transcript")
        assert (plain.status_code, plain.headers["Content-Type"], list(plain.json())) == (
            503,
            "application/json",
            ["error"],
        )
        assert plain.headers["X-Request-ID"]
        assert requests.head(f"{origin}/api").status_code == 503


def test_caddy_accepts_the_configuration_and_has_no_admin_api(tmp_path: Path) -> None:
    for door in (closed_door(tmp_path), dataclasses.replace(closed_door(tmp_path), host="::1", cors_origins=("*",))):
        program, _, _, file = caddy.command(door)
        validation = subprocess.run(
            [program, "validate", "--config", file], env=caddy.environment(door), capture_output=True
        )
        assert validation.returncode == 0, validation.stderr.decode()
        assert b'"warn"' not in validation.stderr
        configuration = json.loads(Path(file).read_text())
        assert configuration["admin"]["disabled"] is True
        assert list(configuration["apps"]) == ["http"]
