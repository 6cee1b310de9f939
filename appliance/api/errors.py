"""Every error as ``application/problem+json`` (RFC 9457) with a stable code. HTTP statuses are given here alone.

One door has clients that read ``{"error": sentence}``; they get that, with the same statuses.
"""

from __future__ import annotations

import json
from http import HTTPStatus

import structlog
from flask import Flask, Response, g, make_response, request
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException

from appliance import errors
from appliance.errors import ApplianceError

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
PLAIN_PATHS = "/v2/"  # where clients read {"error": sentence}

# The nearest class among an error's ancestors decides.
STATUS: dict[type[ApplianceError], HTTPStatus] = {
    ApplianceError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidRequest: HTTPStatus.BAD_REQUEST,
    errors.FileTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.TooManyUploads: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.ModelNotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.CallbackRefused: HTTPStatus.BAD_REQUEST,
    errors.CallbackFailed: HTTPStatus.BAD_GATEWAY,
    errors.AudioError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.StorageUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseBusy: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Problem(BaseModel):
    """What went wrong."""

    type: str = Field("about:blank", description="Always about:blank; `code` tells errors apart.")
    title: str = Field(description="The HTTP status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="A sentence for the person who can mend it.")
    code: str = Field(description="Stable name of the error.")


class Failure(BaseModel):
    """What went wrong, as the clients of `/v2/` read it."""

    error: str = Field(description="A sentence for the person who can mend it.")


def status_of(kind: type[ApplianceError]) -> HTTPStatus:
    """The HTTP status of an error class."""
    return next(STATUS[ancestor] for ancestor in kind.__mro__ if ancestor in STATUS)


def register_error_handlers(app: Flask) -> None:
    """Turn every error into a problem, the framework's own and unforeseen ones too."""
    app.register_error_handler(ApplianceError, _domain_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unforeseen_error)


def validation_problem(error: ValidationError) -> Response:
    """400 that names every field that is wrong."""
    faults = "; ".join(_fault(e["loc"], e["type"], e["msg"]) for e in error.errors())
    return _problem(HTTPStatus.BAD_REQUEST, f"{faults}.", errors.InvalidRequest.code)


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> str:
    if not location:
        return "The body must be a JSON object, sent as application/json"
    if kind == "extra_forbidden":
        message = "Unknown key"
    return f"{'.'.join(map(str, location))}: {message.removeprefix('Value error, ')}"


def _domain_error(error: ApplianceError) -> Response:
    status = status_of(type(error))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request failed", code=error.code, error=str(error), request_id=g.get("request_id"))
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _internal_error()
    response = _problem(status, str(error), error.code)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = "2"
    return response


def _http_error(error: HTTPException) -> Response:
    if error.response is not None:  # a problem already, such as a validation error
        return make_response(error.response)
    status = HTTPStatus(error.code or 500)
    response = _problem(status, error.description or status.phrase, status.phrase.lower().replace(" ", "_"))
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def _unforeseen_error(error: Exception) -> Response:
    log.error("request failed", exc_info=error, request_id=g.get("request_id"))
    return _internal_error()


def _internal_error() -> Response:
    detail = f"The appliance failed; its log has the reason under request {g.get('request_id')}."
    return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, "internal_server_error")


def _problem(status: HTTPStatus, detail: str, code: str) -> Response:
    if request.path.startswith(PLAIN_PATHS):
        return Response(json.dumps({"error": detail}), status=status, mimetype="application/json")
    problem = Problem(type="about:blank", title=status.phrase, status=status, detail=detail, code=code)
    return Response(json.dumps(problem.model_dump()), status=status, mimetype=MEDIA_TYPE)
