"""Objects in an S3 bucket: upload forms and URLs for clients, bytes for the worker. It uses only the S3 API."""

from __future__ import annotations

import builtins
import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import BinaryIO, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

from minio.credentials import Credentials as MinioCredentials
from minio.datatypes import PostPolicy
from prometheus_client.core import Metric

from appliance.errors import StorageError
from appliance.storage import copies
from appliance.storage.access import StorageAccess
from appliance.storage.bucket import Bucket
from appliance.storage.disposition import content_disposition
from appliance.storage.figures import read_figures
from appliance.storage.grants import Grants
from appliance.storage.parts import PartStore
from appliance.storage.seam import connection_pool, s3_client, translated

PART_BYTES = 8 * 1024**2
LEAST_PART_BYTES = 5 * 1024**2  # of S3
ONE_PIECE_BYTES = 1024**3  # it is held in memory
# "*", "?" and "$" would widen a grant if they got into a policy. The front door passes only keys of this form.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


@dataclass(frozen=True)
class ObjectInfo:
    """An object's size in bytes and its entity tag without quotes."""

    size_bytes: int
    etag: str


@dataclass(frozen=True)
class StoredKey:
    """An object's key, and when it was stored, in seconds since 1970."""

    key: str
    modified_at: float


@dataclass(frozen=True)
class UnendedUpload:
    """An upload in parts that was begun: the key of its object, and its id in storage."""

    key: str
    upload_id: str


@dataclass(frozen=True)
class UploadForm:
    """The URL of a form, and its fields in the order in which they must be sent, before the file."""

    url: str
    fields: dict[str, str]


