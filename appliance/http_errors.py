"""Every error code that a client can meet, once: for the API, the front door and ``docs/errors.md``."""

from __future__ import annotations

from dataclasses import dataclass

from appliance import errors
from appliance.errors import ApplianceError

# Domain errors that an HTTP answer can carry. Any other error of the appliance is answered as INTERNAL_ERROR: its
# reason is in the log, not in the answer.
STATUS: dict[type[ApplianceError], int] = {
    errors.InvalidRequest: 400,
    errors.UnsupportedContentType: 400,
    errors.SizeMismatch: 400,
    errors.InvalidManifest: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.ScopeMissing: 403,
    errors.TenantDisabled: 403,
    errors.NotFound: 404,
    errors.ModelNotFound: 404,
    errors.Conflict: 409,
    errors.ModelExists: 409,
    errors.NotUploaded: 409,
    errors.NotReady: 409,
    errors.JobCancelled: 409,
    errors.ScoresNotKept: 409,
    errors.FileTooLarge: 413,
    errors.OutsideRecording: 416,
    errors.CannotBePlayed: 422,
    errors.AnnotationRefused: 422,
    errors.TrainingRefused: 422,
    errors.TooManyUploads: 429,
    errors.TooManyLooks: 429,
    errors.TooManyCalls: 429,
    errors.QuotaExceeded: 429,
    errors.BeingMade: 503,
    errors.StorageUnavailable: 503,
    errors.DatabaseBusy: 503,
    errors.StorageFull: 507,
}

# Errors that stop the work on a file, audio, media or transcript, which then has their code as its ``error_code``.
FILE_ERRORS: tuple[type[ApplianceError], ...] = (
    errors.NotUploaded,
    errors.SizeMismatch,
    errors.FileTooLarge,
    errors.QuotaExceeded,
    errors.FetchFailed,
    errors.EmptyFile,
    errors.CorruptAudio,
    errors.NoAudioStream,
    errors.UnsupportedAudio,
    errors.AudioTooShort,
    errors.AudioTooLong,
    errors.DecoderDied,
    errors.DecoderKilled,
    errors.ModelNotFound,
    errors.InvalidManifest,
    errors.ProviderUnavailable,
    errors.ScoringFailed,
    errors.ScoresNotFinite,
    errors.StorageError,
    errors.ObjectMissing,
    errors.ObjectDamaged,
    errors.ObjectChanged,
    errors.TrainerDied,
    errors.ModelError,
    errors.WorkerLost,
    ApplianceError,
)


@dataclass(frozen=True)
class HttpError:
    """An error code in an HTTP answer, its status and its meaning."""

    code: str
    status: int
    meaning: str


# Codes that no domain error has: the web framework and the front door answer with them.
METHOD_NOT_ALLOWED = HttpError("method_not_allowed", 405, "The path does not take this method.")
REQUEST_TOO_LARGE = HttpError("request_too_large", 413, "The body of the request is over the limit.")
LENGTH_REQUIRED = HttpError("length_required", 411, "The upload has no Content-Length.")
PRECONDITION_FAILED = HttpError(
    "precondition_failed", 412, "The file does not meet the If-Match or If-Unmodified-Since of the request."
)
UNSUPPORTED_MEDIA_TYPE = HttpError("unsupported_media_type", 415, "The path does not take a body of this type.")
RANGE_NOT_SATISFIABLE = HttpError("range_not_satisfiable", 416, "The file ends before the requested range.")
INTERNAL_ERROR = HttpError("internal_error", 500, "The appliance failed; its log has the reason.")
SERVICE_UNAVAILABLE = HttpError("service_unavailable", 503, "A part of the appliance does not answer; try again.")
GATEWAY_TIMEOUT = HttpError("gateway_timeout", 504, "A part of the appliance did not answer in time; try again.")

HTTP_ERRORS = (
    *(HttpError(kind.code, status, " ".join((kind.__doc__ or "").split())) for kind, status in STATUS.items()),
    METHOD_NOT_ALLOWED,
    LENGTH_REQUIRED,
    PRECONDITION_FAILED,
    REQUEST_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    RANGE_NOT_SATISFIABLE,
    INTERNAL_ERROR,
    SERVICE_UNAVAILABLE,
    GATEWAY_TIMEOUT,
)

# The words of a status, which Python's HTTPStatus changes from version to version.
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    507: "Insufficient Storage",
}


def http_error_of(kind: type[ApplianceError]) -> HttpError:
    """Return the answer to an error class: its own code, or INTERNAL_ERROR if no client is to see it."""
    if kind not in STATUS:
        return INTERNAL_ERROR
    return next(error for error in HTTP_ERRORS if error.code == kind.code)


def http_error_of_status(status: int) -> HttpError:
    """Return the answer to a status that the web framework chose, with the nearest status and code of this table."""
    by_status = {
        400: http_error_of(errors.InvalidRequest),
        404: http_error_of(errors.NotFound),
        405: METHOD_NOT_ALLOWED,
        413: REQUEST_TOO_LARGE,
        415: UNSUPPORTED_MEDIA_TYPE,
        503: SERVICE_UNAVAILABLE,
    }
    if status in by_status:
        return by_status[status]
    return by_status[400] if 400 <= status < 500 else INTERNAL_ERROR
