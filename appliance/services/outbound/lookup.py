"""The addresses of a host name, for a thread that may wait and for one that may not."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future

from appliance.errors import UrlRefused

LOOKUP_SECONDS = 5.0
SLOT_SECONDS = 1.0
LOOKUPS = 4

# A lookup cannot be cut off, so one that hangs keeps its slot: a name server that does not answer holds up at most
# this many threads beside those that wait for them.
_slots = threading.BoundedSemaphore(LOOKUPS)


def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a host name. Raises UrlRefused if it has none.

    This may take as long as the system's resolver likes.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UrlRefused(f"The name {host} does not resolve now: {error}.") from error
    return [str(place[0]) for *_, place in addresses]


def look_up_soon(host: str, port: int) -> list[str]:
    """Do the same within LOOKUP_SECONDS, for a request that a client waits for. Raises UrlRefused."""
    slots = _slots
    if not slots.acquire(timeout=SLOT_SECONDS):
        raise UrlRefused(f"The name {host} does not resolve now: {LOOKUPS} other names are waiting. Try again later.")
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
        raise UrlRefused(f"The name {host} does not resolve now: no answer within {LOOKUP_SECONDS:g} s.") from error
