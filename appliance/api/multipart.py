"""Files of a multipart form as they arrive: nothing is kept but a window of the body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from appliance.errors import InvalidRequest

READ_BYTES = 256 * 1024
WINDOW_BYTES = 1024**2
MAX_PARTS = 1000


class Body(Protocol):
    """A request's body."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes, none at the end."""
        ...


@dataclass(frozen=True)
class FilePart:
    """A file; its blocks come once, before the next part does."""

    filename: str
    content_type: str
    blocks: Iterator[bytes]


def file_parts(body: Body, content_type: str, names: tuple[str, ...]) -> Iterator[FilePart]:
    """The files of a form, in parts of these names. A text field of such a name is passed over: it holds no file.

    Raises InvalidRequest for a body that is no form, breaks off, or has a part of another name.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if kind != "multipart/form-data" or not boundary or not boundary.isascii():
        raise InvalidRequest("The body must be multipart/form-data with a boundary.")
    events = _events(body, MultipartDecoder(boundary.encode(), WINDOW_BYTES, max_parts=MAX_PARTS))
    for event in events:
        if not isinstance(event, (File, Field)):
            continue
        if event.name not in names:
            raise InvalidRequest(f"{event.name}: unknown part; files come in parts named {' or '.join(names)}.")
        blocks = _blocks(events)
        if isinstance(event, File):
            yield FilePart(event.filename, event.headers.get("content-type", ""), blocks)
        for _ in blocks:
            pass


def _blocks(events: Iterator[Event]) -> Iterator[bytes]:
    for event in events:
        assert isinstance(event, Data)
        yield event.data
        if not event.more_data:
            return


def _events(body: Body, decoder: MultipartDecoder) -> Iterator[Event]:
    while True:
        try:
            event = decoder.next_event()
        except ValueError as error:
            raise InvalidRequest("The body is no form, or it broke off before its end.") from error
        except RequestEntityTooLarge as error:
            raise InvalidRequest(f"The form has more than {MAX_PARTS} parts.") from error
        if isinstance(event, Epilogue):
            return
        if not isinstance(event, NeedData):
            yield event
            continue
        block = _read(body)
        try:
            decoder.receive_data(block or None)
        except RequestEntityTooLarge as error:
            raise InvalidRequest("The form has a header or an epilogue of more than 1 MiB.") from error


def _read(body: Body) -> bytes:
    try:
        return body.read(READ_BYTES)
    except OSError as error:
        raise InvalidRequest("The body broke off before its end.") from error
