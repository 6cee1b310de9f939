"""The front door when the API and storage do not respond."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from appliance.frontdoor import caddy
from appliance.frontdoor.door import FrontDoor
from appliance.storage.local_server import free_ports
from tests.frontdoor.test_uploads import assert_problem
from tests.support.appliances import wait_for
from tests.support.servers import ORIGIN, listens, running


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
    log = tmp_path / "door.log"
    with running(caddy.command(door), caddy.environment(door), log, lambda: listens(door.port, 503)):
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


@pytest.mark.parametrize("path", ["/api/v1/models", "/v2/transcript"])
def test_an_answer_that_comes_too_late_is_a_504(tmp_path: Path, path: str) -> None:
    door = closed_door(tmp_path)
    command = caddy.command(door)
    file = Path(command[-1])
    file.write_text(file.read_text().replace('"response_header_timeout": "120s"', '"response_header_timeout": "0.2s"'))
    with (
        silent_api(door.api_socket),
        running(command, caddy.environment(door), tmp_path / "door.log", lambda: listens(door.port, 504)),
    ):
        response = requests.get(f"http://127.0.0.1:{door.port}{path}")
        if path.startswith("/v2/"):
            assert (response.status_code, list(response.json())) == (504, ["error"])
        else:
            assert_problem(response, 504, "gateway_timeout")
        assert int(response.headers["Retry-After"]) > 0


@contextlib.contextmanager
def silent_api(path: Path) -> Iterator[None]:
    """An API that takes connections and never answers."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield


class Failing(BaseHTTPRequestHandler):
    """Storage that answers with the status that the last part of the path names."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"<Error/>")

    def log_message(self, *_: object) -> None:
        pass


def test_every_failure_of_storage_is_a_problem(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    door = dataclasses.replace(closed_door(tmp_path), storage_endpoint=endpoint, cors_origins=(ORIGIN,))
    try:
        with running(
            caddy.command(door), caddy.environment(door), tmp_path / "door.log", lambda: listens(door.port, 503)
        ):
            for storage_status, status, code in (
                (409, 400, "invalid_request"),
                (413, 413, "file_too_large"),
                (429, 503, "service_unavailable"),
                (500, 500, "internal_error"),
                (501, 500, "internal_error"),
                (503, 503, "service_unavailable"),
                (507, 507, "storage_full"),
            ):
                url = f"http://127.0.0.1:{door.port}/audio/{storage_status}"
                response = requests.get(url, headers={"Origin": ORIGIN})
                assert_problem(response, status, code)
                assert ("Retry-After" in response.headers) == (status in (503, 507))
                assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    finally:
        server.shutdown()
        server.server_close()


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


@pytest.mark.parametrize(
    ("proxies", "client_ip"), [(("127.0.0.0/8",), "203.0.113.9"), (("192.0.2.1/32",), "127.0.0.1")]
)
def test_only_a_trusted_proxy_names_its_client(tmp_path: Path, proxies: tuple[str, ...], client_ip: str) -> None:
    door = dataclasses.replace(closed_door(tmp_path), trusted_proxies=proxies)
    log = tmp_path / "door.log"
    with running(caddy.command(door), caddy.environment(door), log, lambda: listens(door.port, 503)):
        forwarded = {"X-Forwarded-For": "203.0.113.9"}
        requests.get(f"http://127.0.0.1:{door.port}/api/named", headers=forwarded)
        wait_for(lambda: "/api/named" in log.read_text())
    (line,) = (json.loads(line) for line in log.read_text().splitlines() if "/api/named" in line and '"status"' in line)
    assert line["request"]["client_ip"] == client_ip
