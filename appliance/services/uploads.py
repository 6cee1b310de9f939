"""Uploads by form: what a client declares, the form, and the uploaded object. Jobs and datasets share it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from appliance.errors import (
    FileTooLarge,
    InvalidRequest,
    NotUploaded,
    ObjectChanged,
    ObjectMissing,
    SizeMismatch,
    StorageError,
)
from appliance.services.box import Box
from appliance.services.content_types import EXTENSIONS, canonical_content_type
from appliance.state.database import Transaction
from appliance.storage.access import UPLOADS
from appliance.storage.objects import ObjectInfo, UploadForm


@dataclass(frozen=True)
class Declaration:
    """A file that a client is about to upload; ``content_type`` is one of the seven audio types."""

    filename: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True)
class KeptObject:
    """The key and the tag of confirmed bytes."""

    key: str
    etag: str


@dataclass(frozen=True)
class Upload:
    """A form that takes one file until ``expires_at`` (seconds since 1970), and the id to confirm it with."""

    file_id: str
    form: UploadForm
    expires_seconds: int
    expires_at: float


class Uploaded(Protocol):
    """A row whose bytes a client uploads."""

    @property
    def object_key(self) -> str:
        """The key under which the bytes are kept."""

    @property
    def upload_key(self) -> str | None:
        """The key that the client writes to. None if that is the object key."""


class UploadRow(Uploaded, Protocol):
    """A row that declares its upload."""

    @property
    def id(self) -> str:
        """The id that the client knows."""

    @property
    def original_filename(self) -> str:
        """The file name that the client declared."""

    @property
    def content_type(self) -> str:
        """The canonical content type that the client declared."""

    @property
    def declared_size_bytes(self) -> int:
        """The size that the client declared."""

    @property
    def upload_expires_at(self) -> float:
        """When the form expires, in seconds since 1970."""


def declare(box: Box, filename: str, content_type: str, size_bytes: int, size_field: str) -> Declaration:
    """Check a declared file; ``size_field`` is the name of the size in the client's request.

    Raises UnsupportedContentType, InvalidRequest for an empty file, FileTooLarge.
    """
    content_type = canonical_content_type(content_type)
    if size_bytes <= 0:
        raise InvalidRequest(f"{size_field}: must be at least 1.")
    if size_bytes > box.settings.max_upload_bytes:
        limit = box.settings.max_upload_bytes
        raise FileTooLarge(f"{size_field}: {size_bytes} is over the limit of {limit} bytes.")
    return Declaration(filename, content_type, size_bytes)


def make_upload(box: Box, file_id: str, key: str, declared: Declaration, origin: str) -> Upload:
    """Return a form that posts the declared file under ``key``, at ``origin`` as the client reaches it."""
    expires_seconds = box.settings.upload_expires_seconds
    expires_at = time.time() + expires_seconds
    form = box.objects.upload_form(
        key,
        content_type=declared.content_type,
        origin=origin,
        size_bytes=declared.size_bytes,
        expires_seconds=expires_seconds,
    )
    return Upload(file_id, form, expires_seconds, expires_at)


def uploaded_object(box: Box, file: UploadRow) -> ObjectInfo:
    """Return the uploaded object. Raises NotUploaded, and SizeMismatch if its size is not the declared one."""
    try:
        info = box.objects.stat(file.upload_key or file.object_key)
    except ObjectMissing as error:
        raise NotUploaded("The file has not been uploaded yet.") from error
    if info.size_bytes != file.declared_size_bytes:
        raise SizeMismatch(
            f"The uploaded file has {info.size_bytes} bytes, but {file.declared_size_bytes} were declared; "
            "upload it again with the same form, or request a new form if it has expired."
        )
    return info


def upload_key_of(tenant_id: int, upload_id: str) -> str:
    """Return the key under which a client uploads."""
    return f"{UPLOADS}tenant-{tenant_id}/{upload_id}"


def accept(box: Box, file: Uploaded, info: ObjectInfo, mark: Callable[[Transaction, KeptObject], bool]) -> bool:
    """Copy an upload to a key that no client can write, and note that with ``mark``, in one transaction.

    Returns what ``mark`` returns: False if the file was accepted or deleted meanwhile. Each call copies to a key of
    its own: of two calls for one file, the slower one overwrites nothing. Bytes without an upload key, of the first
    release, stay where they are. Raises NotUploaded if the upload was replaced while it was copied.
    """
    if file.upload_key is None:
        with box.db.transaction() as tx:
            return mark(tx, KeptObject(file.object_key, info.etag))
    key = f"{file.object_key.rpartition('/')[0]}/original-{uuid.uuid4().hex[:8]}"
    try:
        kept = KeptObject(key, box.objects.copy(file.upload_key, info, key).etag)
    except (ObjectChanged, ObjectMissing) as error:
        raise NotUploaded("The file was uploaded again at this moment; confirm it once more.") from error
    accepted = False
    try:
        with box.db.transaction() as tx:
            accepted = mark(tx, kept)
    finally:
        with suppress(StorageError):  # the sweep deletes what stays behind
            box.objects.delete(file.upload_key if accepted else key)
    return accepted


def is_late(error_code: str | None) -> bool:
    """Whether a file failed only because its upload was not there, or not whole, when its form expired."""
    return error_code in (NotUploaded.code, SizeMismatch.code)


def download_url(box: Box, file: UploadRow, origin: str) -> tuple[str, int]:
    """Return a URL that downloads the original under its own name, and how many seconds the URL is valid.

    Raises NotUploaded if there is nothing to download.
    """
    filename = file.original_filename or f"{file.id}{EXTENSIONS[file.content_type]}"
    for key in filter(None, (file.object_key, file.upload_key)):  # an upload can be checked before its confirm
        with suppress(ObjectMissing):
            box.objects.stat(key)
            return presign(box, key, filename, file.content_type, origin)
    raise NotUploaded("The file has not been uploaded, or is no longer stored.")


def presign(box: Box, key: str, filename: str, content_type: str, origin: str) -> tuple[str, int]:
    """Return a URL that downloads an object, and how many seconds the URL is valid."""
    seconds = box.settings.upload_expires_seconds
    url = box.objects.download_url(
        key, filename=filename, content_type=content_type, origin=origin, expires_seconds=seconds
    )
    return url, seconds
