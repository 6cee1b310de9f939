"""The envelope of a recording, which the worker makes while it decodes, or the API when somebody first looks at it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import accumulate

from appliance.engine.decode import peaks
from appliance.engine.decode.look import Look, Outline
from appliance.errors import ApplianceError
from appliance.services import quotas, uploads
from appliance.services.box import Box
from appliance.services.inference.recordings import (
    Outlines,
    find_recording,
    store_look,
    waveform_key,
)
from appliance.services.making import Making
from appliance.services.tile_cache import TileCache
from appliance.services.viewers import StoredRecording, Viewers
from appliance.state import inference_jobs
from appliance.state.inference_files import InferenceFile

WAIT_SECONDS = 2.0  # a recording of a few minutes is read in less


@dataclass(frozen=True)
class Level:
    """A level of an envelope: a waveform data file, which lies in the object from ``offset`` on."""

    samples_per_pixel: int
    num_pixels: int
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Waveform:
    """The outline of a recording, the levels of its envelope from the finest on, and the URL that serves them."""

    outline: Outline
    levels: list[Level]
    url: str
    expires_seconds: int


class Looking:
    """What one process of the API needs to show recordings: decoders, what is being made, and outlines."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.viewers = Viewers(box.settings)
        self.outlines = Outlines()
        self.tiles = TileCache(box.settings.data_dir, box.settings.tile_cache_bytes)
        self.reads = Making("long reads")
        self.pictures = Making("pictures")

    def outline_of(self, tenant_id: int, file: InferenceFile, recording: StoredRecording) -> Outline:
        """Return the outline of a file. Raises BeingMade if the recording must be read first, and CannotBePlayed."""
        while True:
            outline = self.outlines.find(self.box, file)
            if outline:
                return outline
            self.reads.request(tenant_id, file.id, lambda: self._make(file, recording), WAIT_SECONDS)

    def _make(self, file: InferenceFile, recording: StoredRecording) -> None:
        folder = self.box.settings.data_dir / "tmp"
        with self.viewers.for_long_read() as decoder, tempfile.TemporaryFile(dir=folder) as look_file:
            store_look(self.box, file, decoder.look(recording, look_file))


def waveform(looking: Looking, tenant_id: int, job_id: str, file_id: str, origin: str) -> Waveform:
    """Return the levels of a file's envelope. Raises what ``find_recording`` raises, BeingMade and CannotBePlayed."""
    file, recording = find_recording(looking.box, tenant_id, job_id, file_id)
    outline = looking.outline_of(tenant_id, file, recording)
    url, seconds = uploads.presign(
        looking.box, waveform_key(file), f"{file.id}.dat", "application/octet-stream", origin
    )
    return Waveform(outline, _levels(outline), url, seconds)


def keep_look(box: Box, file: InferenceFile, look: Look | None) -> ApplianceError | None:
    """Store what the worker's decode learned of a recording that is long enough. Returns the error if that fails.

    Nothing is lost then, also if the tenant's quota is full: the waveform is made when somebody looks.
    """
    if look is None or look.outline.seconds < box.settings.waveform_seconds:
        return None
    try:
        size_bytes = sum(level.size_bytes for level in _levels(look.outline))
        quotas.check_bytes(box, box.db, inference_jobs.tenant_of(box.db, file.job_id), size_bytes)
        store_look(box, file, look)
    except ApplianceError as error:
        return error
    return None


def _levels(outline: Outline) -> list[Level]:
    sizes = [peaks.level_bytes(length, outline.info.num_channels) for _, length in outline.levels]
    offsets = accumulate(sizes, initial=0)
    return [
        Level(samples_per_pixel, length, offset, size)
        for (samples_per_pixel, length), offset, size in zip(outline.levels, offsets, sizes, strict=False)
    ]
