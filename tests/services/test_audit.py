"""The audit log has the acts of people and scripts, in the transaction of what they changed."""

from __future__ import annotations

import pytest

from appliance.errors import Conflict, NotFound
from appliance.log import actor_scope, request_scope
from appliance.services import audit, keys, tenants
from appliance.services.box import Box
from appliance.services.inference import jobs
from appliance.services.webhooks.events import rotate_secret
from appliance.services.work.sweep import sweep
from tests.support.boxes import new_job, with_settings


def acts(box: Box) -> list[tuple[str, str, str, str | None]]:
    """Who did what to what, with which request, oldest first."""
    entries, _ = audit.list_entries(box.db, before=None, limit=100)
    return [(entry.actor, entry.action, entry.subject, entry.request_id) for entry in reversed(entries)]


def test_an_act_names_who_did_it_with_which_request(box: Box) -> None:
    job_id = new_job(box)
    with actor_scope("key desk"), request_scope("r1"):
        keys.create_key(box.db, "robot", "one", ["read"])
        tenants.disable_tenant(box.db, 1, keep_administrator=False)
        rotate_secret(box, 1)
        jobs.purge_job(box, 1, job_id)
    assert acts(box) == [
        ("key desk", "key created", "robot, of the tenant one, for read", "r1"),
        ("key desk", "tenant disabled", "one", "r1"),
        ("key desk", "webhook secret rotated", "tenant 1", "r1"),
        ("key desk", "job deleted", job_id, "r1"),
    ]


def test_what_the_appliance_does_by_itself_or_does_not_do_is_not_noted(box: Box) -> None:
    jobs.purge_job(box, 1, new_job(box))
    with actor_scope("key desk"):
        with pytest.raises(Conflict):
            tenants.create_tenant(box.db, "one")
        with pytest.raises(NotFound):
            keys.revoke_key(box.db, 999, keep_administrator=False)
    assert acts(box) == []


def test_acts_go_after_their_days(box: Box) -> None:
    with actor_scope("key desk"):
        tenants.create_tenant(box.db, "old")
        with box.db.transaction() as tx:
            tx.change("UPDATE audit_log SET at = at - 3 * 86400")
        tenants.create_tenant(box.db, "new")
    sweep(with_settings(box, audit_days=2))
    assert [subject for _, _, subject, _ in acts(box)] == ["new"]


def test_pages_lead_to_older_acts(box: Box) -> None:
    with actor_scope("key desk"):
        for name in ("a", "b", "c"):
            tenants.create_tenant(box.db, name)
    newest, before = audit.list_entries(box.db, before=None, limit=2)
    oldest, end = audit.list_entries(box.db, before=before, limit=2)
    assert [entry.subject for entry in [*newest, *oldest]] == ["c", "b", "a"]
    assert end is None
