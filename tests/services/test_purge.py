"""The deletion of objects in the background."""

from __future__ import annotations

import pytest

from appliance.errors import LeaseLost, StorageUnavailable
from appliance.services.box import Box
from appliance.services.purge import enqueue_purge, purge
from appliance.services.work import leases
from tests.support.boxes import DictionaryStore, claim, lose_lease, queued_work

NAMES = ("original", "normalized", "embedding")


def enqueue(box: Box, folder: str) -> None:
    with box.db.transaction() as tx:
        enqueue_purge(tx, 1, folder)


def test_every_object_in_the_folder_is_deleted_and_no_other(box: Box, objects: DictionaryStore) -> None:
    objects.contents = {f"{folder}/{name}": b"x" for folder in ("a/b", "a/bc", "a") for name in NAMES}
    enqueue(box, "a/b")
    purge(box, claim(box))
    assert {key.rpartition("/")[0] for key in objects.contents} == {"a/bc", "a"}
    assert queued_work(box) == []


def test_a_folder_without_objects_is_purged_too(box: Box) -> None:
    enqueue(box, "a/b")
    purge(box, claim(box))
    assert queued_work(box) == []


def test_a_folder_is_queued_once(box: Box) -> None:
    enqueue(box, "a/b")
    enqueue(box, "a/b")
    assert queued_work(box) == [("purge", "a/b")]


def test_without_the_lease_the_work_stays(box: Box) -> None:
    enqueue(box, "a/b")
    work = claim(box)
    lose_lease(box, work)
    with pytest.raises(LeaseLost):
        purge(box, work)
    assert queued_work(box) == [("purge", "a/b")]


def test_a_purge_can_be_given_up(box: Box) -> None:
    enqueue(box, "a/b")
    leases.fail(box, claim(box), StorageUnavailable("It is away."))
    assert queued_work(box) == []
