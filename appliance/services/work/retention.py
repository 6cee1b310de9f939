"""Removes originals, scores and results that are older than the operator's retention settings allow.

All of them are 0, which means off, unless the operator sets them. Datasets are curated by people and stay. Uploads
that were never used are handled where they arrive: forms by the sweep, media by the speech routes.
"""

from __future__ import annotations

from appliance.errors import NotFound
from appliance.services.box import Box
from appliance.services.inference.jobs import purge_job
from appliance.services.purge import enqueue_purge
from appliance.services.speech.media import delete_media, purge_media
from appliance.state import chores, inference_files, inference_jobs
from appliance.state import media as media_rows
from appliance.state import tenants as tenant_rows
from appliance.state.tenants import Whose

BATCH = 100
DAY_SECONDS = 86_400.0
OWN_SECONDS = 600.0
CHORE = "retention of tenants"


def sweep(box: Box) -> None:
    """Remove one batch of what is too old, for the tenants without days of their own and for each of the others.

    The others have their turn every OWN_SECONDS: their rows are found among all that are as old.
    """
    last = chores.last(box.db, CHORE)
    is_due = last is None or not 0 <= last.seconds_ago < OWN_SECONDS
    tenants = tenant_rows.list_tenants(box.db)
    for kind, remove in REMOVALS.items():
        own = {tenant.id: days for tenant in tenants if (days := getattr(tenant, f"{kind}_days")) is not None}
        if days := getattr(box.settings, f"retention_{kind}_days"):
            remove(box, days * DAY_SECONDS, Whose([*own], is_included=False))
        for tenant_id, days in own.items() if is_due else ():
            if days:
                remove(box, days * DAY_SECONDS, Whose([tenant_id], is_included=True))
    if is_due:
        with box.db.transaction() as tx:
            chores.note(tx, CHORE)


def _remove_results(box: Box, seconds: float, whose: Whose) -> None:
    for tenant_id, job_id in inference_jobs.list_ended(box.db, seconds, BATCH, whose):
        try:
            purge_job(box, tenant_id, job_id)
        except NotFound:  # its owner deleted it at this moment
            continue
    with box.db.transaction() as tx:  # nobody can request a transcript between the list and the deletion
        for media in media_rows.list_ended(tx, seconds, BATCH, whose):
            delete_media(tx, media.tenant_id, media.id)


def _remove_scores(box: Box, seconds: float, whose: Whose) -> None:
    with box.db.transaction() as tx:
        for file in inference_files.list_with_old_scores(tx, seconds, BATCH, whose):
            inference_files.set_scores(tx, file.id, None, None)
            enqueue_purge(tx, inference_jobs.tenant_of(tx, file.job_id), file.scores_key)


def _remove_originals(box: Box, seconds: float, whose: Whose) -> None:
    with box.db.transaction() as tx:
        for file in inference_files.list_with_old_original(tx, seconds, BATCH, whose):
            inference_files.mark_original_removed(tx, file.id)
            enqueue_purge(tx, inference_jobs.tenant_of(tx, file.job_id), file.object_key)
        for media in media_rows.list_with_old_original(tx, seconds, BATCH, whose):
            media_rows.mark_original_removed(tx, media.id)
            purge_media(tx, media.tenant_id, media.id)


REMOVALS = {"results": _remove_results, "originals": _remove_originals, "scores": _remove_scores}
