"""Tenants: created once for each name, disabled and enabled again."""

from __future__ import annotations

import pytest

from appliance.errors import Conflict, InvalidRequest, NotFound, TenantDisabled
from appliance.services import keys, tenants
from appliance.services.box import Box


def test_the_keys_of_a_disabled_tenant_are_refused_until_it_is_enabled(box: Box) -> None:
    key, other = keys.create_key(box.db, "a", "lab"), keys.create_key(box.db, "b", "office")
    lab = tenants.find_tenant(box.db, "lab")
    first = tenants.disable_tenant(box.db, lab.id, keep_administrator=True)
    assert tenants.disable_tenant(box.db, lab.id, keep_administrator=True) == first
    with pytest.raises(TenantDisabled, match="The tenant lab is disabled"):
        keys.authenticate(box.db, key)
    assert keys.authenticate(box.db, other)
    assert tenants.enable_tenant(box.db, lab.id).disabled_at is None
    assert keys.authenticate(box.db, key).tenant_id == lab.id


def test_a_tenant_is_created_once(box: Box) -> None:
    tenant = tenants.create_tenant(box.db, "lab")
    assert tenant in tenants.list_tenants(box.db)
    with pytest.raises(Conflict, match="a tenant named 'lab' already"):
        tenants.create_tenant(box.db, "lab")
    with pytest.raises(InvalidRequest, match="name: must be 1 to 100"):
        tenants.create_tenant(box.db, "")
    keys.create_key(box.db, "a", "lab")
    assert [t.name for t in tenants.list_tenants(box.db)].count("lab") == 1


def test_an_unknown_tenant_is_not_found(box: Box) -> None:
    with pytest.raises(NotFound):
        tenants.find_tenant(box.db, "nobody")
    with pytest.raises(NotFound):
        tenants.disable_tenant(box.db, 99, keep_administrator=False)
    with pytest.raises(NotFound):
        tenants.enable_tenant(box.db, 99)


def test_the_tenant_of_the_last_administrator_is_disabled_only_on_purpose(box: Box) -> None:
    keys.create_key(box.db, "a", "lab", ["admin"])
    lab = tenants.find_tenant(box.db, "lab").id
    with pytest.raises(Conflict, match="The last key with the scope admin"):
        tenants.disable_tenant(box.db, lab, keep_administrator=True)
    keys.create_key(box.db, "b", "office", ["admin"])
    tenants.disable_tenant(box.db, lab, keep_administrator=True)
    with pytest.raises(Conflict, match="The last key with the scope admin"):
        tenants.disable_tenant(box.db, tenants.find_tenant(box.db, "office").id, keep_administrator=True)
    tenants.disable_tenant(box.db, tenants.find_tenant(box.db, "office").id, keep_administrator=False)
