"""The audit log: acts of people and scripts, by API and command line, in the transaction of what they changed.

What the appliance does by itself, such as retention, has no actor and is not noted.
"""

from __future__ import annotations

from structlog.contextvars import get_contextvars

from appliance.log import current_request_id
from appliance.services.box import Box
from appliance.services.paging import split_page
from appliance.state import audit as rows
from appliance.state.audit import Entry
from appliance.state.database import Reader, Transaction


def note(tx: Transaction, action: str, subject: str) -> None:
    """Note what the actor for whom this thread works has done, such as ``key created``, and to what."""
    if actor := get_contextvars().get("actor"):
        rows.insert_entry(tx, actor, action, subject, current_request_id())


def list_entries(db: Reader, *, before: int | None, limit: int) -> tuple[list[Entry], int | None]:
    """Return a page of acts, newest first, and the sequence before which the next page starts."""
    return split_page(rows.list_entries(db, before=before, limit=limit + 1), limit)


def delete_old(box: Box) -> None:
    """Remove acts that are older than the setting ``audit_days``."""
    with box.db.transaction() as tx:
        rows.delete_old(tx, box.settings.audit_days)
