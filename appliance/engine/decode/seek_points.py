"""Places in a recording from which decoding can begin and give the samples that a whole decode gives there.

A whole decode notes one about every five seconds: the packet that begins there, and all that the decode knew before it.
To read a clip, decoding begins at the point before the one that precedes the clip, so that the codec's memory of
earlier packets fills, and takes over the noted state at the second one. No time stamp of the file has to be right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

EVERY_SECONDS = 5

POINT = np.dtype(
    [
        ("position", "<i8"),  # of its first sample, counted with the encoder's delay
        ("origin", "<f8"),  # the time stamp of position 0, in samples
        ("stamp", "<f8"),  # its own, in samples
        ("pts", "<i8"),  # the same in the container's unit
        ("byte", "<i8"),  # where its packet lies in the file
        ("nth", "<i8"),  # of the packets that lie there: some containers give the place of a page or a block
        ("good_bytes", "<i8"),  # of all packets that were decoded before
        ("good_packets", "<i8"),
        ("lost_frames", "<i8"),
    ]
)


@dataclass
class SeekPoints:
    """The points of one recording, in order. ``delay`` is the number of samples that the encoder put in front."""

    delay: int = 0
    rows: list[tuple[float, ...]] = field(default_factory=list)

    def note(
        self, position: int, rate_hz: int, origin: float | None, stamp: float | None, place: tuple[int, ...]
    ) -> None:
        """Add a point, if the last one lies EVERY_SECONDS back. ``place`` is (pts, byte, …) as in POINT."""
        if origin is None or stamp is None:
            return
        if not self.rows or position - self.rows[-1][0] >= EVERY_SECONDS * rate_hz:
            self.rows.append((position, origin, stamp, *place))

    def table(self) -> np.ndarray:
        """Return the points as an array (num_points,) of POINT."""
        return np.array(self.rows, POINT)


@dataclass(frozen=True)
class Resume:
    """How to read a recording from some sample on: where decoding begins and where it takes over the noted state.

    The points are fields of POINT by name. ``first`` is the first one of the recording; before it is the file's head.
    """

    sample_rate_hz: int
    delay: int
    first: dict[str, float]
    begin: dict[str, float]
    take_over: dict[str, float]

    @property
    def first_sample(self) -> int:
        """The first sample of the recording that comes out."""
        return int(self.take_over["position"]) - self.delay


def resume_before(points: np.ndarray, sample_rate_hz: int, delay: int, start_sample: int) -> Resume | None:
    """Return how to read from ``start_sample`` on; None if it is so near to the beginning that decoding begins there.

    points : (num_points,) of POINT, in the order of their positions.
    """
    last = int(np.searchsorted(points["position"], start_sample + delay, side="right")) - 1
    if last < 1:
        return None
    names = POINT.names or ()
    first, begin, take_over = ({name: points[place][name].item() for name in names} for place in (0, last - 1, last))
    return Resume(sample_rate_hz, delay, first, begin, take_over)
