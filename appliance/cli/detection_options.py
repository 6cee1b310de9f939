"""The options that say how to detect, for every command that detects."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import click

from appliance.engine.models.manifest import MAX_MERGE_WINDOW_MS, MAX_MIN_DURATION_MS


def _refuse_nan(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse nan, which passes every check of a range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not in the range 0<=x<=1.")
    return value


_OPTIONS = (
    click.option("--model", help="<name> or <name>@<version>.  [default: artifacts]"),
    click.option(
        "--threshold",
        type=click.FloatRange(0, 1),
        callback=_refuse_nan,
        help="Lowest confidence to report.",
    ),
    click.option(
        "--merge-window-ms",
        type=click.IntRange(0, MAX_MERGE_WINDOW_MS),
        help="Merge detections of the same type that are at most this far apart.",
    ),
    click.option(
        "--min-duration-ms",
        type=click.IntRange(0, MAX_MIN_DURATION_MS),
        help="Drop shorter detections; a point such as a click counts as at least 50 ms long.",
    ),
)


def detection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --model and the options of a DetectionConfig to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
