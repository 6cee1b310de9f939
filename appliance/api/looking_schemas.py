"""Queries and answers of what shows and plays recordings."""

from __future__ import annotations

from pydantic import BaseModel, Field

from appliance.api.schemas import FilePath, Query


class ClipQuery(Query):
    """Which stretch of a recording."""

    start_ms: int = Field(ge=0, le=2**40)
    end_ms: int = Field(gt=0, le=2**40, description="After `start_ms`, by up to 30,000.")


class TilePath(FilePath):
    """Path of a tile."""

    level: int = Field(ge=0, le=100)
    index: int = Field(ge=0, le=2**40)


class WaveformLevel(BaseModel):
    """A level of an envelope: one waveform data file of the BBC's format, version 2, with 16 bits a value."""

    samples_per_pixel: int = Field(description="256 times a power of 4.")
    length: int = Field(description="Pixels.")
    url: str = Field(description="The same for all levels: request the range of this one with the header Range.")
    offset: int = Field(description="The first byte of the level's file, which begins with its header of 24 bytes.")
    size_bytes: int


class Waveform(BaseModel):
    """The envelope of a recording. Its values are whole numbers: 32767 is full scale."""

    sample_rate_hz: int
    num_channels: int
    num_samples: int = Field(description="Of each channel.")
    duration_ms: int = Field(description="Rounded up.")
    expires_in: int = Field(description="Seconds for which the URLs are valid.")
    levels: list[WaveformLevel] = Field(description="The finest first.")


class SpectrogramLevel(BaseModel):
    """A level of a spectrogram."""

    level: int
    samples_per_column: int = Field(description="256 times a power of 4, as the levels of the waveform.")
    num_tiles: int = Field(description="Tile `i` begins at the sample `i * 256 * samples_per_column`.")


class Spectrogram(BaseModel):
    """The scales of a recording's spectrogram, whose tiles are grey pictures of 256 × 256 pixels.

    Rows are logarithmic in frequency: row r, counted from the bottom, begins at
    `min_hz * (max_hz / min_hz) ** (r / 256)`. A pixel p shows `min_db + p * (max_db - min_db) / 255`.
    """

    sample_rate_hz: int
    num_samples: int
    tile_width: int
    tile_height: int
    min_hz: float
    max_hz: float
    min_db: float
    max_db: float
    levels: list[SpectrogramLevel] = Field(description="The finest first; the last one is a single tile.")
