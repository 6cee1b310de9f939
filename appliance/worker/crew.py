"""Who does what in a cluster: asks that wait, the engines, and how many asks go out together. Most asks are recordings.

It knows no Ray, no database and no clock of its own.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from appliance.errors import ApplianceError
from appliance.worker.asks import Ask, Reply
from appliance.worker.lane import Lane

SHIPMENT_FILES = 64  # above it a call costs little for each file (measured: 9 µs at 64, 370 µs at 1)
SHIPMENT_BYTES = 64 * 1024**2
SHIPMENT_SECONDS = 2.0  # a shipment is made about so large that an engine needs this long


class Ticket:
    """An ask whose end is waited for, maybe by a lane. ``alone``: an engine was lost that had it, so it travels alone.

    ``told`` is called with it when it ends.
    """

    def __init__(
        self, ask: Ask, lane: Lane | None = None, *, alone: bool, told: Callable[[Ticket], None] = lambda _: None
    ) -> None:
        self.ask = ask
        self.lane = lane
        self.alone = alone
        self.ended = threading.Event()
        self.result: Reply | ApplianceError | None = None
        self._told = told

    def end(self, result: Reply | ApplianceError) -> None:
        """Give it its result. Only the first counts: a late one is dropped."""
        if not self.ended.is_set():
            self.result = result
            self.ended.set()
            self._told(self)


@dataclass
class Shipment:
    """Recordings that went to an engine in one call."""

    tickets: list[Ticket]
    sent_at: float


@dataclass(eq=False)
class Member:
    """An engine as the box sees it. ``lanes`` is how many recordings it handles at once."""

    node_id: str
    handle: Any
    lanes: int = 0  # until it has reported
    shipments: dict[Any, Shipment] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)
    seconds_each: float | None = None  # of a recording, in the last shipment
    files: int = 0

    @property
    def room(self) -> int:
        """How many more shipments it can take now: one for each lane, and one that is ready when a lane is."""
        if any(ticket.alone for shipment in self.shipments.values() for ticket in shipment.tickets):
            return 0
        return max(0, self.lanes + 1 - len(self.shipments)) if self.lanes else 0

    @property
    def busy(self) -> int:
        """How many recordings it has."""
        return sum(len(shipment.tickets) for shipment in self.shipments.values())

    @property
    def shipment_files(self) -> int:
        """How many recordings a shipment should have."""
        if self.seconds_each is None:
            return 1
        return max(1, min(SHIPMENT_FILES, int(SHIPMENT_SECONDS / max(self.seconds_each, 1e-6))))

    def came_back(self, key: Any, now: float) -> list[Ticket]:
        """Forget a shipment whose answers arrived, and return its tickets."""
        shipment = self.shipments.pop(key)
        self.seconds_each = (now - shipment.sent_at) / len(shipment.tickets)
        self.files += len(shipment.tickets)
        return shipment.tickets


class Crew:
    """The engines that take work, and the recordings that wait for one."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.waiting: deque[Ticket] = deque()

    @property
    def tickets(self) -> list[Ticket]:
        """Every recording that waits or is at an engine."""
        sent = [ticket for member in self.members for item in member.shipments.values() for ticket in item.tickets]
        return [*self.waiting, *sent]

    def capacity(self) -> int:
        """How many recordings should be claimed at a time: those at engines, and what fills their room."""
        return sum(member.busy + member.room * member.shipment_files for member in self.members)

    def next_shipment(self) -> tuple[Member, list[Ticket]] | None:
        """Take what waits longest and return it with the engine that has the most room; None if nothing can go."""
        while self.waiting and self.waiting[0].ended.is_set():
            self.waiting.popleft()
        free = sum(member.room for member in self.members)
        if not self.waiting or not free:
            return None
        member = max(self.members, key=lambda member: member.room / (member.lanes or 1))
        if self.waiting[0].alone:
            idle = [member for member in self.members if member.lanes and not member.shipments]
            if not idle:
                return self._next_in_company(member, free)
            return idle[0], [self.waiting.popleft()]
        return member, self._take(min(member.shipment_files, math.ceil(len(self.waiting) / free)))

    def _next_in_company(self, member: Member, free: int) -> tuple[Member, list[Ticket]] | None:
        """Let others pass those that travel alone, while no engine is idle, but keep one engine's place for them."""
        if len(self.members) == 1:
            return None
        keeper = min(self.members, key=lambda member: member.busy)
        if member is keeper:
            member = max((other for other in self.members if other is not keeper), key=lambda other: other.room)
        alone = [ticket for ticket in self.waiting if ticket.alone]
        others = deque(ticket for ticket in self.waiting if not ticket.alone)
        if not member.room or not others:
            return None
        self.waiting = others
        taken = self._take(min(member.shipment_files, math.ceil(len(others) / free)))
        self.waiting.extendleft(reversed(alone))
        return member, taken

    def _take(self, most: int) -> list[Ticket]:
        taken = [self.waiting.popleft()]
        size_bytes = taken[0].ask.size_bytes
        while self.waiting and len(taken) < most:
            ticket = self.waiting[0]
            size_bytes += ticket.ask.size_bytes
            if ticket.alone or size_bytes > SHIPMENT_BYTES:
                break
            self.waiting.popleft()
            if not ticket.ended.is_set():
                taken.append(ticket)
        return taken
