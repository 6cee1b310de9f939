"""The objects that rows name, in every table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.state import inference_files
from appliance.state.database import Reader, Row, Transaction

PAGE = 1000
KEPT = {
    "inference_files": "etag IS NOT NULL AND NOT awaits_copy AND original_removed_at IS NULL",
    "media": "status = 'stored' AND original_removed_at IS NULL",
    "audio": "etag IS NOT NULL AND NOT awaits_copy",
}
AWAITED = ("inference_files", "audio")  # their uploads may be confirmed before they are copied
# Objects that the appliance makes, beside the originals: the table of their rows, their names, and when a row has them.
DERIVED = (
    ("audio", ("normalized", "embedding"), "true"),
    ("inference_files", ("scores",), "scores_bytes IS NOT NULL"),
    ("inference_files", ("waveform",), "true"),
)
SIZES = {"inference_files": "declared_size_bytes", "media": "size_bytes", "audio": "declared_size_bytes"}


@dataclass(frozen=True)
class NamedObject:
    """An object that should be in storage: the table and the id of the row that names it, its tag and its size.

    The normalized copy and the vectors of a dataset's recording have no tag and no size here.
    """

    key: str
    table: str
    row_id: str
    etag: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    is_original: bool = True


def is_named(db: Reader, key: str) -> bool:
    """Whether any row names an object, whatever its status. A large upload is one before it is copied to its key."""
    if any(db.one(f"SELECT 1 FROM {table} WHERE object_key = ?", [key]) for table in KEPT):
        return True
    if any(db.one(f"SELECT 1 FROM {table} WHERE upload_key = ? AND awaits_copy", [key]) for table in AWAITED):
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
        yield from (row["object_key"] for row in _pages(db, table, condition, "NULL"))


def all_named(db: Reader) -> Iterator[NamedObject]:
    """Yield every object that should be in storage. Waveforms are left out: they are made again when somebody looks."""
    for table, condition in KEPT.items():
        sha256, status = ("sha256", "status") if table == "audio" else ("NULL", "NULL")
        for row in _pages(
            db, table, condition, f"etag, {SIZES[table]} AS size, {sha256} AS sha256, {status} AS status"
        ):
            yield NamedObject(row["object_key"], table, row["id"], row["etag"], row["size"], row["sha256"])
            for name in ("normalized", "embedding")[: (row["sha256"] is not None) + (row["status"] == "ready")]:
                yield NamedObject(_beside(row, name), table, row["id"], is_original=False)
    for table in AWAITED:
        for row in _pages(db, table, "awaits_copy", f"upload_key, etag, {SIZES[table]} AS size"):
            yield NamedObject(row["upload_key"], table, row["id"], row["etag"], row["size"])
    for row in _pages(db, "inference_files", "scores_bytes IS NOT NULL", "scores_etag, scores_bytes"):
        size, etag = row["scores_bytes"], row["scores_etag"]
        yield NamedObject(_beside(row, "scores"), "inference_files", row["id"], etag, size, is_original=False)


def set_etag(tx: Transaction, named: NamedObject, etag: str) -> None:
    """Note the tag that another storage gave to the same bytes."""
    if named.etag is not None:
        column = "etag" if named.is_original else "scores_etag"
        tx.change(f"UPDATE {named.table} SET {column} = ? WHERE id = ?", [etag, named.row_id])


def can_be_lost(named: NamedObject) -> bool:
    """Whether a row can say that its object is no longer stored."""
    return named.table != "audio"


def mark_lost(tx: Transaction, lost: NamedObject) -> None:
    """Note that an object is no longer stored, if its row can say that."""
    if not lost.is_original and lost.table == "inference_files":
        inference_files.set_scores(tx, lost.row_id, None, None)
    elif can_be_lost(lost):
        tx.change(f"UPDATE {lost.table} SET original_removed_at = unixepoch('subsec') WHERE id = ?", [lost.row_id])


def _pages(db: Reader, table: str, condition: str, more: str) -> Iterator[Row]:
    """Yield the rows of a table in their order, a page at a time."""
    last = 0
    while rows := db.all(
        f"""
        SELECT sequence, id, object_key, {more} FROM {table}
        WHERE sequence > ? AND {condition} ORDER BY sequence LIMIT ?
        """,
        [last, PAGE],
    ):
        yield from rows
        last = rows[-1]["sequence"]


def _beside(row: Row, name: str) -> str:
    return f"{row['object_key'].rpartition('/')[0]}/{name}"


def forget_secrets(tx: Transaction) -> None:
    """Remove the secrets of clients: those that sign webhooks, and headers that clients chose for theirs."""
    tx.change("DELETE FROM webhook_secrets")
    tx.change("UPDATE transcripts SET callback_header_value = NULL WHERE callback_header_value IS NOT NULL")
    tx.change("UPDATE webhook_deliveries SET header_name = NULL, header_value = NULL WHERE header_name IS NOT NULL")


def all_spooled(db: Reader) -> list[tuple[str, str]]:
    """Return the batch and the id of media whose bytes are still in the spool folder."""
    return [(row["batch_id"], row["id"]) for row in db.all("SELECT batch_id, id FROM media WHERE status = 'spooled'")]
