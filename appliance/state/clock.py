"""Times in the future, which were set by a wall clock that was wrong or has been set since."""

from __future__ import annotations

from appliance.state.database import Transaction

WAITS = {
    "work": ("run_after", "run_after IS NOT NULL"),
    "webhook_deliveries": ("next_attempt_at", "status = 'pending'"),
}
UPLOADS = dict.fromkeys(
    ("inference_files", "audio", "media"), ("upload_expires_at", "status = 'pending' AND upload_expires_at IS NOT NULL")
)


def follow(tx: Transaction, step_seconds: float, longest_wait_seconds: float, longest_upload_seconds: float) -> None:
    """Move every time in the future by as much as the wall clock was set.

    No wait and no upload ends later than the longest one that begins now: such a time is from a clock that was wrong.
    """
    for times, longest_seconds in ((WAITS, longest_wait_seconds), (UPLOADS, longest_upload_seconds)):
        for table, (column, condition) in times.items():
            tx.change(
                f"UPDATE {table} SET {column} = min({column} + ?, unixepoch('subsec') + ?) WHERE {condition}",
                [step_seconds, longest_seconds],
            )
