"""The report of a job as one HTML page with nothing outside it. It prints, and a browser makes a PDF of it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment

from appliance.rfc3339 import rfc3339
from appliance.services.inference.exports.qc import timecode
from appliance.services.inference.report import Picture, Report
from appliance.text import counted

TEMPLATE = Path(__file__).with_name("report.html")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


def report_page(report: Report, pictures: Mapping[str, Picture]) -> str:
    """Return the page. ``pictures`` are of files, by their ids."""
    template = Environment(autoescape=True).from_string(TEMPLATE.read_text("utf-8"))
    images = {name: b64encode(picture.png).decode() for name, picture in pictures.items()}
    return template.render(
        report=report, pictures=pictures, images=images, time=rfc3339, clock=timecode, counted=counted
    )
