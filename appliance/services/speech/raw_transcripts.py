"""Transcripts of the raw route. Those of the other routes are not found here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance.errors import InvalidRequest
from appliance.services import audit, quotas
from appliance.services.box import Box
from appliance.services.speech import transcripts
from appliance.services.speech.fetch import check_sources, filename_of, request_fetch
from appliance.services.speech.media import delete_media
from appliance.services.speech.raw import ROUTE, find_media
from appliance.services.webhooks.headers import check_header
from appliance.services.webhooks.reports import newest_reports
from appliance.services.webhooks.urls import check_callback
from appliance.state import transcripts as transcript_rows
from appliance.state.transcripts import Transcript


@dataclass(frozen=True)
class Callback:
    """Where the end of a transcript is reported, and the header that goes with it."""

    url: str | None = None
    header: tuple[str, str] | None = None


def check_webhook(box: Box, url: str | None, name: str | None, value: str | None) -> Callback:
    """Return the callback that a client asks for. Raises InvalidRequest naming the field."""
    if not url:
        if name or value:
            raise InvalidRequest("webhook_url: is missing, so there is no webhook for the header.")
        return Callback()
    check_callback(box, url, "webhook_url")
    return Callback(url, check_header(name, value, "webhook_auth_header_name", "webhook_auth_header_value"))


def transcribe(
    box: Box, tenant_id: int, media_id: str, model: str, options: dict[str, Any], callback: Callback
) -> Transcript:
    """Create a transcript of an upload of the tenant. Raises Forbidden."""
    with box.db.transaction() as tx:
        media = find_media(box, tenant_id, media_id)
        quotas.check_work(box, tx, tenant_id)
        transcript_id = transcripts.create_transcript(
            tx, media, model=model, options=options, callback_url=callback.url, callback_header=callback.header
        )
    return find(box, tenant_id, transcript_id)


def fetch_and_transcribe(
    box: Box, tenant_id: int, url: str, model: str, options: dict[str, Any], callback: Callback
) -> Transcript:
    """Create a transcript of a recording that is fetched from another machine. Raises InvalidRequest."""
    check_sources(box, [url], "audio_url")
    with box.db.transaction() as tx:
        quotas.check_work(box, tx, tenant_id)
        media = request_fetch(tx, tenant_id, ROUTE, url, filename_of(url))
        transcript_id = transcripts.create_transcript(
            tx,
            media,
            model=model,
            options=options | {"audio_url": url},
            callback_url=callback.url,
            callback_header=callback.header,
        )
    return find(box, tenant_id, transcript_id)


def webhook_status_code(box: Box, transcript: Transcript) -> int | None:
    """Return the HTTP status of the receiver's last answer, None if there was none yet."""
    if transcript.callback_url is None:
        return None
    report = newest_reports(box, [transcript.id]).get(transcript.id)
    return report["last_status"] if report else None


def delete(box: Box, transcript: Transcript) -> None:
    """Remove a transcript, and its upload with the bytes if no other transcript uses it."""
    with box.db.transaction() as tx:
        transcript_rows.delete_transcript(tx, transcript.id)
        audit.note(tx, "transcript deleted", transcript.id)
        if not transcript_rows.list_of_media(tx, transcript.media_id):
            delete_media(tx, transcript.tenant_id, transcript.media_id)


def find(box: Box, tenant_id: int, transcript_id: str) -> Transcript:
    """Return the tenant's transcript of the raw route. Raises NotFound."""
    return transcripts.find_transcript(box, tenant_id, ROUTE, transcript_id)


def find_completed(box: Box, tenant_id: int, transcript_id: str) -> Transcript:
    """Return a transcript as ``find`` does, with its result. Raises InvalidRequest if it is not completed."""
    transcript = find(box, tenant_id, transcript_id)
    if transcript.status != "completed":
        raise InvalidRequest(f"The transcript is {transcript.status}; this is available once it is completed.")
    return transcript


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
    """Return up to ``limit`` of the tenant's transcripts, newest first, before or after another transcript.

    An empty ``statuses`` means any status. Raises InvalidRequest for an unknown id.
    """
    return transcript_rows.list_page(
        box.db,
        tenant_id,
        ROUTE,
        statuses=statuses,
        created_on=created_on,
        before=_sequence(box, tenant_id, "before_id", before_id),
        after=_sequence(box, tenant_id, "after_id", after_id),
        limit=limit,
    )


def _sequence(box: Box, tenant_id: int, field: str, transcript_id: str | None) -> int | None:
    if transcript_id is None:
        return None
    transcript = transcript_rows.get_transcript(box.db, tenant_id, ROUTE, transcript_id)
    if transcript is None:
        raise InvalidRequest(f"{field}: there is no such transcript.")
    return transcript.sequence
