"""Recordings that a client names by URL: fetched in the background, only from hosts that the operator lists."""

from __future__ import annotations

import http.client
import ipaddress
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from appliance import __version__
from appliance.errors import (
    ApplianceError,
    EmptyFile,
    FetchFailed,
    FileTooLarge,
    InvalidRequest,
    LeaseLost,
    RemoteFailed,
    SubjectGone,
    UrlRefused,
)
from appliance.services.box import Box
from appliance.services.kind import Kind
from appliance.services.outbound.addresses import Allowed, own_ports, parse_url, resolve
from appliance.services.outbound.connection import Remote, connected
from appliance.services.outbound.lookup import look_up_soon
from appliance.services.quotas import Meter
from appliance.services.speech.media import fail_media, media_stored, object_key_of
from appliance.state import media as media_rows
from appliance.state import work as queue
from appliance.state.database import Transaction
from appliance.state.media import Media
from appliance.state.moves import Route
from appliance.state.work import Work

FETCH = Kind(
    "fetch",
    fail=lambda tx, media_id, code, message: fail_media(tx, media_id, "pending", code, message),
    pool="fetch",
)
STALL_SECONDS = 60.0
MAX_HOSTS = 8  # of one request: each may take seconds to resolve
MAX_NAME_LENGTH = 1024
WATCH_SECONDS = 0.5
PIECE_BYTES = 64 * 1024


def check_sources(box: Box, urls: Iterable[str], field: str) -> None:
    """Raise InvalidRequest naming ``field`` if a URL is invalid, or may not be fetched from.

    Each fetch checks again: by then the name can lead elsewhere.
    """
    if not box.settings.fetch_hosts:
        raise InvalidRequest(f"{field}: this appliance fetches no URL; its operator can allow hosts with fetch_hosts.")
    allowed = allowed_sources(box)
    try:
        destinations = {(it.host, it.port): it for it in map(parse_url, urls)}
        if len(destinations) > MAX_HOSTS:
            raise UrlRefused(f"Names {len(destinations)} hosts; one request may name {MAX_HOSTS}.")
        for destination in destinations.values():
            resolve(allowed, destination, look_up_soon)
    except UrlRefused as error:
        raise InvalidRequest(f"{field}: {error}") from error


def allowed_sources(box: Box) -> Allowed:
    """Return where recordings may be fetched from."""
    networks, names = [], set()
    for entry in box.settings.fetch_hosts:
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError:
            names.add(entry)
    return Allowed("fetch_hosts", tuple(networks), own_ports(box), frozenset(names))


def request_fetch(
    tx: Transaction, tenant_id: int, route: Route, url: str, filename: str, group_id: str | None = None
) -> Media:
    """Create pending media for a URL and queue its fetch."""
    media_id = str(uuid.uuid4())
    media_rows.insert_media(
        tx,
        media_id,
        tenant_id,
        route=route,
        status="pending",
        object_key=object_key_of(tenant_id, media_id),
        original_filename=filename,
        source_url=url,
    )
    FETCH.enqueue(tx, tenant_id, group_id or media_id, media_id)
    media = media_rows.find_media(tx, media_id)
    assert media is not None
    return media


def filename_of(url: str) -> str:
    """Return the last part of a URL's path, which may be empty."""
    return unquote(urlsplit(url).path.rpartition("/")[2])[:MAX_NAME_LENGTH]


def fetch(box: Box, work: Work, checkpoint: Callable[[], None]) -> None:
    """Stream a URL to storage, and queue the transcripts that wait for it. ``checkpoint`` runs before each block.

    Raises FetchFailed, FileTooLarge, EmptyFile, LeaseLost, SubjectGone, and what ``checkpoint`` raises.
    """
    media = media_rows.find_media(box.db, work.subject_id)
    if media is None or media.source_url is None:
        raise SubjectGone(f"The media {work.subject_id} was deleted.")
    try:
        size_bytes, etag = _store(box, media, media.source_url, checkpoint)
    except (UrlRefused, RemoteFailed) as error:
        checkpoint()  # then the connection was cut for the checkpoint's reason
        raise FetchFailed(f"The URL cannot be fetched: {error}") from error
    try:
        with box.db.transaction() as tx:
            queue.finish(tx, work)
            media_stored(tx, media.id, "pending", size_bytes, etag)
    except LeaseLost:
        if media_rows.find_media(box.db, media.id) is None:
            box.objects.delete(media.object_key)
        raise


def _store(box: Box, media: Media, url: str, checkpoint: Callable[[], None]) -> tuple[int, str]:
    """Return the size and the tag of the object that the URL's bytes became."""
    destination = parse_url(url)
    address = resolve(allowed_sources(box), destination)
    with (
        connected(destination, address, box.settings.fetch_timeout_seconds, STALL_SECONDS) as remote,
        _watched(remote, checkpoint),
    ):
        response = remote.request("GET", {"User-Agent": f"appliance/{__version__}", "Accept": "*/*"})
        if response.status != http.client.OK:
            redirected = "; redirects are not followed" if 300 <= response.status < 400 else ""
            raise RemoteFailed(f"{destination.host}:{destination.port}: answered {response.status}{redirected}.")
        meter = Meter(box, media.tenant_id)
        body = FetchedBody(remote, response.length, box.settings.max_upload_bytes, checkpoint, meter)
        etag = box.objects.put_stream(media.object_key, body, media.content_type)
    if not body.size_bytes:
        box.objects.delete(media.object_key)
        raise EmptyFile("The file has no bytes.")
    return body.size_bytes, etag


@contextmanager
def _watched(remote: Remote, checkpoint: Callable[[], None]) -> Iterator[None]:
    """Cut the connection as soon as the checkpoint raises: a machine that is silent must not delay a stop."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(WATCH_SECONDS):
            try:
                checkpoint()
            except ApplianceError:
                remote.cut()
                return

    threading.Thread(target=watch, name="fetch-watch", daemon=True).start()
    try:
        yield
    finally:
        done.set()


class FetchedBody:
    """The body of an answer as storage reads it: whole blocks, counted, up to the size limit of a file."""

    def __init__(
        self,
        remote: Remote,
        expected_bytes: int | None,
        max_bytes: int,
        checkpoint: Callable[[], None],
        meter: Meter,
    ) -> None:
        self._meter = meter
        self._remote = remote
        self._expected_bytes = expected_bytes  # None if the answer has no length
        self._max_bytes = max_bytes
        self._checkpoint = checkpoint
        self.size_bytes = 0

    def read(self, size: int, /) -> bytes:
        """Return ``size`` bytes, fewer at the end. Raises FileTooLarge, RemoteFailed, and what a checkpoint raises."""
        self._check_size(self._expected_bytes or 0)
        block = bytearray()
        while len(block) < size:
            self._checkpoint()
            piece = self._remote.read(min(size - len(block), PIECE_BYTES))
            if not piece:
                break
            block += piece
        self.size_bytes += len(block)
        self._check_size(self.size_bytes)
        self._meter.reach(self.size_bytes)
        if len(block) < size and self._expected_bytes not in (None, self.size_bytes):
            raise RemoteFailed(f"The answer broke off after {self.size_bytes} of {self._expected_bytes} bytes.")
        return bytes(block)

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise FileTooLarge(f"The file is over the limit of {self._max_bytes} bytes.")
