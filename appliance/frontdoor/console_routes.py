"""Routes to the console: its shell and its assets, which the front door serves as they are.

The assets lie below a folder named after their content, so browsers keep them for good.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from appliance.frontdoor.shared import response_headers

ASSETS = Path(__file__).parent.parent / "console"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FOR_GOOD = "public, max-age=31536000, immutable"
_SAFE = {"X-Content-Type-Options": ["nosniff"], "Referrer-Policy": ["no-referrer"]}


def console_routes() -> list[dict]:
    """Return the routes to the page, to its assets, and from the path without its slash. All else is the API's."""
    files = sorted(path for path in ASSETS.rglob("*.*") if path.suffix in (".js", ".css", ".svg"))
    build = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    prefix = f"/console/{build}"
    shell = (ASSETS / "shell.html").read_text().replace("BUILD", build)
    page = {
        "handler": "static_response",
        "status_code": 200,
        "headers": {"Content-Type": ["text/html; charset=utf-8"]},
        "body": shell,
    }
    assets = [f"{prefix}/{path.relative_to(ASSETS)}" for path in files]
    to_slash = {"handler": "static_response", "status_code": 308, "headers": {"Location": ["/console/"]}}
    return [
        _route(["/console"], [to_slash]),
        _route(["/console/"], [_headers("no-cache"), page]),
        _route(
            assets,
            [
                _headers(_FOR_GOOD),
                {"handler": "encode", "encodings": {"gzip": {"level": 9}}},
                {"handler": "rewrite", "strip_path_prefix": prefix},
                {"handler": "file_server", "root": str(ASSETS)},
            ],
        ),
    ]


def _headers(cache: str) -> dict:
    policy = {"Content-Security-Policy": [CONTENT_SECURITY_POLICY], "Cache-Control": [cache]}
    return response_headers(policy | _SAFE)


def _route(paths: list[str], handlers: list[dict]) -> dict:
    return {"match": [{"method": ["GET", "HEAD"], "path": paths}], "handle": handlers, "terminal": True}
