"""A header that a client chooses for its webhooks, so that its receiver knows who calls."""

from __future__ import annotations

import re

from appliance.errors import InvalidRequest

MAX_VALUE_LENGTH = 1000
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
# Set by the appliance or by HTTP itself.
RESERVED = (
    "host",
    "content-",
    "transfer-",
    "connection",
    "user-agent",
    "webhook-",
    "expect",
    "te",
    "trailer",
    "upgrade",
    "x-request-id",
)


def check_header(name: str | None, value: str | None, name_field: str, value_field: str) -> tuple[str, str] | None:
    """Return the header, None if there is none. Raises InvalidRequest naming the field; it never shows the value."""
    if not name and not value:
        return None
    if not name or not value:
        raise InvalidRequest(f"{name_field}, {value_field}: send both or neither.")
    if not TOKEN.fullmatch(name):
        raise InvalidRequest(f"{name_field}: is not the name of an HTTP header.")
    if name.lower().startswith(RESERVED):
        raise InvalidRequest(f"{name_field}: {name} is set by the appliance itself; choose another name.")
    if not re.fullmatch(r"[!-~]([ -~]*[!-~])?", value) or len(value) > MAX_VALUE_LENGTH:
        raise InvalidRequest(f"{value_field}: must be up to {MAX_VALUE_LENGTH} printable ASCII characters.")
    return name, value
