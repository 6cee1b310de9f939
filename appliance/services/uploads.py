"""Uploads by form: what a client declares, the form, and the uploaded object. Jobs and datasets share it.

A form can be used until it expires, so a confirmed upload is copied, by its tag, to a key that no client can write. The
copy reads and writes all bytes. So a small upload is copied by its confirm, and a large one by the worker, before
anything else is done with it: until then its row ``awaits_copy`` and has the tag of the confirmed bytes. Bytes that
replace them are never processed or served; their file fails.

Without the copy, with a condition on the tag at each read, a client that uses its form again would destroy what it had
confirmed for as long as the form is valid, and not only for the moment that the worker needs.
"""

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
    NotReady,
    NotUploaded,
    ObjectChanged,
    ObjectMissing,
    SizeMismatch,
    StorageError,
)
from appliance.services.box import Box
from appliance.services.content_types import EXTENSIONS, canonical_content_type
from appliance.services.damage import damage_noticed
from appliance.state.database import Transaction
from appliance.storage.access import UPLOADS
from appliance.storage.objects import ObjectInfo, UploadForm

LARGE_BYTES = 64 * 1024**2  # a copy of as much takes about 0.2 s


@dataclass(frozen=True)
class Declaration:
    """A file that a client is about to upload; ``content_type`` is one of the seven audio types."""

    filename: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True)
class KeptObject:
    """The key and the tag of confirmed bytes, which are still to be copied there if it ``awaits_copy``."""

    key: str
    etag: str
    awaits_copy: bool = False


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

    @property
    def etag(self) -> str | None:
        """The tag of the confirmed bytes. None before the confirm."""

    @property
    def awaits_copy(self) -> bool:
        """Whether the confirmed bytes are still under the upload key."""

    @property
    def error_code(self) -> str | None:
        """Why it failed. None if it did not."""


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
    """Note a confirmed upload with ``mark``, in one transaction. A small one is copied before, a large one awaits it.

    Returns what ``mark`` returns: False if the file was accepted or deleted meanwhile. Raises NotUploaded if the upload
    was replaced while it was copied.
    """
    if file.upload_key and info.size_bytes > LARGE_BYTES:
        with box.db.transaction() as tx:
            return mark(tx, KeptObject(file.object_key, info.etag, awaits_copy=True))
    return accept_copy(box, file, info, mark)


def accept_copy(box: Box, file: Uploaded, info: ObjectInfo, mark: Callable[[Transaction, KeptObject], bool]) -> bool:
    """Copy an upload, whatever its size, and note that with ``mark``, in one transaction. See ``accept``."""
    try:
        return _copy(box, file, info, mark)
    except (ObjectChanged, ObjectMissing) as error:
        raise NotUploaded("The file was uploaded again at this moment; confirm it once more.") from error


def copy_confirmed(box: Box, file: UploadRow, mark: Callable[[Transaction, KeptObject], bool]) -> None:
    """Copy an upload that awaits it, and note that with ``mark``, in one transaction.

    Raises ObjectChanged or ObjectMissing if the confirmed bytes are gone, ObjectDamaged, and what ``mark`` raises.
    """
    confirmed = ObjectInfo(file.declared_size_bytes, file.etag or "")
    name = f"The upload of {file.original_filename or file.id!r}"
    rest = "after it was confirmed, before it was copied. Request a new upload."
    try:
        with damage_noticed(box, file.upload_key or file.object_key):
            _copy(box, file, confirmed, mark)
    except ObjectChanged as error:
        raise ObjectChanged(f"{name} was replaced by other bytes {rest}") from error
    except ObjectMissing as error:
        raise ObjectMissing(f"{name} was deleted from storage {rest}") from error


def _copy(box: Box, file: Uploaded, info: ObjectInfo, mark: Callable[[Transaction, KeptObject], bool]) -> bool:
    """Copy an upload to a key that no client can write, and note that.

    Each call copies to a key of its own: of two calls for one file, the slower one overwrites nothing. Bytes without an
    upload key, of the first release, stay where they are.
    """
    if file.upload_key is None:
        with box.db.transaction() as tx:
            return mark(tx, KeptObject(file.object_key, info.etag))
    key = f"{file.object_key.rpartition('/')[0]}/original-{uuid.uuid4().hex[:8]}"
    kept = KeptObject(key, box.objects.copy(file.upload_key, info, key).etag)
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

    Raises NotUploaded if there is nothing to download, and NotReady if the original awaits its copy.
    """
    key = _key_of_original(file)
    try:
        box.objects.stat(key)
    except ObjectMissing as error:
        raise NotUploaded("The file has not been uploaded, or is no longer stored.") from error
    filename = file.original_filename or f"{file.id}{EXTENSIONS[file.content_type]}"
    return presign(box, key, filename, file.content_type, origin)


def require_copy(file: UploadRow) -> None:
    """Raise NotReady if the original awaits its copy."""
    if file.awaits_copy:
        raise NotReady("The file was confirmed, and is being copied inside storage; request this a little later.")


def _key_of_original(file: UploadRow) -> str:
    """Return the key of what may be downloaded: the confirmed bytes, or before the confirm what was uploaded."""
    require_copy(file)
    if file.etag or file.upload_key is None:
        return file.object_key
    if file.error_code and not is_late(file.error_code):
        raise NotUploaded("The file failed, and its upload is not kept.")
    return file.upload_key


def presign(box: Box, key: str, filename: str, content_type: str, origin: str) -> tuple[str, int]:
    """Return a URL that downloads an object, and how many seconds the URL is valid."""
    seconds = box.settings.upload_expires_seconds
    url = box.objects.download_url(
        key, filename=filename, content_type=content_type, origin=origin, expires_seconds=seconds
    )
    return url, seconds
