"""The table of kinds and the table of handlers agree."""

from __future__ import annotations

from appliance.services.webhooks.events import WEBHOOK
from appliance.services.work.kinds import KINDS
from appliance.worker.handlers import HANDLERS


def test_every_kind_has_a_handler_or_is_delivered_by_the_courier() -> None:
    assert {*HANDLERS, WEBHOOK.name} == set(KINDS)
    assert all(kind.name == name for name, kind in KINDS.items())
