"""Objects in an S3 bucket: upload forms and URLs for clients, bytes for the worker. It speaks S3 and nothing else."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

from minio.credentials import Credentials as MinioCredentials
from minio.datatypes import PostPolicy

from appliance.errors import StorageError
from appliance.storage.access import StorageAccess
from appliance.storage.disposition import content_disposition
from appliance.storage.grants import Grants
from appliance.storage.seam import connection_pool, s3_client, translated

BLOCK_BYTES = 1024**2
PART_BYTES = 8 * 1024**2
# Neither "*", "?" nor "$" may reach a policy, where they would widen a grant; and the front door passes nothing else.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


@dataclass(frozen=True)
class ObjectInfo:
    """An object's size in bytes and its entity tag, without quotes."""

    size_bytes: int
    etag: str


@dataclass(frozen=True)
class UploadForm:
    """Where a form is posted, and its fields in the order in which they must be sent, before the file."""

    url: str
    fields: dict[str, str]


class Readable(Protocol):
    """Bytes that come once."""

    def read(self, size: int, /) -> bytes:
        """``size`` bytes, or up to it; none at the end."""
        ...


class ObjectStore:
    """The bucket of one data folder. Every method may raise StorageUnavailable and StorageError; threads may share it.

    Keys are path segments of letters, digits, ``.``, ``_`` and ``-``.
    """

    def __init__(self, access: StorageAccess) -> None:
        self._access = access
        self._pool = connection_pool()
        self._client = s3_client(access.endpoint, access.region, access.service, self._pool)
        hasty = connection_pool(read_seconds=2.0, retries=0, connections=4)
        self._hasty_client = s3_client(access.endpoint, access.region, access.service, hasty)
        self._grants = Grants(access, self._pool)

    @property
    def local_ports(self) -> set[int]:
        """Ports that storage listens on, or is told to call, which nobody else may reach."""
        here = urlsplit(self._access.endpoint)
        own = here.port if here.hostname == "127.0.0.1" else None
        return {port for port in (own, self._access.arrivals_port) if port}

    @property
    def arrivals_token(self) -> str | None:
        """What storage shows when it tells of an upload; None where it tells of none."""
        return self._access.arrivals_token

    def upload_form(
        self, key: str, *, content_type: str, origin: str, max_bytes: int, expires_seconds: int
    ) -> UploadForm:
        """A form that posts one object of up to ``max_bytes`` under ``key`` for ``expires_seconds``.

        ``origin`` is the scheme, host and port that the client uses, or a prefix that a proxy takes off. The
        object's content type is pinned to ``content_type``.
        """
        grant = self._grants.for_upload(_checked(key), expires_seconds)
        policy = PostPolicy(self._access.bucket, datetime.now(UTC) + timedelta(seconds=expires_seconds))
        policy.add_equals_condition("key", key)
        policy.add_equals_condition("Content-Type", content_type)
        policy.add_content_length_range_condition(0, max_bytes)
        signer = MinioCredentials(grant.access_key, grant.secret_key, grant.session_token)
        signed = policy.form_data(signer, self._access.region)
        fields = {"key": key, "Content-Type": content_type, "policy": signed.pop("policy")}
        fields |= dict(sorted(signed.items(), key=lambda field: field[0] == "x-amz-signature"))
        return UploadForm(url=f"{origin.rstrip('/')}/{self._access.bucket}", fields=fields)

    def upload_url(self, key: str, *, origin: str, expires_seconds: int) -> str:
        """A URL at ``origin`` that takes the object's bytes by PUT for ``expires_seconds``.

        A signed URL can hold no limit of size: the front door has one, and what arrives is to be looked at.
        """
        grant = self._grants.for_upload(_checked(key), expires_seconds)
        signer = s3_client(f"http://{self._access.signing_host}", self._access.region, grant, self._pool)
        with translated(key):
            signed = signer.presigned_put_object(self._access.bucket, key, expires=timedelta(seconds=expires_seconds))
        return _at(origin, signed)

    def download_url(self, key: str, *, filename: str, content_type: str, origin: str, expires_seconds: int) -> str:
        """A URL at ``origin`` that gives the object for ``expires_seconds``, as ``filename`` of ``content_type``."""
        grant = self._grants.for_download(_checked(key), expires_seconds)
        signer = s3_client(f"http://{self._access.signing_host}", self._access.region, grant, self._pool)
        with translated(key):
            signed = signer.presigned_get_object(
                self._access.bucket,
                key,
                expires=timedelta(seconds=expires_seconds),
                response_headers={
                    "response-content-disposition": content_disposition(filename),
                    "response-content-type": content_type,
                },
            )
        return _at(origin, signed)

    def stat(self, key: str) -> ObjectInfo:
        """Size and tag of an object. Raises ObjectMissing."""
        with translated(key):
            found = self._client.stat_object(self._access.bucket, _checked(key))
        if found.size is None or not found.etag:
            raise StorageError(f"Object storage gave {key} no size or no tag.")
        return ObjectInfo(size_bytes=found.size, etag=found.etag.strip('"'))

    def fetch(self, key: str, etag: str, file: BinaryIO) -> None:
        """Stream an object's bytes into ``file``. Raises ObjectMissing; ObjectChanged where its tag is not ``etag``."""
        with translated(key):
            response = self._client.get_object(
                self._access.bucket, _checked(key), request_headers={"If-Match": f'"{etag}"'}
            )
            try:
                for block in response.stream(BLOCK_BYTES):
                    file.write(block)
            finally:
                response.close()
                response.release_conn()

    def put(self, key: str, data: bytes | BinaryIO, *, size_bytes: int | None = None, content_type: str) -> ObjectInfo:
        """Store bytes, or ``size_bytes`` read from a binary file, under ``key``, replacing what was there."""
        if isinstance(data, bytes):
            size_bytes = len(data)
            data = io.BytesIO(data)
        if size_bytes is None:
            raise StorageError(f"The size of {key} was not given.")
        with translated(key):
            made = self._client.put_object(self._access.bucket, _checked(key), data, size_bytes, content_type)
        return ObjectInfo(size_bytes=size_bytes, etag=(made.etag or "").strip('"'))

    def put_stream(self, key: str, stream: Readable, content_type: str) -> str:
        """Store what ``stream`` gives until it ends, in parts of 8 MiB, under ``key``; its tag."""
        with translated(key):
            made = self._client.put_object(
                self._access.bucket,
                _checked(key),
                cast(BinaryIO, stream),
                -1,
                content_type,
                part_size=PART_BYTES,
                num_parallel_uploads=1,  # one part in memory at a time, and none left behind by a stream that breaks
            )
        return (made.etag or "").strip('"')

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        with translated(key):
            self._client.remove_object(self._access.bucket, _checked(key))

    def ready(self) -> bool:
        """Whether storage answers for the bucket, known within about two seconds."""
        try:
            with translated(self._access.bucket):
                return self._hasty_client.bucket_exists(self._access.bucket)
        except StorageError:
            return False


def _at(origin: str, signed: str) -> str:
    """A signed URL as the client reaches it."""
    to, path = urlsplit(origin), urlsplit(signed)
    return urlunsplit((to.scheme, to.netloc, to.path.rstrip("/") + path.path, path.query, ""))


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key) or len(key) > 900:
        raise StorageError(f"{key!r} is not a key that the appliance stores under.")
    return key
