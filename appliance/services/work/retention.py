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
from appliance.state import inference_files, inference_jobs
from appliance.state import media as media_rows

BATCH = 100
DAY_SECONDS = 86_400.0


def sweep(box: Box) -> None:
    """Remove one batch of what is too old."""
    if days := box.settings.retention_results_days:
        _remove_results(box, days * DAY_SECONDS)
    if days := box.settings.retention_originals_days:
        _remove_originals(box, days * DAY_SECONDS)
    if days := box.settings.retention_scores_days:
        _remove_scores(box, days * DAY_SECONDS)


def _remove_results(box: Box, seconds: float) -> None:
    for tenant_id, job_id in inference_jobs.list_ended(box.db, seconds, BATCH):
        try:
            purge_job(box, tenant_id, job_id)
        except NotFound:  # its owner deleted it at this moment
            continue
    with box.db.transaction() as tx:  # nobody can request a transcript between the list and the deletion
        for media in media_rows.list_ended(tx, seconds, BATCH):
            delete_media(tx, media.tenant_id, media.id)


def _remove_scores(box: Box, seconds: float) -> None:
    with box.db.transaction() as tx:
        for file in inference_files.list_with_old_scores(tx, seconds, BATCH):
            inference_files.set_scores(tx, file.id, None, None)
            enqueue_purge(tx, inference_jobs.tenant_of(tx, file.job_id), file.scores_key)


def _remove_originals(box: Box, seconds: float) -> None:
    with box.db.transaction() as tx:
        for file in inference_files.list_with_old_original(tx, seconds, BATCH):
            inference_files.mark_original_removed(tx, file.id)
            enqueue_purge(tx, inference_jobs.tenant_of(tx, file.job_id), file.object_key)
        for media in media_rows.list_with_old_original(tx, seconds, BATCH):
            media_rows.mark_original_removed(tx, media.id)
            purge_media(tx, media.tenant_id, media.id)
