"""The seam to minio-py and urllib3: connections with limits, and their errors translated into the appliance's own."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path
from urllib.parse import urlsplit

import certifi
import minio.time
import urllib3
from minio import Minio
from minio.credentials import StaticProvider
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from appliance.errors import (
    ConfigurationError,
    ObjectChanged,
    ObjectMissing,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from appliance.storage.access import Credentials

_MISSING = {"NoSuchKey", "NoSuchObject", "NoSuchUpload", "NoSuchVersion"}
_LATER = {
    "InternalError",
    "OperationAborted",
    "RequestNotReadyYet",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "XMinioServerNotInitialized",
}
SKEW_SECONDS = 600.0  # S3 refuses requests that were signed 15 minutes before or after its own time


def connection_pool(
    ca_file: str | Path | None = None, *, read_seconds: float = 60.0, retries: int = 3, connections: int = 32
) -> urllib3.PoolManager:
    """Return a pool with timeouts: ``read_seconds`` limits each wait for bytes, not the whole transfer.

    Over https, the server's certificate must be signed by a CA in ``ca_file`` (PEM), without one by a public CA.
    Raises ConfigurationError if the file cannot be used.
    """
    if ca_file:
        check_ca_file(ca_file)
    return urllib3.PoolManager(
        maxsize=connections,
        timeout=urllib3.Timeout(connect=3.0, read=read_seconds),
        retries=urllib3.Retry(
            total=retries,
            backoff_factor=0.1,
            status_forcelist=[500, 502, 503, 504],
            # MinIO asks for 60 seconds after each 503, also if an object is damaged: a lane would wait for 3 minutes.
            respect_retry_after_header=False,
        ),
        cert_reqs="CERT_REQUIRED",
        ca_certs=str(ca_file or certifi.where()),
    )


def check_ca_file(path: str | Path) -> None:
    """Raise ConfigurationError if a file has no certificates in PEM that can be read."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:  # SSLError is one
        reason = "it has no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigurationError(f"storage_ca_file: {path} cannot be used: {reason}.") from error


def s3_client(endpoint: str, region: str, credentials: Credentials, pool: urllib3.PoolManager) -> Minio:
    """Return a client of the S3 server at ``endpoint`` (scheme, host, port). With a region it can sign offline."""
    url = urlsplit(endpoint)
    provider = StaticProvider(credentials.access_key, credentials.secret_key, credentials.session_token)
    return Minio(url.netloc, credentials=provider, secure=url.scheme == "https", region=region, http_client=pool)


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """Raise ObjectMissing, ObjectChanged, StorageUnavailable or StorageError about ``subject`` for library errors."""
    try:
        yield
    except S3Error as error:
        raise _from_s3(error, subject) from error
    except (urllib3.exceptions.HTTPError, ConnectionError, ServerError) as error:
        raise StorageUnavailable(f"Object storage did not respond for {subject}: {_short(error)}.") from error
    except (InvalidResponseError, MinioException) as error:
        raise StorageError(f"Object storage sent a response for {subject} that is not S3: {_short(error)}.") from error
    except ValueError as error:
        # minio-py reports a refused AssumeRole in this way, with the URL and the status in the text.
        status = re.search(r"HTTP status code (\d+)", str(error))
        if status and status[1] == "507":
            raise StorageFull("The disk of the appliance is full.") from error
        # For a moment after a start MinIO answers 403, before it knows its users (11 times in six restarts).
        kind = StorageUnavailable if status and re.match("5|403", status[1]) else StorageError
        raise kind(f"Object storage refused {subject}: {_short(error)}.") from error


def _from_s3(error: S3Error, subject: str) -> StorageError:
    code = error.code or ""
    if code in _MISSING:
        return ObjectMissing(f"There is no object {subject}.")
    if code == "PreconditionFailed":
        return ObjectChanged(f"The object {subject} was replaced after its upload was confirmed.")
    if code == "XMinioStorageFull":
        return StorageFull("The disk of the appliance is full.")
    if code in _LATER or (code == "AccessDenied" and _clocks_differ(error)):
        return StorageUnavailable(f"Object storage cannot serve {subject} now ({code}).")
    return StorageError(f"Object storage refused {subject} ({code}: {error.message}).")


def _clocks_differ(error: S3Error) -> bool:
    """Whether the server has another time. The answer to HEAD has no body, so it does not say why it refuses."""
    date = parsedate_tz(error.response.headers.get("Date", ""))
    return date is not None and abs(minio.time.utcnow().timestamp() - mktime_tz(date)) > SKEW_SECONDS


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
