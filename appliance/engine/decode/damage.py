"""What a decode learns about the damage of a recording: facts of its stream, which no ear is needed for."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_LOSSES = 10_000  # that are noted; more are damage of another kind


@dataclass
class Damage:
    """The damage that was met so far.

    num_places : how often something could not be read or decoded. losses : the stretches of audio that are missing in
    the stream, as pairs of samples at the recording's own rate, in order. Silence is in their places, or what the coder
    made of a frame without its data.
    """

    num_places: int = 0
    delay: int = 0  # samples that the encoder put in front; the losses are counted with them
    _losses: list[tuple[int, int]] = field(default_factory=list)

    def lose(self, position: int, num_samples: int) -> None:
        """Note that audio is missing. ``position`` is counted with the encoder's delay."""
        if len(self._losses) < MAX_LOSSES:
            self._losses.append((position, position + num_samples))

    @property
    def losses(self) -> list[tuple[int, int]]:
        """The losses, counted without the encoder's delay."""
        moved = ((start - self.delay, end - self.delay) for start, end in self._losses)
        return [(max(0, start), end) for start, end in moved if end > max(0, start)]
