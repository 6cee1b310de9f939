"""The addresses of a host name, for a thread that may wait and for one that may not."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future

from appliance.errors import NameUnresolved

LOOKUP_SECONDS = 5.0
SLOT_SECONDS = 1.0
LOOKUPS = 4
BACKGROUND_LOOKUPS = 8

# A lookup cannot be cut off, so one that hangs keeps its slot: a name server that does not answer holds up at most
# this many threads beside those that wait for them.
_slots = threading.BoundedSemaphore(LOOKUPS)
_background_slots = threading.BoundedSemaphore(BACKGROUND_LOOKUPS)


def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a host name. Raises NameUnresolved if it has none.

    This may take as long as the system's resolver likes.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameUnresolved(f"The name {host} does not resolve now: {error}.") from error
    return [str(place[0]) for *_, place in addresses]


def look_up_soon(host: str, port: int) -> list[str]:
    """Do the same within LOOKUP_SECONDS, for a request that a client waits for. Raises NameUnresolved."""
    return _look_up_within_limits(_slots, host, port)


def look_up_in_background(host: str, port: int) -> list[str]:
    """Do the same for a webhook or a fetch, whose slow names take no slot from requests. Raises NameUnresolved."""
    return _look_up_within_limits(_background_slots, host, port)


def _look_up_within_limits(slots: threading.Semaphore, host: str, port: int) -> list[str]:
    if not slots.acquire(timeout=SLOT_SECONDS):
        raise NameUnresolved(f"The name {host} does not resolve now: other names are waiting. Try again later.")
    result: Future[list[str]] = Future()

    def run() -> None:
        try:
            result.set_result(look_up(host, port))
        except BaseException as error:
            result.set_exception(error)
        finally:
            slots.release()

    # A daemon: a lookup that hangs must not delay the end of the process.
    threading.Thread(target=run, name="lookup", daemon=True).start()
    try:
        return result.result(LOOKUP_SECONDS)
    except TimeoutError as error:
        raise NameUnresolved(f"The name {host} does not resolve now: no answer within {LOOKUP_SECONDS:g} s.") from error
