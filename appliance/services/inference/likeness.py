"""Detections that sound alike: those of one type in a job, compared by the spectra of their stretches.

A print is the shape of a sound's spectrum: the mean and the greatest level of each band, without the loudness. It is
made from the recording when somebody first compares, and held in memory.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from appliance.engine.decode import spectrogram
from appliance.errors import ApplianceError, AudioError, BeingMade, CannotBePlayed, NotFound, OutsideRecording
from appliance.services.inference.files import find_file
from appliance.services.inference.jobs import find_settings
from appliance.services.inference.recordings import find_recording
from appliance.services.inference.waveforms import Looking
from appliance.services.making import Making
from appliance.state import reviews as review_rows
from appliance.state.reviews import QueueFilter, QueueItem

MOST = 2000  # detections that are compared
HELD = 50_000  # prints of 256 bytes
LONGEST_MS = 2000  # of a sound that is listened to
TURN_SECONDS = 3.0  # of making prints, before another tenant's turn
WAIT_SECONDS = 2.0
BANDS = 32
DB_PER_VALUE = (spectrogram.HIGHEST_DB - spectrogram.LOWEST_DB) / 255
RANGE_DB = 60.0  # what is softer than the loudest band by more is noise
DISTANCE_DB = 20.0  # root mean square, from which on two sounds have nothing in common

Stretch = tuple[str, int, int]  # file id, start and end in ms


@dataclass(frozen=True)
class Alike:
    """A detection and how much it sounds like the one in question: 1 is the same spectrum, 0 has nothing in common."""

    item: QueueItem
    similarity: float


class Prints:
    """The prints that this process holds, and the thread that makes them. Threads may share it."""

    def __init__(self) -> None:
        self._held: OrderedDict[Stretch, np.ndarray | None] = OrderedDict()
        self._lock = threading.Lock()
        self.making = Making("sounds")

    def missing(self, stretches: Sequence[Stretch]) -> list[Stretch]:
        """Return those that have no print yet."""
        with self._lock:
            return [stretch for stretch in stretches if stretch not in self._held]

    def get(self, stretch: Stretch) -> np.ndarray | None:
        """Return a print: (2 * BANDS,) float32. None if the recording cannot be heard."""
        with self._lock:
            return self._held.get(stretch)

    def put(self, stretch: Stretch, made: np.ndarray | None) -> None:
        """Hold a print."""
        with self._lock:
            self._held[stretch] = made
            while len(self._held) > HELD:
                self._held.popitem(last=False)


def similar(
    looking: Looking, prints: Prints, tenant_id: int, job_id: str, wanted: Stretch, chosen: QueueFilter, least: float
) -> tuple[list[Alike], int]:
    """Return detections of a job that sound like a stretch of a file, the most similar first, and the number compared.

    The first MOST detections that ``chosen`` chooses are compared. Raises NotFound, BeingMade while prints are made,
    and CannotBePlayed or NotUploaded if the stretch itself cannot be heard.
    """
    find_settings(looking.box, tenant_id, job_id)
    find_file(looking.box, job_id, wanted[0])
    items = review_rows.list_queue(looking.box.db, job_id, chosen, order="time", after=None, limit=MOST)
    stretches = [(item.file_id, item.detection.start_ms, item.detection.end_ms) for item in items]
    if prints.missing([wanted]):
        prints.put(wanted, _print_of(looking, tenant_id, job_id, wanted))
    deadline = time.monotonic() + WAIT_SECONDS
    while missing := prints.missing(stretches):
        left = deadline - time.monotonic()
        if left <= 0:
            raise BeingMade(f"The sounds are being compared: {len(stretches) - len(missing)} of {len(stretches)}.")
        work = _Turn(looking, prints, tenant_id, job_id, missing)
        prints.making.request(tenant_id, (job_id, chosen), work.make, left)
    own = prints.get(wanted)
    if own is None:
        raise NotFound("The sound in question is no longer held; try again.")
    alike = []
    for item, stretch in zip(items, stretches, strict=True):
        other = prints.get(stretch)
        if other is not None and (similarity := similarity_of(own, other)) >= least:
            alike.append(Alike(item, similarity))
    return sorted(alike, key=lambda one: -one.similarity), len(items)


@dataclass(frozen=True)
class _Turn:
    """Makes prints for a few seconds."""

    looking: Looking
    prints: Prints
    tenant_id: int
    job_id: str
    missing: list[Stretch]

    def make(self) -> None:
        """Make what is missing, as far as the time of a turn goes."""
        end = time.monotonic() + TURN_SECONDS
        for stretch in self.missing:
            if time.monotonic() > end:
                return
            made = None
            with suppress(ApplianceError):  # if its recording cannot be heard, it is like nothing
                made = _print_of(self.looking, self.tenant_id, self.job_id, stretch)
            self.prints.put(stretch, made)


def _print_of(looking: Looking, tenant_id: int, job_id: str, stretch: Stretch) -> np.ndarray:
    file_id, start_ms, end_ms = stretch
    file, recording = find_recording(looking.box, tenant_id, job_id, file_id)
    outline = looking.outlines.find(looking.box, file)
    try:
        with looking.viewers.warm() as decoder:
            clip = decoder.clip(recording, start_ms, min(end_ms, start_ms + LONGEST_MS), outline)
    except AudioError as error:
        raise CannotBePlayed(f"The recording cannot be decoded: {error}") from error
    if not len(clip.samples):
        raise OutsideRecording(f"The recording ends before {start_ms} ms.")
    return print_of(clip.samples, clip.info.sample_rate_hz)


def print_of(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return the print of (num_samples, num_channels) float32: (2 * BANDS,) float32, in decibels around 0."""
    picture = spectrogram.picture(samples, sample_rate_hz, spectrogram.WIDTH)
    bands = picture.reshape(BANDS, -1, picture.shape[1]).max(axis=1) * np.float32(DB_PER_VALUE)
    shape = np.concatenate([bands.mean(axis=1), bands.max(axis=1)])
    shape = np.maximum(shape, shape.max() - RANGE_DB)
    return shape - shape.mean()


def similarity_of(one: np.ndarray, other: np.ndarray) -> float:
    """Return 1 for equal prints, less by 0.1 for each DISTANCE_DB / 10 between them, and at least 0."""
    return max(0.0, 1.0 - float(np.sqrt(np.mean((one - other) ** 2))) / DISTANCE_DB)
