"""A server of files on the loopback, and of answers that are no file."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """``files`` by their path. A path in ``statuses`` is answered with that status, one in ``cut`` with half the file.

    A path in ``silent`` gets a head and no body until the server stops.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    without_length: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def serving_files() -> Iterator[FileServer]:
    """Run a server until the block ends."""
    served = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            served.calls.append(self.path)
            status = served.statuses.get(path, 200 if path in served.files else 404)
            content = served.files.get(path, b"")
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere.wav")
            if path not in served.without_length:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if path in served.silent:
                self.wfile.flush()
                served.stopped.wait(60)
                return
            with contextlib.suppress(OSError):
                self.wfile.write(content[: len(content) // 2] if path in served.cut else content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield served
    finally:
        served.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
