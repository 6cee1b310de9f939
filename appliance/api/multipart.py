"""Files of a multipart form (RFC 7578) as they arrive: only a window of the body is kept in memory.

Werkzeug's own decoder was tried: it adds a byte to the file if a piece of the body ends inside the closing boundary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from werkzeug.http import parse_options_header

from appliance.errors import InvalidRequest

READ_BYTES = 256 * 1024
HEAD_BYTES = 16 * 1024
MAX_PARTS = 1000


class Body(Protocol):
    """A request's body."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        ...


@dataclass(frozen=True)
class FilePart:
    """A file. Its blocks can be read once, and before the next part."""

    filename: str
    content_type: str
    blocks: Iterator[bytes]


def file_parts(body: Body, content_type: str, names: tuple[str, ...]) -> Iterator[FilePart]:
    """Yield the files of a form, in parts of these names. A text field of such a name is skipped: it is not a file.

    Raises InvalidRequest if the body is not a form, breaks off, or has a part of another name.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if kind != "multipart/form-data" or not boundary or not boundary.isascii():
        raise InvalidRequest("The body must be multipart/form-data with a boundary.")
    window, delimiter = _Window(body), b"\r\n--" + boundary.encode()
    _skip(window.blocks_until(delimiter))
    for number in range(MAX_PARTS + 1):
        padding = window.head_until(b"\r\n")
        if padding.startswith(b"--"):
            return
        if padding.strip():
            raise InvalidRequest("The form has a malformed boundary.")
        if number == MAX_PARTS:
            raise InvalidRequest(f"The form has more than {MAX_PARTS} files; send them in several forms.")
        headers = _headers(window.head_until(b"\r\n\r\n"))
        _, disposition = parse_options_header(headers.get("content-disposition"))
        if disposition.get("name") not in names:
            name = disposition.get("name")
            raise InvalidRequest(f"{name}: unknown part; files come in parts named {' or '.join(names)}.")
        blocks = window.blocks_until(delimiter)
        if "filename" in disposition:
            yield FilePart(disposition["filename"], headers.get("content-type", ""), blocks)
        _skip(blocks)


class _Window:
    """The bytes of a body that were read but not used yet. Raises InvalidRequest if the body ends too early."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._held = bytearray(b"\r\n")  # makes the first boundary look like all others

    def blocks_until(self, mark: bytes) -> Iterator[bytes]:
        """Yield the bytes before ``mark`` as they arrive, and skip ``mark``."""
        while (at := self._held.find(mark)) < 0:
            if block := self._take(len(self._held) - len(mark) + 1):
                yield block
            self._fill()
        if block := self._take(at):
            yield block
        del self._held[: len(mark)]

    def head_until(self, mark: bytes) -> bytes:
        """Return the bytes before ``mark``, at most the size of a head, and skip ``mark``."""
        while (at := self._held.find(mark)) < 0:
            if len(self._held) > HEAD_BYTES + READ_BYTES:
                raise InvalidRequest(f"The form has a part whose head is over {HEAD_BYTES} bytes.")
            if self._held.startswith(b"--") and mark == b"\r\n":  # a form may end without a line break
                return b"--"
            self._fill()
        head = self._take(at)
        del self._held[: len(mark)]
        return head

    def _take(self, size: int) -> bytes:
        if size <= 0:
            return b""
        block = bytes(self._held[:size])
        del self._held[:size]
        return block

    def _fill(self) -> None:
        try:
            block = self._body.read(READ_BYTES)
        except OSError as error:
            raise InvalidRequest("The body broke off before its end.") from error
        if not block:
            raise InvalidRequest("The body is not a form, or it broke off before its end.")
        self._held += block


def _headers(head: bytes) -> dict[str, str]:
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidRequest("The form has a part whose head is not UTF-8.") from error
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _skip(blocks: Iterator[bytes]) -> None:
    for _ in blocks:
        pass
