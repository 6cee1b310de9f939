"""Finds a place for a fault: one that suits it, far enough from other faults to tell them apart."""

from __future__ import annotations

import numpy as np

from evaluation.faults import INJECTORS, Injector, UnsuitableError
from evaluation.labels import Event

EDGE_SECONDS = 0.7
APART_SECONDS = 0.5
NEEDS_SOUND_AROUND = ("dropout", "glitch")
SILENCE_RMS = 10 ** (-46 / 20)


def rms(part: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(part, dtype=np.float64)))) if len(part) else 0.0


def put_faults(
    audio: np.ndarray,
    rate_hz: int,
    labels: list[str],
    rng: np.random.Generator,
    injectors: dict[str, Injector] | None = None,
) -> tuple[np.ndarray, list[Event]]:
    """Put one fault per label into the audio, left to right. A fault that finds no place is left out.

    audio : (num_samples, num_channels) float32, returned with the faults and scaled down (never cut) to a peak < 1.
    """
    events: list[Event] = []
    earliest = EDGE_SECONDS
    for turn, label in enumerate(labels):
        latest = len(audio) / rate_hz - EDGE_SECONDS
        room = (latest - earliest) / (len(labels) - turn)
        if room <= 0.1:
            break
        for attempt in range(40):
            reach = room if attempt < 20 else latest - earliest  # first in its share of the room, then anywhere
            start = int((earliest + rng.uniform(0, reach)) * rate_hz)
            try:
                damaged, event = (injectors or INJECTORS)[label](audio, rate_hz, start, rng)
            except UnsuitableError:
                continue
            fits = event.end_seconds < len(damaged) / rate_hz - (0.3 if label in ("hum", "clipping") else EDGE_SECONDS)
            if fits and is_heard(audio, damaged, rate_hz, event):
                audio, earliest = damaged, event.end_seconds + APART_SECONDS
                events.append(event)
                break
    peak = float(np.max(np.abs(audio), initial=0.0))
    return (audio * np.float32(0.98 / peak) if peak > 0.98 else audio), events


def is_heard(before: np.ndarray, after: np.ndarray, rate_hz: int, event: Event) -> bool:
    """Return whether the fault lies in sound and changed it."""
    start, end = round(event.start_seconds * rate_hz), round(event.end_seconds * rate_hz)
    around = int(0.06 * rate_hz)
    loud = rms(before)
    if event.label in NEEDS_SOUND_AROUND:
        enough = max(0.3 * loud, SILENCE_RMS)
        left, right = before[start - around : start], after[end : end + around]
        quietest = min(rms(left), rms(right), rms(before[start : max(end, start + around)]))
        stop = max(end, start + int(0.03 * rate_hz))
        changed = rms(after[start:stop] - before[start : start + len(after[start:stop])])
        return quietest > enough and changed > 0.5 * rms(before[start:stop])
    half_second = before[max(0, start - rate_hz // 4) : end + rate_hz // 4]
    if rms(half_second) < max(0.1 * loud, SILENCE_RMS):
        return False
    added = after[start:end] - before[start:end]
    if event.label == "click":
        return float(np.max(np.abs(added))) > 0.5 * loud
    return event.label == "clipping" or rms(added) > {"noise_burst": 0.15, "hum": 0.03}[event.label] * loud
