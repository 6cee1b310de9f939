"""Any bucket of an S3 server, with any keys that S3 allows: spaces, ``=``, Unicode. It uses only the S3 API."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from minio import Minio

from appliance.config import Settings
from appliance.errors import ConfigurationError, StorageError
from appliance.storage.access import Credentials, read_keys
from appliance.storage.seam import connection_pool, s3_client, translated

BLOCK_BYTES = 1024**2


@dataclass(frozen=True)
class Listed:
    """An object in a list: its key, its entity tag without quotes, its size in bytes."""

    key: str
    etag: str
    size_bytes: int


class Bucket:
    """A bucket. Every method may raise StorageUnavailable and StorageError. Threads may share it."""

    def __init__(self, client: Minio, name: str) -> None:
        self._client = client
        self.name = name

    @classmethod
    def of(cls, settings: Settings, name: str, *, reads_only: bool = False) -> Bucket:
        """Return a bucket at ``storage_endpoint``, with the key that only reads if that is enough.

        Raises ConfigurationError if the settings do not say where storage is.
        """
        own = Credentials(settings.storage_access_key, settings.storage_secret_key)
        keys = read_keys(settings) if reads_only else own
        if not (settings.storage_endpoint and keys.access_key and keys.secret_key):
            raise ConfigurationError(
                f"s3://{name} needs storage_endpoint, storage_access_key and storage_secret_key in the settings."
            )
        pool = connection_pool(settings.storage_ca_file)
        endpoint = str(settings.storage_endpoint)
        return cls(s3_client(endpoint, settings.storage_region, keys, pool), name)

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects whose keys start with ``prefix``, in the server's order."""
        with translated(f"{self.name}/{prefix}"):
            for item in self._client.list_objects(self.name, prefix=prefix, recursive=True):
                yield Listed(item.object_name or "", (item.etag or "").strip('"'), item.size or 0)

    def fetch(self, key: str, etag: str, file: BinaryIO) -> None:
        """Stream an object's bytes into ``file``. Raises ObjectMissing; ObjectChanged if its tag is not ``etag``."""
        with translated(key):
            response = self._client.get_object(self.name, key, request_headers={"If-Match": f'"{etag}"'})
            try:
                for block in response.stream(BLOCK_BYTES):
                    file.write(block)
            finally:
                response.close()
                response.release_conn()

    def read(self, key: str, last_bytes: int | None = None) -> bytes:
        """Return an object, or its end: up to ``last_bytes`` bytes. Raises ObjectMissing."""
        headers: dict[str, str | list[str] | tuple[str]] = {"Range": f"bytes=-{last_bytes}"} if last_bytes else {}
        with translated(key):
            response = self._client.get_object(self.name, key, request_headers=headers)
            try:
                return response.read()
            finally:
                response.close()
                response.release_conn()

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store bytes under ``key``. Replaces an older object, which readers see until the new one is complete."""
        with translated(key):
            self._client.put_object(self.name, key, io.BytesIO(data), len(data), content_type)

    def ready(self) -> bool:
        """Return whether the bucket can be reached."""
        try:
            with translated(self.name):
                return self._client.bucket_exists(self.name)
        except StorageError:
            return False
