"""The nodes of a cluster, as the worker last saw them, and those that are to be drained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Literal

from appliance.state.database import Reader, Transaction, columns

NodeState = Literal["starting", "ready", "refused", "failing", "draining", "drained"]
STALE_SECONDS = 30.0  # a worker writes every few seconds


@dataclass(frozen=True)
class Node:
    """A machine of the cluster. ``id`` is another one each time that it joins; ``reason`` says why it takes no work.

    ``engines`` is how many engines are ready, ``busy`` how many recordings they have now. ``lost_engines`` and
    ``files`` count since the node joined or the worker started.
    """

    id: str
    name: str
    address: str
    state: NodeState
    reason: str
    engines: int
    busy: int
    lost_engines: int
    files: int


def replace_all(tx: Transaction, nodes: Iterable[Node]) -> None:
    """Put these nodes in the place of all others."""
    tx.change("DELETE FROM nodes")
    for node in nodes:
        places = ", ".join("?" * len(astuple(node)))
        tx.change(f"INSERT INTO nodes VALUES ({places}, unixepoch('subsec'))", astuple(node))
    tx.change("DELETE FROM drains WHERE node_id NOT IN (SELECT id FROM nodes)")


def list_nodes(db: Reader) -> list[Node]:
    """Return the nodes by name; none if the worker has not written for STALE_SECONDS."""
    rows = db.all(
        f"SELECT {columns(Node)} FROM nodes WHERE seen_at > unixepoch('subsec') - ? ORDER BY name, id", [STALE_SECONDS]
    )
    return [Node(**dict(row)) for row in rows]


def drain(tx: Transaction, node_id: str) -> None:
    """Note that a node is to take no more work, until it joins again."""
    tx.change("INSERT INTO drains VALUES (?) ON CONFLICT DO NOTHING", [node_id])


def drains(db: Reader) -> set[str]:
    """Return the ids of the nodes that are to be drained."""
    return {row["node_id"] for row in db.all("SELECT node_id FROM drains")}
