"""Deletes the objects of a recording that is gone, or one of them, in the background."""

from __future__ import annotations

from appliance.services.box import Box
from appliance.services.kind import Kind
from appliance.services.tile_cache import forget_tiles
from appliance.state import work as queue
from appliance.state.database import Transaction
from appliance.state.work import Work

# The subject is a folder of object storage or a key, not a row, so nothing moves when the work is given up.
PURGE = Kind("purge", fail=lambda tx, folder, code, message: True, pool="storage")

BATCH = 1000


def enqueue_purge(tx: Transaction, tenant_id: int, place: str) -> None:
    """Queue the deletion of all objects in a folder of the tenant, or of one object."""
    PURGE.enqueue(tx, tenant_id, place, place)


def purge(box: Box, work: Work) -> None:
    """Delete the object that the work names, or the objects in that folder. Raises LeaseLost."""
    if not delete_folder(box, work.subject_id):
        box.objects.delete(work.subject_id)
    with box.db.transaction() as tx:
        queue.finish(tx, work)


def delete_folder(box: Box, folder: str) -> int:
    """Delete every object in a folder, and the pictures of its recordings. Returns how many objects there were."""
    forget_tiles(box.settings.data_dir, folder)
    num_deleted = 0
    while keys := box.objects.list(f"{folder}/", BATCH):
        for stored in keys:
            box.objects.delete(stored.key)
        num_deleted += len(keys)
    return num_deleted
