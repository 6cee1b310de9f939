"""What a node reads by a URL that the box signed, from a server on the loopback."""

from __future__ import annotations

import io

import pytest

from appliance.errors import NoEngine, ObjectMissing, StorageUnavailable
from appliance.storage.by_url import UrlReader
from appliance.storage.local_server import free_ports
from tests.support.file_servers import serving_files


def test_an_object_is_read_whole() -> None:
    with serving_files() as server:
        server.files["/key"] = b"abc" * 10**6
        file = io.BytesIO()
        UrlReader().fetch(f"{server.url}/key?signature=secret", "tag", file)
    assert file.getvalue() == b"abc" * 10**6


def test_a_machine_that_cannot_connect_says_so_and_one_that_got_an_answer_does_not() -> None:
    closed = f"http://127.0.0.1:{free_ports(1)[0]}/key?signature=secret"
    with pytest.raises(NoEngine, match="cannot connect to object storage") as caught:
        UrlReader().fetch(closed, "tag", io.BytesIO())
    assert "secret" not in str(caught.value)
    with serving_files() as server:
        server.statuses["/broken"] = 500
        with pytest.raises(StorageUnavailable) as broken:
            UrlReader().fetch(f"{server.url}/broken?signature=secret", "tag", io.BytesIO())
        assert "secret" not in str(broken.value)
        with pytest.raises(ObjectMissing):
            UrlReader().fetch(f"{server.url}/gone", "tag", io.BytesIO())
