"""A node as the box sees it: what it offers, and what became of its engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from appliance.services.cluster import LABEL, versions
from appliance.state.nodes import Node, NodeState
from appliance.worker.crew import Member


@dataclass
class Place:
    """A node, why it takes no work, and when an engine may be started there again."""

    id: str
    name: str
    address: str
    engines: int
    has_gpus: bool
    cores: int
    refusal: str
    lost: int = 0
    failures: int = 0
    retry_at: float = 0.0
    fault: str = ""
    files: int = 0  # of engines that are gone

    @classmethod
    def of(cls, row: dict[str, Any], engine: str) -> Place:
        """Return the place of a node as Ray describes it. ``engine`` is Ray's name for the places for engines."""
        resources, theirs = row["Resources"], row.get("Labels", {}).get(LABEL, "nothing")
        engines = int(resources[engine])
        return cls(
            id=row["NodeID"],
            name=row["NodeName"],
            address=row["NodeManagerAddress"],
            engines=engines,
            has_gpus=resources.get("GPU", 0) >= engines,
            cores=int(resources.get("CPU", 1)),
            refusal="" if theirs == versions() else f"it has {theirs}, and the box has {versions()}",
        )

    def node(self, members: Sequence[Member], *, is_drained: bool) -> Node:
        """Return what the status shows of it. ``members`` are its engines."""
        ready = sum(bool(member.lanes) for member in members)
        state: NodeState = "ready" if ready else "failing" if self.fault else "starting"
        if is_drained:
            state = "draining" if members else "drained"
        return Node(
            id=self.id,
            name=self.name,
            address=self.address,
            state="refused" if self.refusal else state,
            reason=self.refusal or self.fault,
            engines=ready,
            busy=sum(member.busy for member in members),
            lost_engines=self.lost,
            files=self.files + sum(member.files for member in members),
        )
