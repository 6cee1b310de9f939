"""The rules by which a tenant's files pass or fail, and the verdict of each file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from appliance.state.database import Reader, Transaction

FileVerdict = Literal["pass", "review", "fail"]


@dataclass(frozen=True)
class RuleSet:
    """The rules of a tenant as JSON. ``version`` grows with each change; it is 0 if none were ever set."""

    version: int
    rules: list[dict[str, Any]]


def get_rules(db: Reader, tenant_id: int) -> RuleSet:
    """Return the rules of a tenant."""
    row = db.one("SELECT version, rules FROM verdict_rules WHERE tenant_id = ?", [tenant_id])
    return RuleSet(row["version"], json.loads(row["rules"])) if row else RuleSet(0, [])


def set_rules(tx: Transaction, tenant_id: int, rules: list[dict[str, Any]]) -> None:
    """Replace the rules of a tenant."""
    tx.change(
        """
        INSERT INTO verdict_rules (tenant_id, version, rules) VALUES (?1, 1, ?2)
        ON CONFLICT (tenant_id) DO UPDATE SET version = version + 1, rules = excluded.rules
        """,
        [tenant_id, json.dumps(rules)],
    )


def set_verdict(tx: Transaction, file_id: str, verdict: FileVerdict | None, reasons: list[str]) -> None:
    """Store the verdict of a file; None if its tenant has no rules."""
    tx.change(
        "UPDATE inference_files SET verdict = ?, verdict_reasons = ?, updated_at = unixepoch('subsec') WHERE id = ?",
        [verdict, json.dumps(reasons), file_id],
    )


def list_completed(db: Reader, tenant_id: int, after: int, limit: int) -> list[tuple[int, str]]:
    """Return the sequence and the id of completed files of a tenant, from behind a sequence on."""
    rows = db.all(
        """
        SELECT f.sequence, f.id FROM inference_files f JOIN inference_jobs j ON j.id = f.job_id
        WHERE j.tenant_id = ? AND f.status = 'completed' AND f.sequence > ? ORDER BY f.sequence LIMIT ?
        """,
        [tenant_id, after, limit],
    )
    return [(row["sequence"], row["id"]) for row in rows]
