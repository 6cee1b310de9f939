"""Deletes the objects of a recording that is gone, in the background."""

from __future__ import annotations

from appliance.services.box import Box
from appliance.services.kind import Kind
from appliance.state import work as queue
from appliance.state.database import Transaction
from appliance.state.work import Work

# The subject is a folder of object storage, not a row, so nothing moves when the work is given up.
PURGE = Kind("purge", fail=lambda tx, folder, code, message: True, threads="storage")

NAMES = ("original", "normalized", "embedding")


def enqueue_purge(tx: Transaction, folder: str) -> None:
    """Queue the deletion of all objects in a recording's folder."""
    queue.enqueue(tx, PURGE.name, folder, folder)


def purge(box: Box, work: Work) -> None:
    """Delete the objects in the folder that the work names. Raises LeaseLost."""
    for name in NAMES:
        box.objects.delete(f"{work.subject_id}/{name}")
    with box.db.transaction() as tx:
        queue.finish(tx, work)
