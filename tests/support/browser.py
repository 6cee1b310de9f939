"""A real browser for tests: the installed Chromium, driven by Playwright, and a page on an origin of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import playwright
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.appliances import PATIENCE_SECONDS

PATIENCE_MS = 1000 * PATIENCE_SECONDS
expect.set_options(timeout=PATIENCE_MS)
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")  # as in scripts/install-browser
# The browser finds no host but this machine, which has a name as in a LAN, too.
LAN_NAME = "appliance.lan"
LOOPBACK_ONLY = f"--host-resolver-rules=MAP {LAN_NAME} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
# Playwright's package contains Node.
NODE = Path(playwright.__file__).parent / "driver" / "node"
STRIP_TYPES = """
const source = require("node:fs").readFileSync(0, "utf8");
process.stdout.write(require("node:module").stripTypeScriptTypes(source));
"""


def find_browser() -> str:
    """Return the browser's program. Fails if there is none: the tests of pages are never skipped."""
    path = next(filter(None, map(shutil.which, PROGRAMS)), None)
    assert path, "No Chromium is on the PATH. Run scripts/install-browser."
    return path


@contextlib.contextmanager
def open_browser(*arguments: str) -> Iterator[Browser]:
    """Run the browser, with further arguments of its command line, until the block ends."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=find_browser(), args=[LOOPBACK_ONLY, *arguments], timeout=PATIENCE_MS
        )
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser: Browser, **options: Any) -> Page:
    """Open a tab with cookies of its own."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(PATIENCE_MS)
    return page


@contextlib.contextmanager
def serving(html: str) -> Iterator[str]:
    """Serve a page under every path. Yields its origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = html.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def javascript_of(typescript: str) -> str:
    """Return the program without its types, as Node removes them."""
    result = subprocess.run([NODE, "-e", STRIP_TYPES], input=typescript, capture_output=True, text=True, check=True)
    return result.stdout