class Readable(Protocol):
    """A stream of bytes that can be read once."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        ...


class ObjectStore:
    """The bucket of one data folder. Every method may raise StorageUnavailable and StorageError. Threads may share it.

    Keys are path segments of letters, digits, ``.``, ``_`` and ``-``.
    """

    def __init__(self, access: StorageAccess) -> None:
        self._access = access
        self._pool = connection_pool(access.ca_file)
        self._client = s3_client(access.endpoint, access.region, access.service, self._pool)
        self._bucket = Bucket(self._client, access.bucket)
        short = connection_pool(access.ca_file, read_seconds=2.0, retries=0, connections=4)
        self._short_client = s3_client(access.endpoint, access.region, access.service, short)
        self._grants = Grants(access, self._pool)
        self.parts = PartStore(access, self._client, self._grants)

    @property
    def local_ports(self) -> set[int]:
        """Local ports of storage and of its upload events. No URL of a client may lead to them."""
        endpoint = urlsplit(self._access.endpoint)
        own = endpoint.port if endpoint.hostname == "127.0.0.1" else None
        return {port for port in (own, self._access.arrivals_port, *self._access.local_ports) if port}

    @property
    def arrivals_token(self) -> str | None:
        """Bearer token on the storage server's upload events; None if it sends no events."""
        return self._access.arrivals_token

    def upload_form(
        self, key: str, *, content_type: str, origin: str, size_bytes: int, expires_seconds: int
    ) -> UploadForm:
        """Return a form that posts one object of exactly ``size_bytes`` under ``key`` for ``expires_seconds``.

        ``origin`` is the scheme, host and port that the client uses, and a path prefix if a proxy removes one. A
        client may leave the field ``Content-Type`` out or change it: downloads set their own.
        """
        grant = self._grants.for_upload(_checked(key), expires_seconds)
        policy = PostPolicy(self._access.bucket, datetime.now(UTC) + timedelta(seconds=expires_seconds))
        policy.add_equals_condition("key", key)
        policy.add_starts_with_condition("Content-Type", "")
        policy.add_content_length_range_condition(size_bytes, size_bytes)
        signer = MinioCredentials(grant.access_key, grant.secret_key, grant.session_token)
        signed = policy.form_data(signer, self._access.region)
        fields = {"key": key, "Content-Type": content_type, "policy": signed.pop("policy")}
        fields |= dict(sorted(signed.items(), key=lambda field: field[0] == "x-amz-signature"))
        return UploadForm(url=f"{origin.rstrip('/')}/{self._access.bucket}", fields=fields)

    def upload_url(self, key: str, *, origin: str, expires_seconds: int) -> str:
        """Return a URL at ``origin`` that accepts the object's bytes by PUT for ``expires_seconds``.

        A signed URL cannot limit the size. The front door does, and the caller must check what arrived.
        """
        grant = self._grants.for_upload(_checked(key), expires_seconds)
        signer = s3_client(f"http://{self._access.signing_host}", self._access.region, grant, self._pool)
        with translated(key):
            signed = signer.presigned_put_object(self._access.bucket, key, expires=timedelta(seconds=expires_seconds))
        return _at(origin, signed)

    def download_url(self, key: str, *, filename: str, content_type: str, origin: str, expires_seconds: int) -> str:
        """Return a URL at ``origin`` that serves the object, as ``filename``, for ``expires_seconds``."""
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

    def node_url(self, key: str, expires_seconds: int) -> str:
        """Return a URL at storage itself that reads one object, for a node of the cluster."""
        reader = self._access.reader
        with translated(key):
            signer = s3_client(self._access.endpoint, self._access.region, reader, self._pool)
            return signer.presigned_get_object(
                self._access.bucket, _checked(key), expires=timedelta(seconds=expires_seconds)
            )

    def stat(self, key: str) -> ObjectInfo:
        """Return an object's size and tag. Raises ObjectMissing."""
        with translated(key):
            info = self._client.stat_object(self._access.bucket, _checked(key))
        if info.size is None or not info.etag:
            raise StorageError(f"Object storage returned no size or no tag for {key}.")
        return ObjectInfo(size_bytes=info.size, etag=info.etag.strip('"'))

    def copy(self, source: str, info: ObjectInfo, target: str) -> ObjectInfo:
        """Copy an object inside storage, as ``stat`` described it, and return the description of the copy.

        Raises ObjectMissing, and ObjectChanged if the source has another tag than ``info``.
        """
        with translated(source):
            etag = copies.copy(
                self._client, self._access.bucket, _checked(source), info.etag, _checked(target), info.size_bytes
            )
        return ObjectInfo(size_bytes=info.size_bytes, etag=etag)

    def list(self, prefix: str, limit: int, after: str = "") -> list[StoredKey]:
        """Return up to ``limit`` objects whose keys start with ``prefix``, in the server's order, from ``after`` on."""
        with translated(prefix):
            objects = self._client.list_objects(
                self._access.bucket, prefix=prefix, recursive=True, start_after=after or None
            )
            return [
                StoredKey(item.object_name or "", item.last_modified.timestamp() if item.last_modified else 0.0)
                for item in islice(objects, limit)
            ]

    def fetch(self, key: str, etag: str, file: BinaryIO) -> None:
        """Stream an object's bytes into ``file``. Raises ObjectMissing; ObjectChanged if its tag is not ``etag``."""
        self._bucket.fetch(_checked(key), etag, file)

    def read(self, key: str, etag: str | None, offset: int, num_bytes: int | None = None) -> bytes:
        """Return ``num_bytes`` of an object, or all from ``offset`` on; less if it ends before.

        Raises ObjectMissing; ObjectChanged if ``etag`` is not None and the object has another tag.
        """
        headers: dict[str, str | list[str] | tuple[str]] = {"If-Match": f'"{etag}"'} if etag else {}
        with translated(key):
            response = self._client.get_object(
                self._access.bucket, _checked(key), offset=offset, length=num_bytes or 0, request_headers=headers
            )
            try:
                return response.read()
            finally:
                response.close()
                response.release_conn()

    def put(self, key: str, data: bytes | BinaryIO, *, size_bytes: int | None = None, content_type: str) -> ObjectInfo:
        """Store bytes, or ``size_bytes`` read from a binary file, under ``key``. Replaces an older object."""
        if isinstance(data, bytes):
            size_bytes = len(data)
            data = io.BytesIO(data)
        if size_bytes is None:
            raise StorageError(f"The size of {key} was not given.")
        with translated(key):
            # With its three uploads at once minio-py holds 25 MiB, with one 10.
            result = self._client.put_object(
                self._access.bucket, _checked(key), data, size_bytes, content_type, num_parallel_uploads=1
            )
        return ObjectInfo(size_bytes=size_bytes, etag=(result.etag or "").strip('"'))

    def put_again(self, key: str, file: BinaryIO, size_bytes: int, etag: str) -> str:
        """Store a copy of bytes that had the tag ``etag``, in parts of the same size if that can be known.

        Returns the tag: the same one unless the parts are others, since a tag is made of the parts.
        """
        part_bytes = _part_bytes(size_bytes, etag)
        with translated(key):
            result = self._client.put_object(
                self._access.bucket, _checked(key), file, size_bytes, part_size=part_bytes, num_parallel_uploads=1
            )
        return (result.etag or "").strip('"')

    def put_stream(self, key: str, stream: Readable, content_type: str) -> str:
        """Store ``stream`` up to its end under ``key``, in parts of 8 MiB. Returns the object's tag."""
        with translated(key):
            result = self._client.put_object(
                self._access.bucket,
                _checked(key),
                cast(BinaryIO, stream),
                -1,
                content_type,
                part_size=PART_BYTES,
                # One part in memory at a time, and no part left in storage if the stream breaks.
                num_parallel_uploads=1,
            )
        return (result.etag or "").strip('"')

    def delete(self, key: str) -> None:
        """Remove an object. It is not an error if it does not exist."""
        with translated(key):
            self._client.remove_object(self._access.bucket, _checked(key))

    def list_unended(self, before: float) -> builtins.list[UnendedUpload]:
        """Return up to 1,000 uploads in parts that began before ``before``, in seconds since 1970, and have no end."""
        with translated(self._access.bucket):
            # minio-py has no public calls for these.
            uploads = self._client._list_multipart_uploads(bucket_name=self._access.bucket).uploads
        return [
            UnendedUpload(upload.object_name, upload.upload_id)
            for upload in uploads
            if upload.initiated_time and upload.initiated_time.timestamp() < before and upload.upload_id
        ]

    def abort(self, upload: UnendedUpload) -> None:
        """Delete the parts of an upload that was never ended."""
        with translated(upload.key):
            self._client._abort_multipart_upload(
                bucket_name=self._access.bucket, object_name=upload.key, upload_id=upload.upload_id
            )

    def figures(self) -> builtins.list[Metric] | None:
        """Return the server's own metrics for Prometheus; None if it has none."""
        return read_figures(self._access)

    def ready(self) -> bool:
        """Return, within about two seconds, whether the bucket can be reached."""
        try:
            with translated(self._access.bucket):
                return self._short_client.bucket_exists(self._access.bucket)
        except StorageError:
            return False


def _at(origin: str, signed: str) -> str:
    """Return the signed URL with the origin that the client uses."""
    base, url = urlsplit(origin), urlsplit(signed)
    return urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + url.path, url.query, ""))


def _part_bytes(size_bytes: int, etag: str) -> int:
    """Return the part size of an object: 0 leaves it to the library, which takes what ``put`` takes."""
    count = int(etag.rpartition("-")[2]) if re.fullmatch(r"[0-9a-f]{32}-[0-9]+", etag) else 0
    if count == 0:  # one piece
        return max(LEAST_PART_BYTES, size_bytes) if size_bytes <= ONE_PIECE_BYTES else 0
    sizes = (PART_BYTES, copies.LEAST_PART_BYTES)
    return next((size for size in sizes if -(-size_bytes // size) == count), 0)


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key) or len(key) > 900:
        raise StorageError(f"{key!r} is not a key under which the appliance stores objects.")
    return key
