"""What the tenant uses of its quotas."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from appliance.api.context import box, require_either_key, tenant_id
from appliance.services import quotas

blueprint = APIBlueprint(
    "usage",
    __name__,
    url_prefix="/api/v1",
    abp_tags=[Tag(name="usage", description="What the tenant uses of its quotas.")],
    abp_security=[{"api_key": []}, {"authorization": []}],
)
blueprint.before_request(require_either_key)


class QuotaUse(BaseModel):
    """A limit and its use."""

    name: str = Field(description="The name of the setting.")
    used: float = Field(description="What the tenant uses now.")
    allowed: float | None = Field(description="The most that it may use; null is no limit.")


class UsageReport(BaseModel):
    """Every limit and its use."""

    quotas: list[QuotaUse]


@blueprint.get("/usage", responses={200: UsageReport})
def get_usage() -> tuple[dict[str, Any], int]:
    """Get what the tenant uses of its quotas."""
    return {"quotas": [asdict(limit) for limit in quotas.limits(box().settings, box().db, tenant_id())]}, 200
