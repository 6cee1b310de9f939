"""The objects that rows name, in every table."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.state.database import Reader

PAGE = 1000
KEPT = {
    "inference_files": "etag IS NOT NULL AND NOT awaits_copy AND original_removed_at IS NULL",
    "media": "status = 'stored' AND original_removed_at IS NULL",
    "audio": "etag IS NOT NULL AND NOT awaits_copy",
}
# Objects that the appliance makes, beside the originals: the table of their rows, their names, and when a row has them.
DERIVED = (
    ("audio", ("normalized", "embedding"), "true"),
    ("inference_files", ("scores",), "scores_bytes IS NOT NULL"),
    ("inference_files", ("waveform",), "true"),
)


def is_named(db: Reader, key: str) -> bool:
    """Whether any row names an object, whatever its status."""
    if any(db.one(f"SELECT 1 FROM {table} WHERE object_key = ?", [key]) for table in KEPT):
        return True
    folder, _, name = key.rpartition("/")
    return any(
        name in names
        and (row := db.one(f"SELECT object_key FROM {table} WHERE id = ? AND {condition}", [folder.rpartition("/")[2]]))
        and row["object_key"].rpartition("/")[0] == folder
        for table, names, condition in DERIVED
    )


def all_kept(db: Reader) -> Iterator[str]:
    """Yield the key of every original that should be in storage."""
    for table, condition in KEPT.items():
        last = 0
        while rows := db.all(
            f"SELECT sequence, object_key FROM {table} WHERE sequence > ? AND {condition} ORDER BY sequence LIMIT ?",
            [last, PAGE],
        ):
            yield from (row["object_key"] for row in rows)
            last = rows[-1]["sequence"]
