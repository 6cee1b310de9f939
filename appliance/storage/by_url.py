"""Reads objects by presigned URLs: all that a node of a cluster may do with storage."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import urllib3

from appliance.errors import NoEngine, ObjectChanged, ObjectMissing, StorageError, StorageUnavailable
from appliance.storage.seam import connection_pool

BLOCK_BYTES = 1024**2
OUT_OF_REACH = (
    urllib3.exceptions.NewConnectionError,  # also a name that is not known
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.SSLError,
)


class UrlReader:
    """Fetches objects whose URL somebody else has signed. Threads may share it."""

    def __init__(self, ca_file: Path | None = None) -> None:
        """``ca_file`` is the CA of storage, if that is no public one. Raises ConfigurationError."""
        self._pool = connection_pool(ca_file)

    def fetch(self, url: str, etag: str, file: BinaryIO) -> None:
        """Stream an object's bytes into ``file``.

        Raises ObjectMissing; ObjectChanged if its tag is not ``etag``; StorageUnavailable, StorageError; NoEngine if
        this machine cannot connect to storage at all, so that another one should do the work.
        """
        name = urlsplit(url).path  # the rest of the URL is as good as a key
        try:
            with self._pool.request(
                "GET", url, headers={"If-Match": f'"{etag}"'}, preload_content=False, redirect=False
            ) as response:
                _check(response.status, name)
                for block in response.stream(BLOCK_BYTES):
                    file.write(block)
        except urllib3.exceptions.MaxRetryError as error:
            if isinstance(error.reason, OUT_OF_REACH):
                raise NoEngine(f"it cannot connect to object storage ({_words(error.reason)})") from None
            raise StorageUnavailable(f"Object storage did not respond for {name}: {_words(error.reason)}.") from None
        except (urllib3.exceptions.HTTPError, ConnectionError) as error:
            raise StorageUnavailable(f"Object storage did not respond for {name}: {type(error).__name__}.") from None


def _words(reason: Exception | None) -> str:
    """Return what happened, without the URL."""
    return str(reason) if isinstance(reason, urllib3.exceptions.SSLError) else type(reason).__name__


def _check(status: int, name: str) -> None:
    if status == 404:
        raise ObjectMissing(f"There is no object {name}.")
    if status == 412:
        raise ObjectChanged(f"The object {name} was replaced after its upload was confirmed.")
    if status >= 500 or status == 403:  # 403 also if the URL has expired; another try gets another one
        raise StorageUnavailable(f"Object storage cannot serve {name} now ({status}).")
    if status != 200:
        raise StorageError(f"Object storage refused {name} ({status}).")
