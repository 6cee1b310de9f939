"""API keys: created once for each name, revoked, and the only way to a tenant."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from appliance.errors import Conflict, InvalidRequest, NotFound, ScopeMissing, Unauthorized
from appliance.services import keys
from appliance.services.box import Box
from appliance.state.database import Database


def revoke(box: Box, name: str, *, keep_administrator: bool = False) -> None:
    keys.revoke_key(box.db, keys.find_key(box.db, name).id, keep_administrator=keep_administrator)


def test_a_key_leads_to_its_tenant(box: Box) -> None:
    first, second = keys.create_key(box.db, "a", "one"), keys.create_key(box.db, "b", "two")
    new = keys.create_key(box.db, "c", "three")
    assert [keys.authenticate(box.db, key).tenant_id for key in (first, second, new)] == [1, 2, 3]


def test_two_keys_of_a_tenant_lead_to_the_same_tenant(box: Box) -> None:
    created = [keys.create_key(box.db, name, "one") for name in ("a", "b")]
    assert created[0] != created[1]
    assert [keys.authenticate(box.db, key).tenant_id for key in created] == [1, 1]


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
    revoke(box, "a")
    with pytest.raises(Unauthorized):
        keys.authenticate(box.db, old)
    new = keys.create_key(box.db, "a")
    assert keys.authenticate(box.db, new)
    assert [(row.name, row.revoked_at is None) for row in keys.list_keys(box.db)] == [("a", False), ("a", True)]


@pytest.mark.parametrize("is_revoked", [True, False])
def test_only_a_live_key_can_be_revoked(box: Box, is_revoked: bool) -> None:
    if is_revoked:
        keys.create_key(box.db, "a")
        revoke(box, "a")
    with pytest.raises(NotFound, match="There is no live key named 'a'"):
        revoke(box, "a")


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
    assert keys.authenticate(box.db, key).tenant_id == 3
    assert keys.create_first_key(box.db) is None
    revoke(box, keys.DEFAULT_TENANT)
    assert keys.create_first_key(box.db) is None  # whoever revoked it meant it


def test_the_database_holds_no_key(box: Box) -> None:
    key = keys.create_key(box.db, "a")
    rows = box.db.all("SELECT * FROM api_keys")
    assert key not in repr([tuple(row) for row in rows])


def test_a_key_reads_and_writes_and_never_expires_unless_its_maker_says_otherwise(box: Box) -> None:
    key = keys.authenticate(box.db, keys.create_key(box.db, "a"))
    assert (key.scopes, key.expires_at, key.last_used_at) == (("read", "write"), None, None)


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["read"], {"read"}),
        (["write"], {"read", "write"}),
        (["admin"], {"admin"}),
        (["metrics"], {"metrics"}),
        (["metrics", "read"], {"read", "metrics"}),
    ],
)
def test_a_key_may_do_what_its_scopes_say(box: Box, scopes: list[str], allowed: set[str]) -> None:
    key = keys.authenticate(box.db, keys.create_key(box.db, "a", scopes=scopes))
    for scope in keys.SCOPES:
        if scope in allowed:
            keys.require_scope(key, scope)
        else:
            with pytest.raises(ScopeMissing, match=f"the scope {scope}"):
                keys.require_scope(key, scope)


@pytest.mark.parametrize("scopes", [[], ["all"], ["read", ""], ["READ"]])
def test_an_unknown_scope_is_refused(box: Box, scopes: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="scopes: must be one or more of read, write, admin, metrics"):
        keys.create_key(box.db, "a", scopes=scopes)


@pytest.mark.parametrize("days", [0.0, -1.0, 36_501.0, float("nan"), float("inf")])
def test_an_impossible_expiry_is_refused(box: Box, days: float) -> None:
    with pytest.raises(InvalidRequest, match="expires_days: must be over 0"):
        keys.create_key(box.db, "a", expires_days=days)


def test_an_expired_key_is_refused_with_the_time(box: Box) -> None:
    key = keys.create_key(box.db, "a", expires_days=1.0)
    assert keys.authenticate(box.db, key).expires_at == pytest.approx(time.time() + 86_400, abs=60)
    with box.db.transaction() as tx:
        tx.change("UPDATE api_keys SET expires_at = 1e9")
    with pytest.raises(Unauthorized, match="expired at 2001-09-09"):
        keys.authenticate(box.db, key)


def test_the_last_administrator_is_revoked_only_on_purpose(box: Box) -> None:
    for name in ("a", "b"):
        keys.create_key(box.db, name, scopes=["admin"])
    keys.create_key(box.db, "c")
    revoke(box, "c", keep_administrator=True)
    revoke(box, "a", keep_administrator=True)
    with pytest.raises(Conflict, match="the last key with the scope admin"):
        revoke(box, "b", keep_administrator=True)
    revoke(box, "b")


def test_the_last_use_is_stored_at_most_once_in_its_time(box: Box) -> None:
    keys.create_key(box.db, "a")
    key = keys.find_key(box.db, "a")
    uses = keys.LastUses(box.db)
    for _ in range(50):
        uses.note(key)
    uses.close()
    assert keys.find_key(box.db, "a").last_used_at == pytest.approx(time.time(), abs=60)
    with box.db.transaction() as tx:
        tx.change("CREATE TABLE writes (id INTEGER PRIMARY KEY)")
        tx.change("CREATE TRIGGER w AFTER UPDATE ON api_keys BEGIN INSERT INTO writes VALUES (NULL); END")
    for every_seconds, writes in ((60.0, 1), (0.0, 3)):
        uses = keys.LastUses(box.db, every_seconds)
        for _ in range(3):
            uses.note(key)
        uses.close()
        assert len(box.db.all("SELECT id FROM writes")) == writes
        with box.db.transaction() as tx:
            tx.change("DELETE FROM writes")


def test_a_locked_database_neither_delays_nor_fails_a_note(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.state.database.BUSY_SECONDS", 0.05)
    keys.create_key(box.db, "a")
    key = keys.find_key(box.db, "a")
    uses = keys.LastUses(Database(box.db.path))
    with box.db.transaction():
        uses.note(key)
        uses.close()
    assert keys.find_key(box.db, "a").last_used_at is None


def test_a_rotated_key_is_let_in_until_the_overlap_ends(box: Box) -> None:
    old_secret = keys.create_key(box.db, "robot", "one", ["read"], expires_days=30)
    old = keys.find_key(box.db, "robot")
    new, secret = keys.rotate_key(box.db, old.id, overlap_hours=2)
    assert (new.name, new.tenant, new.scopes, new.last_used_at) == ("robot", "one", ("read",), None)
    assert new.expires_at == pytest.approx(old.expires_at, abs=30)
    assert keys.authenticate(box.db, secret).id == new.id
    retired = keys.authenticate(box.db, old_secret)
    assert (retired.id, retired.name) == (old.id, f"robot (replaced, id {old.id})")
    assert retired.expires_at == pytest.approx(time.time() + 7200, abs=60)
    with box.db.transaction() as tx:
        tx.change("UPDATE api_keys SET expires_at = expires_at - 7300 WHERE id = ?", [old.id])
    with pytest.raises(Unauthorized, match="expired"):
        keys.authenticate(box.db, old_secret)


def test_a_rotation_lengthens_no_key(box: Box) -> None:
    keys.create_key(box.db, "x" * 100, "one", expires_days=0.5)
    old = keys.find_key(box.db, "x" * 100)
    new, _ = keys.rotate_key(box.db, old.id, overlap_hours=48)
    retired = next(key for key in keys.list_keys(box.db) if key.id == old.id)
    assert retired.expires_at == old.expires_at
    assert len(retired.name) == len(new.name) == 100


def test_only_a_live_key_is_rotated(box: Box) -> None:
    keys.create_key(box.db, "robot", "one")
    key_id = keys.find_key(box.db, "robot").id
    with pytest.raises(InvalidRequest, match="overlap_hours"):
        keys.rotate_key(box.db, key_id, overlap_hours=-1)
    keys.revoke_key(box.db, key_id, keep_administrator=False)
    with pytest.raises(NotFound):
        keys.rotate_key(box.db, key_id, overlap_hours=1)
