"""Clients of the API: ``api_clients.py URL KEY SECONDS PACE`` prints how fast it answers 32 of them, as JSON.

Each asks for a job, for the list of jobs with a status, and for a page of the list, in turn, every PACE seconds.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from statistics import median
from urllib.parse import urlsplit

from tests.bench.figures import percentile

NUM_CLIENTS = 32
PATHS = ("/job-{number}", "?status=pending&limit=20", "?limit=20")


def ask(url: str, key: str, client: int, until: float, pace: float, seconds: list[float]) -> None:
    """Ask again and again, and note how long each answer took."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    time.sleep(pace * client / NUM_CLIENTS)
    number = client
    while time.monotonic() < until:
        path = PATHS[number % len(PATHS)].format(number=(37 * number) % 10_000)
        began = time.perf_counter()
        connection.request("GET", f"/api/v1/inference-jobs{path}", headers={"X-API-Key": key})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        seconds.append(time.perf_counter() - began)
        number += 1
        time.sleep(max(0.0, pace - seconds[-1]))


def main() -> None:
    """Run the clients and print what they met."""
    url, key, length, pace = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    seconds: list[float] = []
    until = time.monotonic() + length
    threads = [
        threading.Thread(target=ask, args=(url, key, client, until, pace, seconds)) for client in range(NUM_CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answer = {
        "per_second": len(seconds) / length,
        "p50_ms": 1000 * median(seconds),
        "p99_ms": 1000 * percentile(seconds, 0.99),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
