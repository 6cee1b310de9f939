"""Which callback URLs are accepted when a client gives them."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from appliance.errors import InvalidRequest
from appliance.services.box import Box
from appliance.services.webhooks.urls import check_callback
from tests.support.boxes import with_settings

NAMES = {"inside.example": ["127.0.0.1"], "outside.example": ["8.8.8.8"], "both.example": ["8.8.8.8", "127.0.0.1"]}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let NAMES resolve, and no other name."""

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        if host not in NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (address, port)) for address in NAMES[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9/a", "https://inside.example/a", "http://both.example:9"])
def test_a_url_that_may_be_called_is_accepted(box: Box, url: str | None) -> None:
    check_callback(box, url, "callback_url")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://10.0.0.1/a", "The address 10.0.0.1 is not allowed by the setting webhook_networks."),
        ("http://outside.example/a", "The address 8.8.8.8 is not allowed by the setting webhook_networks."),
        ("http://nowhere.example/a", "The name nowhere.example does not resolve now: "),
        ("http://inside.example:8080/a", "Port 8080 of 127.0.0.1 belongs to the appliance itself."),
        ("ftp://inside.example/a", "Must begin with http:// or https://."),
    ],
)
def test_a_url_that_may_not_be_called_is_refused_by_name_too(box: Box, url: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check_callback(with_settings(box, port=8080), url, "callback_url")
    assert str(refusal.value).startswith(f"callback_url: {reason}")
