"""Spectrogram tiles of a recording, made when somebody first looks at them and kept on the disk for a while.

A tile of a fine level is made from its stretch of the recording, a tile of a coarser one from four tiles of the level
below, so that no piece of work takes long and every tile is made once.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from appliance.engine.decode import spectrogram
from appliance.engine.decode.look import Outline
from appliance.engine.decode.peaks import FACTOR
from appliance.engine.decode.png import from_png, to_png
from appliance.errors import BeingMade, NotFound, StorageFull
from appliance.services.inference.recordings import find_recording
from appliance.services.inference.waveforms import Looking
from appliance.services.tile_cache import forget_tiles
from appliance.services.viewers import StoredRecording
from appliance.state import inference_files
from appliance.state.inference_files import InferenceFile

DIRECT_LEVELS = 4  # levels 0 to 3, of up to 4,194,304 samples, are made from audio
WAIT_SECONDS = 2.0  # for a tile that is made from audio


@dataclass(frozen=True)
class TileLevel:
    """A level: how many samples a column shows, and how many tiles there are."""

    samples_per_column: int
    num_tiles: int


@dataclass(frozen=True)
class Spectrogram:
    """The outline of a recording and the levels of its spectrogram, the finest first."""

    outline: Outline
    levels: list[TileLevel]


def describe(looking: Looking, tenant_id: int, job_id: str, file_id: str) -> Spectrogram:
    """Return the levels of a file's spectrogram. Raises as ``waveforms.waveform``."""
    file, recording = find_recording(looking.box, tenant_id, job_id, file_id)
    outline = looking.outline_of(tenant_id, file, recording)
    return Spectrogram(outline, _levels(outline))


def tile(looking: Looking, tenant_id: int, job_id: str, file_id: str, level: int, index: int) -> bytes:
    """Return a tile as PNG. Raises NotFound, BeingMade, and what ``describe`` raises."""
    file, recording = find_recording(looking.box, tenant_id, job_id, file_id)
    if content := looking.tiles.get(_name(file, level, index)):
        return content
    outline = looking.outline_of(tenant_id, file, recording)
    levels = _levels(outline)
    if not (0 <= level < len(levels) and 0 <= index < levels[level].num_tiles):
        raise NotFound(f"The spectrogram has {len(levels)} levels; there is no tile {index} of level {level}.")
    maker = _Maker(looking, file, recording, outline)
    wait_seconds = WAIT_SECONDS if level < DIRECT_LEVELS else 0.0
    looking.pictures.request(tenant_id, (file.id, level, index), lambda: maker.make(level, index), wait_seconds)
    if content := looking.tiles.get(_name(file, level, index)):
        return content
    raise BeingMade("The picture was made and has gone already, because many others were. Try again.")


class _Maker:
    """Makes tiles of one recording."""

    def __init__(self, looking: Looking, file: InferenceFile, recording: StoredRecording, outline: Outline) -> None:
        self._looking, self._file, self._recording, self._outline = looking, file, recording, outline
        self._levels = _levels(outline)

    def make(self, level: int, index: int) -> np.ndarray | None:
        """Return a tile, and keep it; None behind the last one of the level. Raises StorageFull and AudioError."""
        if index >= self._levels[level].num_tiles:
            return None
        name = _name(self._file, level, index)
        if content := self._looking.tiles.get(name):
            with suppress(ValueError):
                return from_png(content)
        if level < DIRECT_LEVELS:
            made = self._from_audio(level, index)
        else:
            first = FACTOR * index
            made = spectrogram.joined([self.make(level - 1, first + place) for place in range(FACTOR)])
        self._keep(name, made)
        return made

    def _from_audio(self, level: int, index: int) -> np.ndarray:
        start = index * spectrogram.WIDTH * spectrogram.samples_per_column(level)
        with self._looking.viewers.warm() as decoder:
            return decoder.tile(self._recording, level, start, self._outline)

    def _keep(self, name: str, made: np.ndarray) -> None:
        try:
            self._looking.tiles.put(name, to_png(made))
        except OSError as error:
            raise StorageFull(f"The picture cannot be stored: {error}.") from error
        if inference_files.find_file(self._looking.box.db, self._file.id) is None:
            forget_tiles(self._looking.box.settings.data_dir, _folder(self._file))


def _levels(outline: Outline) -> list[TileLevel]:
    """Return the levels from the finest to the first of which one tile shows everything."""
    levels: list[TileLevel] = []
    while not levels or levels[-1].num_tiles > 1:
        column = spectrogram.samples_per_column(len(levels))
        levels.append(TileLevel(column, -(-outline.num_samples // (column * spectrogram.WIDTH))))
    return levels


def _name(file: InferenceFile, level: int, index: int) -> str:
    return f"{_folder(file)}/{level}-{index}.png"


def _folder(file: InferenceFile) -> str:
    return file.object_key.rpartition("/")[0]
