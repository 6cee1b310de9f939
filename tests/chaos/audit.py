"""The audit after the faults: is every confirmed recording completed, once, reported, and is nothing left over?"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.state.database import Database
from tests.chaos.clients import Ledger
from tests.support.appliances import ROOT, Appliance
from tests.support.receivers import Receiver

GOOD_ENDS = {"inference_files": "completed", "audio": "ready", "media": "stored"}


@dataclass
class Audit:
    """What the audit found. All lists are empty after a run without a defect."""

    confirmed: int = 0
    lost: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    unreported: list[str] = field(default_factory=list)
    missing: str = ""
    orphans: list[str] = field(default_factory=list)
    wrong_answers: list[str] = field(default_factory=list)
    integrity: str = "ok"

    @property
    def faultless(self) -> bool:
        """Whether nothing went wrong."""
        defects = [value for value in vars(self).values() if isinstance(value, list)]
        return self.integrity == "ok" and not self.missing and not any(defects)

    def row(self) -> dict[str, Any]:
        """Counts, for a table."""
        return {name: len(value) if isinstance(value, list) else value for name, value in vars(self).items()}


def audit(
    ledger: Ledger, receiver: Receiver, appliance: Appliance, patience_seconds: float, storage: Path | None = None
) -> Audit:
    """Wait until everything confirmed has ended, then compare the ledger with the database, the calls and the bucket.

    What has not ended when nothing ended for ``patience_seconds`` is stuck. ``storage`` is the folder of a MinIO that
    is not the bundled one.
    """
    database = Database(appliance.data_dir / "appliance.db")
    subjects = {"inference_files": ledger.files, "audio": ledger.audio, "media": ledger.media}
    report = Audit(confirmed=len(ledger), wrong_answers=list(ledger.wrong_answers))
    report.stuck = _settle(database, receiver, subjects, patience_seconds)
    for table, ids in subjects.items():
        statuses = _statuses(database, table, ids)
        report.lost += [f"{table} {row_id}" for row_id in ids if row_id not in statuses]
        report.failed += [
            f"{table} {row_id}: {ended}" for row_id, ended in statuses.items() if ended.startswith("failed")
        ]
    ends = _reported_ends(receiver)
    report.unreported = [file_id for file_id in ledger.files if not ends[file_id]]
    report.doubled = [file_id for file_id, events in ends.items() if len(events) > 1]
    report.doubled += [
        row["file_id"]
        for row in database.all("SELECT file_id FROM detections GROUP BY file_id HAVING count(*) > 1")
        if row["file_id"] in ledger.files
    ]
    integrity = database.one("PRAGMA integrity_check")
    report.integrity = integrity["integrity_check"] if integrity else "no answer"
    report.missing = _reconcile(appliance)
    report.orphans = sorted(_object_keys(storage or appliance.data_dir) - _known_keys(database))
    return report


def _settle(
    database: Database, receiver: Receiver, subjects: dict[str, set[str]], patience_seconds: float
) -> list[str]:
    """Wait until all have ended and are reported. Returns what is still open when nothing moves any more."""
    last, moved_at = None, time.monotonic()
    while True:
        unsettled = [
            f"{table} {row_id}: {status}"
            for table, ids in subjects.items()
            for row_id, status in _statuses(database, table, ids).items()
            if status != GOOD_ENDS[table] and not status.startswith("failed")
        ]
        open_work = [f"work {row['kind']} {row['subject_id']}" for row in database.all("SELECT * FROM work")]
        state = (len(unsettled), len(open_work), len(receiver.calls))
        if not unsettled and not open_work:
            return []
        if state != last:
            last, moved_at = state, time.monotonic()
        if time.monotonic() - moved_at > patience_seconds:
            return unsettled + open_work
        time.sleep(0.5)


def _statuses(database: Database, table: str, ids: Iterable[str]) -> dict[str, str]:
    """Status of each row, with the error if it failed."""
    rows = database.all(
        f"SELECT id, status, error_message FROM {table} WHERE id IN (SELECT value FROM json_each(?))",
        [json.dumps(list(ids))],
    )
    return {row["id"]: row["status"] + (f" {row['error_message']}" if row["error_message"] else "") for row in rows}


def _reported_ends(receiver: Receiver) -> dict[str, Counter[str]]:
    """The distinct webhooks about the end of each file. A webhook may arrive twice, under the same id."""
    ends: dict[str, Counter[str]] = {}
    for call in receiver.calls:
        event = call.event
        if event["type"].startswith("file."):
            ends.setdefault(event["data"]["file_id"], Counter())[call.headers["webhook-id"]] += 1
    return ends


def _reconcile(appliance: Appliance) -> str:
    """Compare the bucket with the rows, as once a day. Returns what the comparison misses in the bucket."""
    command = [sys.executable, "-m", "tests.chaos.reconcile_now"]
    settings = appliance.settings | {"APPLIANCE_DATA_DIR": str(appliance.data_dir)}
    result = subprocess.run(command, env=settings, cwd=ROOT, capture_output=True, text=True)
    return "" if result.returncode == 0 else result.stderr


def _object_keys(data_dir: Path) -> set[str]:
    """The keys of all objects that MinIO has on its disk, without what it keeps for itself."""
    bucket = data_dir / "objects" / "minio" / "audio"
    return {str(meta.parent.relative_to(bucket)) for meta in bucket.rglob("xl.meta")}


def _known_keys(database: Database) -> set[str]:
    keys: set[str] = set()
    for table in GOOD_ENDS:
        for row in database.all(f"SELECT object_key, upload_key FROM {table}"):
            keys |= {row["object_key"], row["upload_key"]}
    for row in database.all("SELECT object_key FROM audio"):
        folder = row["object_key"].rpartition("/")[0]
        keys |= {f"{folder}/normalized", f"{folder}/embedding"}
    for row in database.all("SELECT object_key, scores_bytes FROM inference_files"):
        folder = row["object_key"].rpartition("/")[0]
        keys |= {f"{folder}/waveform"} | ({f"{folder}/scores"} if row["scores_bytes"] is not None else set())
    return keys
