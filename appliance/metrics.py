"""What a process of the appliance counts. ``services/exposition.py`` puts all processes together for Prometheus.

No label has a value that a client chooses, so the number of series is bounded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

SHORT = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
LONG = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)

WORK = Counter(
    "appliance_work",
    "Pieces of work by their end: completed, retried, or the code of the error that they failed with.",
    ["kind", "model", "result"],
    registry=REGISTRY,
)
AUDIO_SECONDS = Counter(
    "appliance_audio_seconds", "Seconds of audio in completed work.", ["kind", "model"], registry=REGISTRY
)
STAGE_SECONDS = Histogram(
    "appliance_stage_seconds",
    "Time of one stage. fetch, decode (waiting for the decoder), events, keep (storing the scores) and "
    "commit are of one recording, graph of one batch.",
    ["stage"],
    buckets=LONG,
    registry=REGISTRY,
)
BATCH_FILL = Histogram(
    "appliance_batch_fill_ratio",
    "Windows in a batch, as a part of the largest batch.",
    ["model"],
    buckets=[n / 8 for n in range(1, 9)],
    registry=REGISTRY,
)
THREADS = Gauge("appliance_threads", "Threads of the worker by pool.", ["pool"], registry=REGISTRY)
BUSY_THREADS = Gauge("appliance_busy_threads", "Threads of the worker at work.", ["pool"], registry=REGISTRY)
DECODER_DEATHS = Counter("appliance_decoder_deaths", "Decoder processes that died or were killed.", registry=REGISTRY)
WEBHOOKS = Counter(
    "appliance_webhook_attempts",
    "Attempts to deliver a webhook by result: delivered, retried or given_up.",
    ["result"],
    registry=REGISTRY,
)
for _result in ("delivered", "retried", "given_up"):  # from 0 on: Prometheus sees no increase of a series that is new
    WEBHOOKS.labels(_result)
WEBHOOK_SECONDS = Histogram(
    "appliance_webhook_seconds", "Time of one attempt to deliver a webhook.", buckets=SHORT, registry=REGISTRY
)
DATABASE_WAIT_SECONDS = Histogram(
    "appliance_database_wait_seconds", "Time that a writer waited for its turn.", buckets=SHORT, registry=REGISTRY
)
HTTP_REQUESTS = Counter(
    "appliance_http_requests",
    "Requests that the API answered; those to storage pass it by.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
HTTP_SECONDS = Histogram(
    "appliance_http_request_seconds",
    "Time until the answer began.",
    ["method", "route"],
    buckets=SHORT,
    registry=REGISTRY,
)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Measure one run of a stage that ends without an error."""
    started = time.monotonic()
    yield
    STAGE_SECONDS.labels(name).observe(time.monotonic() - started)
