"""What changed since a client last asked, over HTTP."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from appliance.api.context import box, require_key, tenant_id
from appliance.api.schemas import Query
from appliance.services.inference import changes

blueprint = APIBlueprint(
    "changes",
    __name__,
    url_prefix="/api/v1/changes",
    abp_tags=[Tag(name="changes", description="What a page that stays open polls.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)


class ListChanges(Query):
    """From where on."""

    since: int | None = Field(None, ge=0, le=2**62, description="`next` of the answer before.")


class ChangedFile(BaseModel):
    """A file that changed."""

    job_id: str
    file_id: str


class ChangeList(BaseModel):
    """Ids of what changed, each once. What no longer exists was deleted."""

    jobs: list[str] = Field(description="Jobs that changed, also because one of their files did.")
    files: list[ChangedFile]
    next: int = Field(description="The `since` of the next request.")
    more: bool = Field(description="Whether there are more changes: ask at once for what comes after `next`.")
    reset: bool = Field(description="Whether changes may be missing, because the last request was over a day ago.")


@blueprint.get("", responses={200: ChangeList, 304: None})
def list_changes(query: ListChanges) -> Response:
    """List the jobs and files that changed since the last request, or 304 if the ETag sent still holds."""
    etag = f"{changes.last_place(box(), tenant_id())}-{query.since}"
    if request.if_none_match.contains_weak(etag):
        response = Response(status=304)
    else:
        response = jsonify(_render(changes.changes_since(box(), tenant_id(), query.since)))
    response.set_etag(etag)
    return response


def _render(found: changes.Changes) -> dict[str, Any]:
    return {
        "jobs": [change.job_id for change in found.changes if change.file_id is None],
        "files": [{"job_id": change.job_id, "file_id": change.file_id} for change in found.changes if change.file_id],
        "next": found.place,
        "more": found.has_more,
        "reset": found.is_reset,
    }
