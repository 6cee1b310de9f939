"""Exports of a job over HTTP."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast

from flask import Response, send_file
from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from appliance.api.context import box, require_key, tenant_id
from appliance.api.looking import looking
from appliance.api.report_page import POLICY, report_page
from appliance.api.schemas import JobPath, Query, Text
from appliance.services.inference.exports.formats import FORMATS, MEDIA_TYPES, ExportFormat
from appliance.services.inference.exports.source import open_export
from appliance.services.inference.report import make_pictures, make_report
from appliance.state.verdicts import FileVerdict

blueprint = APIBlueprint(
    "exports",
    __name__,
    url_prefix="/api/v1/inference-jobs/<job_id>",
    abp_tags=[Tag(name="exports", description="Results for other programs.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

CONTENT = {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES}
CONTENT["application/json"] = {"schema": {}}


class GetExport(Query):
    """What to export, and how."""

    format: ExportFormat
    file_id: Text | None = Field(None, description="Only this file.")
    verdict: FileVerdict | None = Field(None, description="Only files with this verdict.")
    audio_prefix: Text = Field(
        "/data/local-files/?d=", max_length=1000, description="Goes before a file's name in the URLs of Label Studio."
    )


@blueprint.get("/report", responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}})
def get_report(path: JobPath) -> Response:
    """Get a report of a job as one HTML page, which prints."""
    report = make_report(box(), tenant_id(), path.job_id)
    page = report_page(report, make_pictures(looking(), tenant_id(), report))
    response = Response(page, mimetype="text/html")
    response.headers["Content-Security-Policy"] = POLICY
    return response


@blueprint.get("/export", responses={200: {"content": CONTENT}})
def export_job(path: JobPath, query: GetExport) -> Response:
    """Export the completed files of a job."""
    export = open_export(
        box(),
        tenant_id(),
        path.job_id,
        file_id=query.file_id,
        verdict=query.verdict,
        audio_prefix=query.audio_prefix,
    )
    chosen = FORMATS[query.format]
    # On the disk first: an error in the middle of it is an error for the client, not a short file.
    file = tempfile.TemporaryFile(dir=box().settings.data_dir / "tmp")  # noqa: SIM115  closed with the response
    try:
        chosen.write(export, cast(BinaryIO, file))
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return send_file(file, chosen.media_type_of(export), as_attachment=True, download_name=chosen.filename_of(export))
