"""What is made in the background is made once, tenants take turns, and failures reach who asked."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from appliance.errors import BeingMade, CannotBePlayed, CorruptAudio, StorageUnavailable, TooManyLooks
from appliance.services import making as making_module
from appliance.services.making import Making
from appliance.services.slots import FairSlots
from appliance.services.tile_cache import TileCache, forget_tiles


def test_it_is_made_once_and_tenants_take_turns() -> None:
    making, order, gate = Making("test"), [], threading.Event()
    with pytest.raises(BeingMade):
        making.request(1, "gate", gate.wait)
    for tenant, key in ((1, "a"), (1, "b"), (1, "a"), (2, "c")):
        with pytest.raises(BeingMade):
            making.request(tenant, key, lambda key=key: order.append(key))  # type: ignore[misc]
    gate.set()
    making.request(1, "last", lambda: order.append("last"), wait_seconds=60)
    assert sorted(order[:2]) == ["a", "c"]
    assert order[2:] == ["b", "last"]


def test_a_recording_that_cannot_be_decoded_is_not_tried_again_and_storage_is() -> None:
    making, tries = Making("test"), []

    def fail(error: Exception) -> None:
        tries.append(error)
        raise error

    for _ in range(2):
        with pytest.raises(CannotBePlayed, match="damaged"):
            making.request(1, "bad", lambda: fail(CorruptAudio("It is damaged.")), wait_seconds=60)
    assert len(tries) == 1
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            making.request(1, "away", lambda: fail(StorageUnavailable("It is away.")), wait_seconds=60)
    assert len(tries) == 3


def test_what_nobody_wants_any_more_is_not_begun_and_a_tenant_may_not_ask_for_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    making, made, gate = Making("test"), [], threading.Event()
    with pytest.raises(BeingMade):
        making.request(1, "gate", gate.wait)
    monkeypatch.setattr(making_module, "MOST_WAITING", 2)
    for key in ("a", "b"):
        with pytest.raises(BeingMade):
            making.request(2, key, lambda: made.append(1))
    with pytest.raises(TooManyLooks, match="2 of your"):
        making.request(2, "c", lambda: made.append(1))
    for key in ("a", "b"):
        making._waiting[2][key].asked_at -= making_module.FORGOTTEN_SECONDS + 1
    gate.set()
    making.request(1, "last", lambda: made.append(2), wait_seconds=60)
    assert made == [2]


def test_one_tenant_gets_half_of_the_slots() -> None:
    slots = FairSlots(6, "clips", TooManyLooks)
    with slots.slot(1), slots.slot(1), slots.slot(1):
        with pytest.raises(TooManyLooks, match="3 of your clips"), slots.slot(1):
            pass
        with slots.slot(2):
            pass


def test_the_cache_keeps_what_was_used_last_and_knows_it_after_a_restart(tmp_path: Path) -> None:
    cache = TileCache(tmp_path, 250)
    for name in ("t/a/0-0.png", "t/a/0-1.png"):
        cache.put(name, bytes(100))
    assert cache.get("t/a/0-0.png") == bytes(100)
    cache.put("t/b/0-0.png", bytes(100))
    assert (cache.get("t/a/0-1.png"), cache.get("t/a/0-0.png")) == (None, bytes(100))
    again = TileCache(tmp_path, 250)
    again.put("t/c/0-0.png", bytes(100))
    assert sum(again.get(name) is not None for name in ("t/a/0-0.png", "t/b/0-0.png", "t/c/0-0.png")) == 2
    forget_tiles(tmp_path, "t/c")
    assert again.get("t/c/0-0.png") is None
    again.put("t/d/0-0.png", bytes(300))  # larger than all of the cache
    assert again.get("t/d/0-0.png") is None
