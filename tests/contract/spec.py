"""Checks responses against the OpenAPI document that the appliance serves."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from jsonschema import Draft202012Validator, FormatChecker

from appliance.frontdoor.paths import PLAIN_ERRORS
from appliance.http_errors import FILE_ERRORS, HTTP_ERRORS

PROBLEM = "application/problem+json"
CODES = {error.code: error.status for error in HTTP_ERRORS}
FILE_CODES = {kind.code for kind in FILE_ERRORS}
FORMATS = FormatChecker(())


@FORMATS.checks("date-time", ValueError)
def is_rfc3339_utc(text: object) -> bool:
    """Whether a string is RFC 3339 in UTC, as the contract says."""
    return not isinstance(text, str) or bool(text.endswith("Z") and datetime.fromisoformat(text))


def file_codes(value: Any) -> set[str]:
    """Every ``error_code`` in a response, at any depth."""
    if isinstance(value, list):
        return set().union(*map(file_codes, value))
    if not isinstance(value, dict):
        return set()
    own = {value[name] for name in ("error_code", "errorCode") if value.get(name)}
    return own.union(*map(file_codes, value.values()))


class Spec:
    """The OpenAPI document of one appliance."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        literal_first = sorted(document["paths"].items(), key=lambda path: path[0].count("{"))
        self._paths = {re.compile(re.sub(r"\{\w+\}", "[^/]+", path)): path for path, _ in literal_first}

    def path_of(self, path: str) -> str | None:
        """Return the path of the document that the path of a request means."""
        return next((known for regex, known in self._paths.items() if regex.fullmatch(path)), None)

    def check(self, response: requests.Response) -> None:
        """Fail if a response differs from the document in status, type or shape, or has a code that is not listed."""
        request = response.request
        assert len(response.raw.headers.getlist("X-Request-ID")) == 1, dict(response.headers)
        path = urlsplit(str(request.url)).path
        if path.startswith("/audio"):
            return
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        if path == "/readyz" and media_type == PROBLEM:  # from the front door, while no API runs
            self.check_problem(response)
            return
        if response.status_code >= 400 and path != "/readyz":
            plain = path.startswith(PLAIN_ERRORS)
            expected = "application/json" if plain else PROBLEM
            assert media_type == expected, f"{request.method} {path}: {media_type} {response.text[:200]}"
            (self.check_failure if plain else self.check_problem)(response)
        operations = self.document["paths"].get(self.path_of(path), {})
        operation = operations.get(str(request.method).lower())
        if operation is None:
            return  # a page, or a request without an operation
        responses = operation["responses"]
        content = responses.get(str(response.status_code), responses["default"]).get("content", {})
        if not content:
            assert response.content == b"", f"{request.method} {path}: {response.text[:200]}"
            return
        assert media_type in content, f"{request.method} {path}: {response.status_code} {media_type}"
        if media_type in ("application/json", PROBLEM):
            self.validate(response.json(), content[media_type]["schema"])
            assert file_codes(response.json()) <= FILE_CODES

    def check_problem(self, response: requests.Response) -> None:
        problem = response.json()
        self.validate(problem, {"$ref": "#/components/schemas/Problem"})
        assert problem["status"] == response.status_code
        assert set(problem) == {"type", "title", "status", "detail", "code"}
        assert CODES.get(problem["code"]) == problem["status"], f"{problem} is not in docs/errors.md"
        assert problem["detail"].strip()

    def check_failure(self, response: requests.Response) -> None:
        assert set(response.json()) == {"error"}
        assert response.json()["error"].strip()

    def validate(self, value: Any, schema: dict[str, Any]) -> None:
        """Validate against a schema, which may refer to the document's components."""
        whole = {**schema, "components": self.document["components"]}
        Draft202012Validator(whole, format_checker=FORMATS).validate(value)
