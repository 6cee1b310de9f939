"""What clients read instead of storage's own refusals, which are XML: problems, like every other error.

Caddy sees the status of storage's response but not its body, and MinIO names its error code in a header for HEAD alone.
So each status of storage has one sentence, which covers all of its causes.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.errors import FileTooLarge, Forbidden, InvalidRequest, NotFound, StorageFull
from appliance.frontdoor.door import FrontDoor
from appliance.frontdoor.shared import OVER_THE_CAP, declares_more_than, refusal
from appliance.http_errors import (
    INTERNAL_ERROR,
    LENGTH_REQUIRED,
    PRECONDITION_FAILED,
    RANGE_NOT_SATISFIABLE,
    SERVICE_UNAVAILABLE,
    HttpError,
    http_error_of,
)


@dataclass(frozen=True)
class Refusal:
    """A refusal by storage: its reason in the log, which the error routes match, and what the client reads."""

    reason: str
    error: HttpError
    detail: str


FORM = Refusal(
    "storage cannot read the form",
    http_error_of(InvalidRequest),
    "Storage refused the form. Send its fields as they are, then the file as the last field, with the declared size.",
)
REQUEST = Refusal(
    "storage cannot read the request",
    http_error_of(InvalidRequest),
    "Storage refused the request. Use the presigned URL as it is, and send the whole file.",
)
EXPIRED = Refusal(
    "storage denies access",
    http_error_of(Forbidden),
    "The form or the presigned URL is expired, or was changed. Request a new one and use it as it is.",
)
MISSING = Refusal("no such object", http_error_of(NotFound), "There is no file under this URL, or it was deleted.")
NO_LENGTH = Refusal("no length", LENGTH_REQUIRED, "Storage takes only uploads with a Content-Length.")
CONDITION = Refusal("condition not met", PRECONDITION_FAILED, "The file does not meet the condition of the request.")
RANGE = Refusal("range beyond the end", RANGE_NOT_SATISFIABLE, "The file ends before the requested range.")
FULL = Refusal(
    "storage is full",
    http_error_of(StorageFull),
    "The disk of the appliance is full. Free space on it, then try again.",
)
BUSY = Refusal("storage is busy", SERVICE_UNAVAILABLE, "Storage does not respond now. Try again in a few seconds.")
FAILED = Refusal("storage failed", INTERNAL_ERROR, "Storage failed; its log has the reason.")

REFUSALS = (FORM, REQUEST, EXPIRED, MISSING, NO_LENGTH, CONDITION, RANGE, FULL, BUSY, FAILED)

_BY_STATUS = {
    403: EXPIRED,
    404: MISSING,
    411: NO_LENGTH,
    412: CONDITION,
    416: RANGE,
    429: BUSY,
    502: BUSY,
    503: BUSY,
    504: BUSY,
    507: FULL,
}
_ANY_4XX, _ANY_5XX = 4, 5  # Caddy reads one digit as a class of statuses


def refused_responses(door: FrontDoor) -> list[dict]:
    """Return the ``handle_response`` of the proxy to storage. Responses that are no errors pass unchanged.

    The front door's cap on a form leaves room for its fields, so a file can be over the limit by less than that. Then
    storage refuses it with 400, because every form is signed for the size that was declared.
    """
    posted = {"method": ["POST"]}
    too_large = {"handle": [refusal(http_error_of(FileTooLarge).status, OVER_THE_CAP)]}
    form = [
        {"match": [posted | declares_more_than(door.max_upload_bytes)], **too_large},
        {"match": [posted], **_refused(FORM)},
    ]
    return [
        *(_response(status, [_refused(kind)]) for status, kind in _BY_STATUS.items()),
        _response(413, [too_large]),
        _response(_ANY_4XX, [*form, _refused(REQUEST)]),
        _response(_ANY_5XX, [_refused(FAILED)]),
    ]


def _response(status: int, routes: list[dict]) -> dict:
    return {"match": {"status_code": [status]}, "routes": routes}


def _refused(kind: Refusal) -> dict:
    return {"handle": [refusal(kind.error.status, kind.reason)]}
