"""What the appliance shows to strangers: to other users of its machine, and to clients without a key."""

from __future__ import annotations

import http.client
import socket
import stat

from tests.support.appliances import Appliance


def test_no_other_user_can_read_the_data_folder(appliance: Appliance) -> None:
    assert stat.S_IMODE(appliance.data_dir.stat().st_mode) == 0o700
    inside = [*appliance.data_dir.rglob("*")]
    readable = {path for path in inside if path.lstat().st_mode & 0o077}
    assert readable <= {appliance.output}  # which the test itself wrote
    assert {"appliance.db", "appliance.db-wal", "caddy.json"} <= {path.name for path in inside}


def test_no_header_replaces_the_path_of_a_request(appliance: Appliance) -> None:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(appliance.data_dir / "run" / "api.sock"))
    connection.request("GET", "/healthz", headers={"SCRIPT_NAME": "/readyz"})
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b'{"status":"ok"}\n')
    connection.close()
