"""What one whole decode learns about a recording for those who look at it later: its envelope and its seek points."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import BinaryIO

import numpy as np

from appliance.engine.decode import peaks
from appliance.engine.decode.containers import AudioInfo
from appliance.engine.decode.seek_points import POINT, Resume, resume_before


@dataclass(frozen=True)
class Outline:
    """A recording without its envelope: how long it is, where decoding can begin, and how long the envelope is."""

    info: AudioInfo
    num_samples: int
    samples_per_pixel: int  # of the finest level
    num_pixels: int
    delay: int
    points: np.ndarray  # (num_points,) of POINT

    @property
    def seconds(self) -> float:
        """The length of the recording."""
        return self.num_samples / self.info.sample_rate_hz

    @property
    def levels(self) -> list[tuple[int, int]]:
        """Samples a pixel and number of pixels of every level, the finest first."""
        lengths = peaks.level_lengths(self.num_pixels)
        return [(self.samples_per_pixel * peaks.FACTOR**level, length) for level, length in enumerate(lengths)]

    def resume_before(self, start_sample: int) -> Resume | None:
        """Return how to read from a sample on without decoding all before it, None if all must be decoded."""
        return resume_before(self.points, self.info.sample_rate_hz, self.delay, start_sample)

    def to_bytes(self) -> bytes:
        """Return the outline as a line of JSON and the points."""
        fields = asdict(self) | {"points": len(self.points)}
        return json.dumps(fields).encode() + b"\n" + self.points.tobytes()

    @classmethod
    def from_bytes(cls, content: bytes) -> Outline:
        """Read what ``to_bytes`` wrote. Raises ValueError."""
        line, _, rows = content.partition(b"\n")
        fields = json.loads(line)
        count = fields.pop("points")
        points = np.frombuffer(rows, POINT, count)
        return cls(**fields | {"info": AudioInfo(**fields["info"]), "points": points})


@dataclass(frozen=True)
class Look:
    """The outline of a recording, and an open file with the files of all levels of its envelope, the finest first."""

    outline: Outline
    file: BinaryIO
