"""Request bodies and answers of the calls for administrators."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from appliance.api.schemas import Body, Model, Text
from appliance.services.keys import DEFAULT_SCOPES, DEFAULT_TENANT, LONGEST_EXPIRY_DAYS, LONGEST_OVERLAP_HOURS, Scope
from appliance.services.tenants import LONGEST_DAYS

TIME: dict[str, Any] = {"format": "date-time"}


class CreateKey(Body):
    """A new key."""

    name: Text = Field(min_length=1, max_length=100, description="Unique among the keys that are not revoked.")
    tenant: Text = Field(
        DEFAULT_TENANT, min_length=1, max_length=100, description="It is created if it does not exist."
    )
    scopes: list[Scope] = Field(
        list(DEFAULT_SCOPES), min_length=1, max_length=4, description="`write` includes `read`; see security.md."
    )
    expires_days: float | None = Field(
        None,
        gt=0,
        le=LONGEST_EXPIRY_DAYS,
        allow_inf_nan=False,
        description="Days until the key expires; default never.",
    )


class RotateKey(Body):
    """How long the old key is let in beside the new one."""

    overlap_hours: float = Field(24.0, ge=0, le=LONGEST_OVERLAP_HOURS, allow_inf_nan=False)


class AuditQuery(BaseModel):
    """A page of the audit log."""

    before: int | None = Field(None, ge=1, le=2**62, description="`next_before` of the page before.")
    limit: int = Field(100, ge=1, le=1000)


class AuditEntry(BaseModel):
    """Who did what."""

    sequence: int
    at: str = Field(json_schema_extra=TIME)
    actor: str = Field(description="The name of the key, or the user at the command line.")
    action: str
    subject: str
    request_id: str | None = Field(description="The request that did it; null at the command line.")


class AuditLog(BaseModel):
    """A page of the audit log, newest first."""

    entries: list[AuditEntry]
    next_before: int | None = Field(description="Where the next page starts; null on the last one.")


class CreateTenant(Body):
    """A new tenant."""

    name: Text = Field(min_length=1, max_length=100)


class PromoteModel(Body):
    """A model that a tenant trained and that everybody shall have."""

    tenant: Text = Field(min_length=1, max_length=100, description="Name of the tenant.")
    model_id: Text = Field(min_length=1, max_length=200, description="`<name>@<version>`.")


class KeyPath(BaseModel):
    """A key."""

    key_id: int


class TenantPath(BaseModel):
    """A tenant."""

    tenant_id: int


class Key(BaseModel):
    """A key, without its secret."""

    id: int
    name: str
    tenant: str
    scopes: list[Scope]
    created_at: str = Field(json_schema_extra=TIME)
    expires_at: str | None = Field(json_schema_extra=TIME, description="Null if the key never expires.")
    revoked_at: str | None = Field(json_schema_extra=TIME)
    last_used_at: str | None = Field(json_schema_extra=TIME, description="Exact to a minute; null if never used.")


class NewKey(Key):
    """A key with its secret, which is shown only now."""

    key: str = Field(description="What clients send. The appliance stores only its hash.")


class KeyList(BaseModel):
    """Every key, also the revoked ones, oldest first."""

    keys: list[Key]


class Retention(Body):
    """After how many days something is deleted. Null is the setting of the appliance, and 0 keeps it."""

    originals_days: float | None = Field(None, ge=0, le=LONGEST_DAYS, description="Recordings, after their end.")
    scores_days: float | None = Field(None, ge=0, le=LONGEST_DAYS, description="Kept scores.")
    results_days: float | None = Field(
        None, ge=0, le=LONGEST_DAYS, description="Jobs and transcripts, after their end."
    )


class Tenant(BaseModel):
    """A tenant."""

    id: int
    name: str
    retention: Retention
    created_at: str = Field(json_schema_extra=TIME)
    disabled_at: str | None = Field(json_schema_extra=TIME, description="Null unless its keys are refused.")


class TenantList(BaseModel):
    """Every tenant, oldest first."""

    tenants: list[Tenant]


class ModelStoreList(BaseModel):
    """The models of the store, and a sentence for each that cannot be used."""

    models: list[Model]
    faults: list[str]
