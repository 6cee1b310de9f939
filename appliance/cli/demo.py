"""``appliance demo``: runs the whole appliance in a temporary folder and uses it through its REST API."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from appliance.cli.client import Client
from appliance.cli.output_formats import clock
from appliance.config import load_settings
from appliance.log import configure_logging
from appliance.supervisor.supervisor import Supervisor

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "demo.flac"


@click.command()
def demo() -> None:
    """Start everything, send a bundled recording through the REST API, print its detections, stop."""
    configure_logging("warning", "supervisor")
    steps = Steps()
    with tempfile.TemporaryDirectory(prefix="appliance-demo-") as folder:
        supervisor = Supervisor(load_settings(host="127.0.0.1", port=0, data_dir=Path(folder)))
        with steps.timed("start storage, worker, API and front door"):
            supervisor.__enter__()
        try:
            for notice in supervisor.notices:
                click.echo(notice)
            file = send(Client(supervisor.url, supervisor.first_key or ""), steps)
        finally:
            with steps.timed("stop everything"):
                supervisor.stop()
    print_detections(file)
    steps.print()


class Steps:
    """The steps of the demonstration and the time that each took."""

    def __init__(self) -> None:
        self._seconds: list[tuple[str, float]] = []

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure how long a step takes."""
        started = time.perf_counter()
        yield
        self._seconds.append((name, time.perf_counter() - started))

    def print(self) -> None:
        """Print the steps as a table."""
        table = Table("step", "seconds", title="Time of each step")
        for name, seconds in self._seconds:
            table.add_row(name, f"{seconds:.2f}")
        Console().print(table)


def send(client: Client, steps: Steps) -> dict[str, Any]:
    """Send the sample through the REST API and wait for its detections. Returns the file as the API gives it."""
    with steps.timed("create a job"):
        job = client.post("/api/v1/inference-jobs", {"model_id": load_settings().default_model})
    files = f"/api/v1/inference-jobs/{job['id']}/files"
    with steps.timed("ask for an upload URL"):
        body = {"filename": SAMPLE.name, "content_type": "audio/flac", "file_size_bytes": SAMPLE.stat().st_size}
        upload = client.post(f"{files}/upload-url", body)
    with steps.timed("post the recording to storage"):
        client.upload(upload["upload_url"], upload["upload_fields"], SAMPLE)
    with steps.timed("confirm the upload"):
        client.post(f"{files}/confirm", {"file_id": upload["file_id"]})
    with steps.timed("wait for the detections"):
        while (file := client.get(f"{files}/{upload['file_id']}"))["status"] not in ("completed", "failed"):
            time.sleep(0.1)
    if file["status"] == "failed":
        raise click.ClickException(file["error_message"])
    return file


def print_detections(file: dict[str, Any]) -> None:
    """Print the detections of a file as a table."""
    table = Table(
        "type", "start", "end", "confidence", title=f"Detections in {SAMPLE.name} ({clock(file['duration_ms'])})"
    )
    for detection in file["detections"]:
        start, end = clock(detection["start_ms"]), clock(detection["end_ms"])
        table.add_row(detection["artifact_type"], start, end, f"{detection['confidence']:.2f}")
    Console().print(table)
