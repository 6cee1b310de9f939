"""Uploads in parts: the appliance creates them, clients put the parts, the appliance completes or aborts them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from minio import Minio
from minio.datatypes import Part

from appliance.storage.access import StorageAccess
from appliance.storage.grants import Grants
from appliance.storage.part_urls import part_query
from appliance.storage.seam import translated

MAX_PARTS = 10_000
LEAST_PART_BYTES = 16 * 1024**2
MOST_PART_BYTES = 5 * 1024**3
PAGE = 1000


@dataclass(frozen=True)
class PartInfo:
    """A part that arrived."""

    number: int
    size_bytes: int
    etag: str


class PartStore:
    """The uploads in parts of a bucket. Every method may raise StorageUnavailable and StorageError.

    minio-py has no public calls for these.
    """

    def __init__(self, access: StorageAccess, client: Minio, grants: Grants) -> None:
        self._access, self._client, self._grants = access, client, grants

    def create(self, key: str, content_type: str) -> str:
        """Begin an upload in parts. Returns its id in storage."""
        with translated(key):
            return self._client._create_multipart_upload(
                bucket_name=self._access.bucket, object_name=key, headers={"Content-Type": content_type}
            )

    def urls(
        self, key: str, upload_id: str, sizes: dict[int, int], *, origin: str, expires_seconds: int
    ) -> dict[int, str]:
        """Return a URL at ``origin`` for each part in ``sizes``, which takes exactly so many bytes by PUT."""
        grant = self._grants.for_parts(key, expires_seconds)
        base = urlsplit(origin)
        path = f"/{self._access.bucket}/{key}"
        return {
            number: f"{base.scheme}://{base.netloc}{base.path.rstrip('/')}{path}?"
            + part_query(
                grant,
                region=self._access.region,
                host=self._access.signing_host,
                path=path,
                upload_id=upload_id,
                part_number=number,
                size_bytes=size_bytes,
                expires_seconds=expires_seconds,
            )
            for number, size_bytes in sizes.items()
        }

    def arrived(self, key: str, upload_id: str) -> list[PartInfo]:
        """Return the parts that arrived, in order. Raises ObjectMissing if the upload has ended."""
        parts: list[PartInfo] = []
        marker: str | None = None
        with translated(key):
            while True:
                page = self._client._list_parts(
                    bucket_name=self._access.bucket,
                    object_name=key,
                    upload_id=upload_id,
                    max_parts=PAGE,
                    part_number_marker=marker,
                )
                parts += [PartInfo(part.part_number, part.size or 0, part.etag.strip('"')) for part in page.parts]
                if not page.is_truncated or not page.parts:
                    return parts
                marker = str(page.parts[-1].part_number)

    def complete(self, key: str, upload_id: str, parts: list[PartInfo]) -> None:
        """Make the object of its parts. Raises ObjectMissing if the upload has ended."""
        with translated(key):
            self._client._complete_multipart_upload(
                bucket_name=self._access.bucket,
                object_name=key,
                upload_id=upload_id,
                parts=[Part(part.number, part.etag) for part in parts],
            )
