"""Decoder processes for those who look and listen, apart from the worker's: two that are warm, one for long reads.

They live in the process of the API, which has a limited number of threads. So only a few requests may wait for them at
a time, tenants share these places fairly, and what takes longer than a request may is made in the background.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from appliance.config import Settings
from appliance.engine.decode.decoder import DecodeLimits, Decoder
from appliance.errors import TooManyLooks
from appliance.services.box import Box
from appliance.services.slots import FairSlots

WARM = 2
REQUESTS = 6  # that may use or wait for the warm decoders
WAIT_SECONDS = 20.0
CPU_SECONDS = 30  # of a clip or a tile
NICENESS = 10  # of the decoder for long reads: the worker comes first


@dataclass(frozen=True)
class StoredRecording:
    """A recording in object storage, read in ranges."""

    box: Box
    key: str
    etag: str
    size_bytes: int

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Return exactly these bytes. Raises ObjectMissing, ObjectChanged, StorageUnavailable."""
        return self.box.objects.read(self.key, self.etag, offset, num_bytes)


class Viewers:
    """The decoders of one process of the API."""

    def __init__(self, settings: Settings) -> None:
        whole = DecodeLimits.from_settings(settings)
        limits = DecodeLimits(
            memory_bytes=whole.memory_bytes,
            cpu_seconds=min(CPU_SECONDS, whole.cpu_seconds),
            stall_seconds=min(CPU_SECONDS, whole.stall_seconds),
            max_duration_seconds=whole.max_duration_seconds,
        )
        self._whole = whole
        self._slots = FairSlots(REQUESTS, "clips and pictures", TooManyLooks)
        self._idle: queue.LifoQueue[Decoder] = queue.LifoQueue()  # the one that is warm comes first
        for _ in range(WARM):
            self._idle.put(Decoder(limits))

    @contextmanager
    def for_request(self, tenant_id: int) -> Iterator[Decoder]:
        """Hold a warm decoder while a client waits. Raises TooManyLooks."""
        with self._slots.slot(tenant_id), self.warm() as decoder:
            yield decoder

    @contextmanager
    def warm(self) -> Iterator[Decoder]:
        """Hold a warm decoder. Raises TooManyLooks if none is free in time."""
        try:
            decoder = self._idle.get(timeout=WAIT_SECONDS)
        except queue.Empty:
            raise TooManyLooks("Too many clips and pictures are being made. Try again in a few seconds.") from None
        try:
            yield decoder
        finally:
            self._idle.put(decoder)

    @contextmanager
    def for_long_read(self) -> Iterator[Decoder]:
        """Use a decoder of low priority for one recording."""
        with Decoder(self._whole, NICENESS) as decoder:
            yield decoder
