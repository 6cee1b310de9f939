"""What changed since a client last asked, so that a page that is open can poll at the cost of two look-ups."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.services.box import Box
from appliance.state import changes as change_rows
from appliance.state.changes import Change

LIMIT = 1000


@dataclass(frozen=True)
class Changes:
    """Changes since a place. ``place`` is that of the next question; ``is_reset`` says that some may be missing."""

    changes: list[Change]
    place: int
    has_more: bool
    is_reset: bool


def last_place(box: Box, tenant_id: int) -> int:
    """Return the place after the tenant's last change."""
    return change_rows.last_place(box.db, tenant_id)


def changes_since(box: Box, tenant_id: int, since: int | None) -> Changes:
    """Return up to LIMIT changes after ``since``, oldest first; without it only the place after the last one."""
    last = change_rows.last_place(box.db, tenant_id)
    if since is None:
        return Changes([], last, has_more=False, is_reset=False)
    if since > last or since < change_rows.forgotten_place(box.db, tenant_id):
        return Changes([], last, has_more=False, is_reset=True)
    rows = change_rows.list_changes(box.db, tenant_id, since, LIMIT + 1)
    page = rows[:LIMIT]
    place = page[-1].sequence if page else since
    return Changes(page, place, has_more=len(rows) > LIMIT, is_reset=False)


def forget_old(box: Box) -> None:
    """Forget what changed more than a day ago; who has not asked since then is told so."""
    with box.db.transaction() as tx:
        change_rows.forget_old(tx, change_rows.KEPT_SECONDS, 10 * LIMIT)
