"""What the appliance shows to strangers: to other users of its machine, and to clients without a key."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import stat
from pathlib import Path

from tests.support.appliances import Appliance


def test_no_other_user_can_read_the_data_folder(appliance: Appliance) -> None:
    assert stat.S_IMODE(appliance.data_dir.stat().st_mode) == 0o700
    modes: dict[Path, int] = {}
    for folder, folders, files in os.walk(appliance.data_dir):
        for path in (Path(folder, name) for name in (*folders, *files)):
            with contextlib.suppress(FileNotFoundError):  # it was there for a moment
                modes[path] = path.lstat().st_mode
    readable = {path for path, mode in modes.items() if mode & 0o077}
    assert readable <= {appliance.output}  # which the test itself wrote
    assert {"appliance.db", "appliance.db-wal", "caddy.json"} <= {path.name for path in modes}


def test_no_header_replaces_the_path_of_a_request(appliance: Appliance) -> None:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(appliance.data_dir / "run" / "api.sock"))
    connection.request("GET", "/healthz", headers={"SCRIPT_NAME": "/readyz"})
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b'{"status":"ok"}\n')
    connection.close()
