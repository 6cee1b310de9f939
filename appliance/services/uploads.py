"""Uploads by form: what a client declares, the form, and the uploaded object. Jobs and datasets share it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from appliance.errors import FileTooLarge, InvalidRequest, NotUploaded, ObjectMissing, SizeMismatch
from appliance.services.box import Box
from appliance.services.content_types import EXTENSIONS, canonical_content_type
from appliance.storage.objects import ObjectInfo, UploadForm


@dataclass(frozen=True)
class Declaration:
    """A file that a client is about to upload; ``content_type`` is one of the seven audio types."""

    filename: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True)
class Upload:
    """A form that takes one file until ``expires_at`` (seconds since 1970), and the id to confirm it with."""

    file_id: str
    form: UploadForm
    expires_seconds: int
    expires_at: float


class UploadRow(Protocol):
    """A row that names an uploaded object."""

    @property
    def id(self) -> str: ...
    @property
    def original_filename(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def declared_size_bytes(self) -> int: ...
    @property
    def object_key(self) -> str: ...


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
        max_bytes=box.settings.max_upload_bytes,
        expires_seconds=expires_seconds,
    )
    return Upload(file_id, form, expires_seconds, expires_at)


def uploaded_object(box: Box, file: UploadRow) -> ObjectInfo:
    """Return the uploaded object. Raises NotUploaded, and SizeMismatch if its size is not the declared one."""
    try:
        info = box.objects.stat(file.object_key)
    except ObjectMissing as error:
        raise NotUploaded("The file has not been uploaded yet.") from error
    if info.size_bytes != file.declared_size_bytes:
        raise SizeMismatch(
            f"The uploaded file has {info.size_bytes} bytes, but {file.declared_size_bytes} were declared; "
            "upload it again with the same form, or request a new form."
        )
    return info


def download_url(box: Box, file: UploadRow, origin: str) -> tuple[str, int]:
    """Return a URL that downloads the original under its own name, and how many seconds the URL is valid.

    Raises NotUploaded if there is nothing to download.
    """
    try:
        box.objects.stat(file.object_key)
    except ObjectMissing as error:
        raise NotUploaded("The file has not been uploaded.") from error
    filename = file.original_filename or f"{file.id}{EXTENSIONS[file.content_type]}"
    return presign(box, file.object_key, filename, file.content_type, origin)


def presign(box: Box, key: str, filename: str, content_type: str, origin: str) -> tuple[str, int]:
    """Return a URL that downloads an object, and how many seconds the URL is valid."""
    seconds = box.settings.upload_expires_seconds
    url = box.objects.download_url(
        key, filename=filename, content_type=content_type, origin=origin, expires_seconds=seconds
    )
    return url, seconds
