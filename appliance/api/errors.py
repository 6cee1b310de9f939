"""Every error as ``application/problem+json`` (RFC 9457) with a stable code from ``http_errors.py``.

The clients of the raw route read ``{"error": sentence}`` instead, with the same statuses.
"""

from __future__ import annotations

import json

import structlog
from flask import Flask, Response, g, make_response, request
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException

from appliance.errors import ApplianceError, InvalidRequest, QuotaExceeded, StorageFull
from appliance.frontdoor.paths import PLAIN_ERRORS
from appliance.http_errors import INTERNAL_ERROR, TITLES, HttpError, http_error_of, http_error_of_status

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = {429: 2, 503: 2, 507: 60}


class Problem(BaseModel):
    """An error."""

    type: str = Field("about:blank", description="Always about:blank; `code` distinguishes errors.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="A sentence for the person who can fix it.")
    code: str = Field(description="Stable name of the error.")


class Failure(BaseModel):
    """An error, as the clients of `/v2/` read it."""

    error: str = Field(description="A sentence for the person who can fix it.")


MALFORMED = "The body must be a JSON object, sent as application/json"


def register_error_handlers(app: Flask) -> None:
    """Turn every error into a problem, also the framework's own and unexpected ones."""
    app.register_error_handler(ApplianceError, _domain_error)
    app.register_error_handler(HTTPException, _framework_error)
    app.register_error_handler(Exception, _unexpected_error)


def validation_problem(error: ValidationError) -> Response:
    """Return 400 with the name of every invalid field."""
    faults = "; ".join(_fault(e["loc"], e["type"], e["msg"]) for e in error.errors())
    return _problem(http_error_of(InvalidRequest), f"{faults}.")


def has_plain_errors(path: str) -> bool:
    """Whether clients of the path read ``{"error": sentence}``."""
    return path.startswith(PLAIN_ERRORS)


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not location:  # a model's own check names the fields
        return f"The body {message}" if kind == "value_error" else MALFORMED
    if kind == "extra_forbidden":
        message = "Unknown key"
    return f"{'.'.join(map(str, location))}: {message}"


def _domain_error(error: ApplianceError) -> Response:
    http_error = http_error_of(type(error))
    if http_error.status >= 500:
        log.error("request failed", code=error.code, error=str(error), request_id=g.get("request_id"))
    if http_error is INTERNAL_ERROR:
        return _internal_error()
    response = _problem(http_error, str(error))
    if isinstance(error, QuotaExceeded):
        response.headers["Retry-After"] = str(error.retry_seconds)
    return response


def _framework_error(error: HTTPException) -> Response:
    if error.response is not None:  # a problem already, such as a validation error
        return make_response(error.response)
    http_error = http_error_of_status(error.code or 500)
    response = _problem(http_error, error.description or http_error.meaning)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def _unexpected_error(error: Exception) -> Response:
    if StorageFull.is_cause_of(error):
        return _domain_error(StorageFull("The disk of the appliance is full. Free space on it, then try again."))
    log.error("request failed", exc_info=error, request_id=g.get("request_id"))
    return _internal_error()


def _internal_error() -> Response:
    return _problem(
        INTERNAL_ERROR, f"The appliance failed; its log has the reason under the request id {g.get('request_id')}."
    )


def _problem(error: HttpError, detail: str) -> Response:
    if has_plain_errors(request.path):
        response = Response(json.dumps({"error": detail}), status=error.status, mimetype="application/json")
    else:
        problem = Problem(
            type="about:blank", title=TITLES[error.status], status=error.status, detail=detail, code=error.code
        )
        response = Response(json.dumps(problem.model_dump()), status=error.status, mimetype=MEDIA_TYPE)
    if error.status in RETRY_SECONDS:
        response.headers["Retry-After"] = str(RETRY_SECONDS[error.status])
    return response
