"""A tenant's transcripts in pages, newest first, each page named by the transcript that it lies before or after."""

from __future__ import annotations

from appliance.errors import InvalidRequest
from appliance.services.box import Box
from appliance.state import transcripts
from appliance.state.transcripts import Transcript


def list_page(
    box: Box,
    tenant_id: int,
    *,
    statuses: tuple[str, ...],
    created_on: str | None,
    before_id: str | None,
    after_id: str | None,
    limit: int,
) -> list[Transcript]:
    """Up to ``limit`` transcripts in one of ``statuses`` (none: in any). Raises InvalidRequest for an unknown id."""
    return transcripts.list_page(
        box.db,
        tenant_id,
        statuses=statuses,
        created_on=created_on,
        before=_sequence(box, tenant_id, "before_id", before_id),
        after=_sequence(box, tenant_id, "after_id", after_id),
        limit=limit,
    )


def _sequence(box: Box, tenant_id: int, field: str, transcript_id: str | None) -> int | None:
    if transcript_id is None:
        return None
    found = transcripts.get_transcript(box.db, tenant_id, transcript_id)
    if found is None:
        raise InvalidRequest(f"{field}: there is no such transcript.")
    return found.sequence
