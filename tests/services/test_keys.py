"""API keys: created once for each name, revoked, and the only way to a tenant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.errors import Conflict, InvalidRequest, NotFound, Unauthorized
from appliance.services import keys
from appliance.services.box import Box


def test_a_key_leads_to_its_tenant(box: Box) -> None:
    first, second = keys.create_key(box.db, "a", "one"), keys.create_key(box.db, "b", "two")
    new = keys.create_key(box.db, "c", "three")
    assert [keys.authenticate(box.db, key) for key in (first, second, new)] == [1, 2, 3]


def test_two_keys_of_a_tenant_lead_to_the_same_tenant(box: Box) -> None:
    created = [keys.create_key(box.db, name, "one") for name in ("a", "b")]
    assert created[0] != created[1]
    assert [keys.authenticate(box.db, key) for key in created] == [1, 1]


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda key: key[:-1], lambda key: f"{key} ", lambda _: "é"])
def test_nothing_but_the_exact_key_leads_to_a_tenant(box: Box, change: Callable[[str], str]) -> None:
    key = keys.create_key(box.db, "a")
    with pytest.raises(Unauthorized, match="unknown or was revoked"):
        keys.authenticate(box.db, change(key))


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_is_unauthorized(box: Box, key: str | None) -> None:
    with pytest.raises(Unauthorized, match="X-API-Key is missing"):
        keys.authenticate(box.db, key)


def test_bytes_that_are_not_text_are_an_unknown_key(box: Box) -> None:
    with pytest.raises(Unauthorized):
        keys.authenticate(box.db, "\udcff")


def test_a_revoked_key_is_refused_and_its_name_is_free_again(box: Box) -> None:
    old = keys.create_key(box.db, "a")
    with pytest.raises(Conflict, match="There is a key named 'a' already"):
        keys.create_key(box.db, "a", "two")
    keys.revoke_key(box.db, "a")
    with pytest.raises(Unauthorized):
        keys.authenticate(box.db, old)
    new = keys.create_key(box.db, "a")
    assert keys.authenticate(box.db, new)
    assert [(row.name, row.revoked_at is None) for row in keys.list_keys(box.db)] == [("a", False), ("a", True)]


@pytest.mark.parametrize("is_revoked", [True, False])
def test_only_a_live_key_can_be_revoked(box: Box, is_revoked: bool) -> None:
    if is_revoked:
        keys.create_key(box.db, "a")
        keys.revoke_key(box.db, "a")
    with pytest.raises(NotFound, match="There is no live key named 'a'"):
        keys.revoke_key(box.db, "a")


@pytest.mark.parametrize("text", ["", "x" * 101, "a\nb", "a\x00", "\udcff"])
def test_a_bad_name_is_refused_and_stores_nothing(box: Box, text: str) -> None:
    with pytest.raises(InvalidRequest, match="name: must be 1 to 100 printable"):
        keys.create_key(box.db, text)
    with pytest.raises(InvalidRequest, match="tenant: must be 1 to 100 printable"):
        keys.create_key(box.db, "a", text)
    assert keys.list_keys(box.db) == []


def test_the_first_key_is_created_once(box: Box) -> None:
    key = keys.create_first_key(box.db)
    assert key is not None
    assert keys.authenticate(box.db, key) == 3
    assert keys.create_first_key(box.db) is None
    keys.revoke_key(box.db, keys.DEFAULT_TENANT)
    assert keys.create_first_key(box.db) is None  # whoever revoked it meant it


def test_the_database_holds_no_key(box: Box) -> None:
    key = keys.create_key(box.db, "a")
    rows = box.db.all("SELECT * FROM api_keys")
    assert key not in repr([tuple(row) for row in rows])
