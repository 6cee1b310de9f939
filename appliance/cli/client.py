"""A client of the REST API that has only the calls of the demonstration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import urllib3


class Client:
    """Calls one appliance with one API key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"X-API-Key": key}

    def get(self, path: str) -> dict[str, Any]:
        """GET a JSON object and return it."""
        return _json(urllib3.request("GET", self._url + path, headers=self._headers))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST a JSON object and return the one in the response."""
        return _json(urllib3.request("POST", self._url + path, json=body, headers=self._headers))

    def upload(self, url: str, fields: dict[str, str], file: Path) -> None:
        """Post a file with a presigned form. The file is the last field."""
        response = urllib3.request("POST", url, fields={**fields, "file": (file.name, file.read_bytes())})
        if response.status != 204:
            raise click.ClickException(f"Storage refused the upload: {response.status} {response.data.decode()}")


def _json(response: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    if response.status >= 400:
        raise click.ClickException(f"{response.status}: {body.get('detail')}")
    return body
