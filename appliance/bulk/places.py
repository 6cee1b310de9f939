"""Where ``bulk`` reads recordings and writes results: folders, and prefixes of buckets (``s3://bucket/prefix``)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from appliance.bulk.recordings import SUFFIXES, open_recording, walk
from appliance.config import Settings
from appliance.errors import (
    ApplianceError,
    ConfigurationError,
    FileUnreadable,
    ObjectChanged,
    ObjectDamaged,
    ObjectMissing,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from appliance.storage.bucket import Bucket

S3 = "s3://"


@dataclass(frozen=True)
class Entry:
    """A recording of a source: its key, and its tag and size in bytes when the source was listed."""

    key: str
    etag: str
    size_bytes: int


class Source(Protocol):
    """Where recordings are."""

    def entries(self) -> Iterator[Entry]:
        """Yield all recordings: what has the suffix of one. Raises ConfigurationError, StorageError."""

    def open(self, entry: Entry) -> AbstractContextManager[BinaryIO]:
        """Open a recording as a local file.

        Raises ObjectMissing, ObjectChanged if it is another than at the time of the list, other errors that concern
        this recording, and StorageUnavailable if no recording can be read now.
        """


class Output(Protocol):
    """Where results go. A result that was replaced or cut off in the middle is never seen."""

    def names(self, folder: str = "") -> set[str]:
        """Return the names in a folder, or those at the top. Empty if there is no such folder."""

    def read(self, name: str, last_bytes: int | None = None) -> bytes:
        """Return a result, or its end: up to ``last_bytes`` bytes. Raises ObjectMissing."""

    def write(self, name: str, data: bytes) -> None:
        """Write a result. It replaces an older one."""


def source_name(text: str) -> str:
    """Return the name of a source that means the same in every working directory."""
    return text if text.startswith(S3) else os.path.abspath(text)


def open_source(name: str, settings: Settings, temporary: Path | None = None) -> Source:
    """Return the source with a name. ``temporary`` is the folder for copies of objects. Raises ConfigurationError."""
    if name.startswith(S3):
        bucket, prefix = _split(name)
        return BucketSource(Bucket.of(settings, bucket, reads_only=True), prefix, temporary)
    return FolderSource(name)


def open_output(name: str, settings: Settings) -> Output:
    """Return the output with a name. Nothing is made. Raises ConfigurationError."""
    if name.startswith(S3):
        bucket, prefix = _split(name)
        return BucketOutput(Bucket.of(settings, bucket), prefix)
    return FolderOutput(Path(name))


def _split(name: str) -> tuple[str, str]:
    bucket, _, prefix = name.removeprefix(S3).partition("/")
    if not bucket:
        raise ConfigurationError(f"{name} names no bucket; write s3://bucket/prefix.")
    return bucket, prefix


class FolderSource:
    """The recordings below a folder. A tag is made of size and time of change. See Source."""

    def __init__(self, root: str) -> None:
        self._root = root

    def entries(self) -> Iterator[Entry]:
        """Yield the recordings, in the order of the file system."""
        if not os.path.isdir(self._root):
            raise ConfigurationError(f"{self._root} is not a folder.")
        for path, error in walk(self._root):
            if error:
                raise ConfigurationError(f"{path}: {error}")
            key = os.path.relpath(path, self._root)
            try:
                status = os.stat(path)
            except OSError:  # a link that leads nowhere: a failed file of the run
                yield Entry(key, "", 0)
            else:
                yield Entry(key, _tag(status), status.st_size)

    @contextmanager
    def open(self, entry: Entry) -> Iterator[BinaryIO]:
        """Open a recording, and at the end look whether it was changed meanwhile."""
        try:
            file = open_recording(os.path.join(self._root, entry.key))
        except (FileNotFoundError, NotADirectoryError):
            if not os.path.isdir(self._root):
                raise StorageUnavailable(f"The folder {self._root} is gone.") from None
            raise ObjectMissing("There is no such file any more.") from None
        except OSError as error:
            raise FileUnreadable(f"The file cannot be read: {error.strerror}.") from None
        with file:
            _check_unchanged(file, entry)
            yield file
            _check_unchanged(file, entry)


def _check_unchanged(file: BinaryIO, entry: Entry) -> None:
    if _tag(os.fstat(file.fileno())) != entry.etag:
        raise ObjectChanged("The file was changed after the plan was made.")


def _tag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


class BucketSource:
    """The recordings of a bucket whose keys start with a prefix. See Source."""

    def __init__(self, bucket: Bucket, prefix: str, temporary: Path | None = None) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._temporary = str(temporary or tempfile.gettempdir())

    def entries(self) -> Iterator[Entry]:
        """Yield the recordings, in the order of the server."""
        for item in self._bucket.list(self._prefix):
            if item.key.lower().endswith(SUFFIXES):
                yield Entry(item.key, item.etag, item.size_bytes)

    @contextmanager
    def open(self, entry: Entry) -> Iterator[BinaryIO]:
        """Copy a recording to a file without a name, which nothing leaves behind."""
        with tempfile.TemporaryFile(dir=self._temporary) as file:
            try:
                self._bucket.fetch(entry.key, entry.etag, file)
                file.flush()
            except ObjectMissing:
                raise ObjectMissing("There is no such object any more.") from None
            except ObjectChanged:
                raise ObjectChanged("The object was replaced after the plan was made.") from None
            except StorageError as error:
                raise self._meaning(error) from error
            except OSError as error:
                raise StorageFull(f"{self._temporary} cannot hold a recording: {error.strerror}.") from error
            yield file

    def _meaning(self, error: StorageError) -> ApplianceError:
        """Return what an error means: one bad object if the bucket can be reached, else that no object can be read."""
        if not self._bucket.ready():
            return StorageUnavailable(str(error))
        if isinstance(error, StorageUnavailable):
            return ObjectDamaged("Object storage works, but cannot read this object.")
        return error


class FolderOutput:
    """A folder of results. See Output."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self, folder: str = "") -> set[str]:
        """Return the names that do not begin with a dot."""
        try:
            return {name for name in os.listdir(self._root / folder) if not name.startswith(".")}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise ConfigurationError(f"{self._root} cannot be read: {error.strerror}.") from error

    def read(self, name: str, last_bytes: int | None = None) -> bytes:
        """Return a file, or its end."""
        try:
            with open(self._root / name, "rb") as file:
                if last_bytes:
                    file.seek(max(0, os.fstat(file.fileno()).st_size - last_bytes))
                return file.read()
        except FileNotFoundError:
            raise ObjectMissing(f"There is no {self._root / name}.") from None
        except OSError as error:
            raise StorageError(f"{self._root / name} cannot be read: {error.strerror}.") from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file beside its place, flush it to the disk, and move it there."""
        path = self._root / name
        partial = path.with_name(f".{path.name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}.") from error


class BucketOutput:
    """A prefix of a bucket for results. See Output."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""

    def names(self, folder: str = "") -> set[str]:
        """Return the first parts of what is after the folder in the keys."""
        start = self._prefix + (f"{folder}/" if folder else "")
        return {item.key.removeprefix(start).partition("/")[0] for item in self._bucket.list(start)}

    def read(self, name: str, last_bytes: int | None = None) -> bytes:
        """Return an object, or its end."""
        return self._bucket.read(self._prefix + name, last_bytes)

    def write(self, name: str, data: bytes) -> None:
        """Put an object: a PUT is seen as a whole or not at all."""
        self._bucket.put(self._prefix + name, data, "application/octet-stream")
