"""An API that responds with the request it received, to show what the front door passes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    time.sleep(float(environ.get("HTTP_X_WAIT", 0)))
    length = len(environ["wsgi.input"].read())
    request = {name: value for name, value in environ.items() if isinstance(value, str)} | {"body_bytes": length}
    headers = [("Content-Type", "application/json"), ("X-Request-ID", "of-the-api"), ("Server", "echo")]
    start_response("200 OK", headers)
    return [json.dumps(request).encode()]
