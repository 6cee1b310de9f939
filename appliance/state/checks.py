"""Named CHECKs and status rules, written into the tables from one list and from ``moves.py``.

SQLite cannot alter a CHECK. A change of its text alone leaves every stored row as it is, so the text in
``sqlite_schema`` is edited: SQLite's manual describes this under "Making Other Kinds Of Table Schema Changes".
It costs the same for ten rows and for a billion.
"""

from __future__ import annotations

import re

from sqlite_utils import Database

from appliance.errors import StateError
from appliance.state.moves import MACHINES, Machine

# Table → name of a rule → its text in the tables of the first release.
NAMES: dict[str, dict[str, str]] = {
    "tenants": {"name_length": "length(name) BETWEEN 1 AND 100"},
    "api_keys": {"name_length": "length(name) BETWEEN 1 AND 100", "hash_length": "length(key_hash) = 32"},
    "inference_jobs": {
        "config_object": "json_type(config) = 'object'",
        "client_config_object": "json_type(client_config) = 'object'",
    },
    "inference_files": {
        "size_positive": "declared_size_bytes > 0",
        "duration_positive": "duration_ms > 0",
        "failed_has_message": "(status = 'failed') = (error_message IS NOT NULL)",
        "message_has_code": "(error_code IS NULL) = (error_message IS NULL)",
        "completed_has_duration": "(status = 'completed') = (duration_ms IS NOT NULL)",
        "queued_has_etag": "status NOT IN ('queued', 'processing', 'completed') OR etag IS NOT NULL",
    },
    "detections": {
        "start_not_negative": "start_ms >= 0",
        "end_after_start": "end_ms > start_ms",
        "confidence_range": "confidence BETWEEN 0 AND 1",
    },
    "work": {
        "attempts_not_negative": "attempts >= 0",
        "lost_leases_not_negative": "lost_leases >= 0",
        "lease_has_end": "(lease_owner IS NULL) = (lease_until IS NULL)",
    },
    "datasets": {"name_length": "length(name) BETWEEN 1 AND 200"},
    "audio": {
        "size_positive": "declared_size_bytes > 0",
        "duration_positive": "duration_ms > 0",
        "sample_rate_positive": "sample_rate_hz > 0",
        "channels_positive": "num_channels > 0",
        "failed_has_message": "(status = 'failed') = (error_message IS NOT NULL)",
        "message_has_code": "(error_code IS NULL) = (error_message IS NULL)",
        "confirmed_has_etag": "status IN ('pending', 'failed') OR etag IS NOT NULL",
        "normalized_has_duration": "status NOT IN ('embedding', 'ready') OR duration_ms IS NOT NULL",
        "duration_with_sample_rate": "(duration_ms IS NULL) = (sample_rate_hz IS NULL)",
        "duration_with_channels": "(duration_ms IS NULL) = (num_channels IS NULL)",
        "duration_with_codec": "(duration_ms IS NULL) = (codec IS NULL)",
        "duration_with_sha256": "(duration_ms IS NULL) = (sha256 IS NULL)",
    },
    "annotations": {
        "type_length": "length(artifact_type) BETWEEN 1 AND 100",
        "start_not_negative": "start_ms >= 0",
        "end_after_start": "end_ms > start_ms",
    },
    "embeddings": {"vector_of_floats": "length(vector) > 0 AND length(vector) % 4 = 0"},
    "media": {
        "size_positive": "size_bytes > 0",
        "failed_has_message": "(status = 'failed') = (error_message IS NOT NULL)",
        "message_has_code": "(error_code IS NULL) = (error_message IS NULL)",
        "received_has_size": "status IN ('pending', 'failed') OR size_bytes IS NOT NULL",
        "stored_has_etag": "status <> 'stored' OR etag IS NOT NULL",
    },
    "transcripts": {
        "options_object": "json_type(options) = 'object'",
        "progress_range": "progress BETWEEN 0 AND 1",
        "result_object": "json_type(result) = 'object'",
        "duration_positive": "duration_ms > 0",
        "failed_has_message": "(status = 'failed') = (error_message IS NOT NULL)",
        "message_has_code": "(error_code IS NULL) = (error_message IS NULL)",
        "completed_has_result": "(status = 'completed') = (result IS NOT NULL)",
        "result_with_duration": "(result IS NULL) = (duration_ms IS NULL)",
    },
    "webhook_secrets": {"secret_prefix": "substr(secret, 1, 6) = 'whsec_'"},
    "webhook_deliveries": {
        "payload_object": "json_type(payload) = 'object'",
        "attempts_not_negative": "attempts >= 0",
        "pending_has_next_attempt": "(status = 'pending') = (next_attempt_at IS NOT NULL)",
        "attempted_has_time": "(attempts = 0) = (last_attempt_at IS NULL)",
        "delivered_has_no_error": "status <> 'delivered' OR last_error IS NULL",
    },
}
_STATUS = re.compile(r"(?:CONSTRAINT \w+_status )?CHECK \(\s*status IN \([^)]*\)\s*\)")


def name_checks(db: Database) -> None:
    """Give every CHECK of the first release a name, ``<table>_<rule>``, which SQLite puts into its errors."""
    for table, rules in NAMES.items():
        sql = _sql(db, table)
        for rule, text in rules.items():
            if f"CHECK ({text})" not in sql:
                raise StateError(f"The table {table} has no CHECK ({text}).")
            sql = sql.replace(f"CHECK ({text})", f"CONSTRAINT {table}_{rule} CHECK ({text})", 1)
        _replace_sql(db, table, sql)


def apply_moves(db: Database) -> None:
    """Make the database refuse every status and every move that ``moves.py`` does not list."""
    for machine in MACHINES:
        sql, count = _STATUS.subn(_status_check(machine), _sql(db, machine.table))
        if count != 1:
            raise StateError(f"The table {machine.table} has {count} CHECKs of its status.")
        if sql != _sql(db, machine.table):
            _replace_sql(db, machine.table, sql)
        trigger = _trigger(machine)
        if trigger != _sql(db, f"{machine.table}_moves"):
            db.execute(f"DROP TRIGGER IF EXISTS {machine.table}_moves")
            db.execute(trigger)


def _status_check(machine: Machine) -> str:
    statuses = ", ".join(f"'{status}'" for status in machine.statuses)
    return f"CONSTRAINT {machine.table}_status CHECK (status IN ({statuses}))"


def _trigger(machine: Machine) -> str:
    pairs = ", ".join(f"('{move.leaving}', '{move.entering}')" for move in machine.moves)
    return (
        f"CREATE TRIGGER {machine.table}_moves BEFORE UPDATE OF status ON {machine.table} "
        f"WHEN OLD.status <> NEW.status AND (OLD.status, NEW.status) NOT IN (VALUES {pairs}) "
        f"BEGIN SELECT RAISE(ABORT, 'this move of {machine.table} is not listed in moves.py'); END"
    )


def _sql(db: Database, name: str) -> str:
    row = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", [name]).fetchone()
    return str(row[0]) if row else ""


def _replace_sql(db: Database, table: str, sql: str) -> None:
    version = db.execute("PRAGMA schema_version").fetchone()[0]
    db.execute("PRAGMA writable_schema = ON")
    db.execute("UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?", [sql, table])
    db.execute(f"PRAGMA schema_version = {version + 1}")
    db.execute("PRAGMA writable_schema = RESET")
