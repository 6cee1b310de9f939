"""The rules by which files pass or fail, over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from appliance.api.context import box, require_key, tenant_id
from appliance.api.review_schemas import Share, TypeName
from appliance.api.schemas import Body, WholeNumber
from appliance.services.inference import verdicts as service
from appliance.services.inference.verdicts import Measure

MAX_RULES = 200
DAY_MS = 86_400_000

blueprint = APIBlueprint(
    "verdicts",
    __name__,
    url_prefix="/api/v1/verdict-rules",
    abp_tags=[Tag(name="verdicts", description="Rules by which files pass or fail.")],
    abp_security=[{"api_key": []}],
)
blueprint.before_request(require_key)

Answer = tuple[dict[str, Any], int]


class Rule(Body):
    """A rule: a file gets the verdict if the measure of its events is over the limit."""

    artifact_type: TypeName = Field(description="The type of the events that count; `*` for all.")
    measure: Measure = Field(description="The longest event, the time of all, or how many there are.")
    over: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = Field(description="In milliseconds, or a count.")
    verdict: Literal["review", "fail"]
    within_ms: Annotated[WholeNumber, Field(ge=1, le=DAY_MS)] | None = Field(
        None, description="In any stretch of this length; null for the whole file. Not for `longest_ms`."
    )
    min_confidence: Share = Field(0.0, description="Events below it do not count.")


class Rules(Body):
    """The rules of a tenant. The gravest that applies decides; a file to which none applies passes."""

    rules: list[Rule] = Field(max_length=MAX_RULES, fail_fast=True)


class RulesInEffect(BaseModel):
    """The rules of a tenant."""

    rules: list[Rule]


@blueprint.get("", responses={200: RulesInEffect})
def get_verdict_rules() -> Answer:
    """Get the rules."""
    return {"rules": [asdict(rule) for rule in service.get_rules(box(), tenant_id())]}, 200


@blueprint.put("", responses={200: RulesInEffect})
def set_verdict_rules(body: Rules) -> Answer:
    """Replace the rules. The verdicts of all files follow within seconds."""
    service.set_rules(box(), tenant_id(), [service.Rule(**rule.model_dump()) for rule in body.rules])
    return get_verdict_rules()
