"""Reviews: what a person decided about a stretch of a file that has a type.

A review belongs to a type and a span, never to a row of the detections, which ``redetect`` replaces. The column
``review`` of a detection names the review that it matches: of its type, overlapping at least half of the shorter of
both, and of several the one that overlaps the most, then the newest. ``rematch`` keeps that so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from appliance.state.database import Reader, Row, Transaction, columns
from appliance.state.inference_files import FileDetection

ReviewVerdict = Literal["confirmed", "rejected"]
QueueOrder = Literal["time", "highest", "lowest"]
ReviewState = Literal["unreviewed", "reviewed", "confirmed", "relabelled", "rejected"]


@dataclass(frozen=True)
class NewReview:
    """A decision about what a model reported. The ``reviewed_`` fields correct it; None leaves it as it was."""

    id: str
    artifact_type: str
    start_ms: int
    end_ms: int
    verdict: ReviewVerdict
    reviewed_type: str | None = None
    reviewed_start_ms: int | None = None
    reviewed_end_ms: int | None = None
    comment: str = ""


@dataclass(frozen=True)
class Review(NewReview):
    """A review as it is stored."""

    sequence: int = 0
    file_id: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0

    @property
    def event(self) -> tuple[str, int, int]:
        """The type, the start and the end that the reviewer stated."""
        start_ms = self.start_ms if self.reviewed_start_ms is None else self.reviewed_start_ms
        end_ms = self.end_ms if self.reviewed_end_ms is None else self.reviewed_end_ms
        return self.reviewed_type or self.artifact_type, start_ms, end_ms


@dataclass(frozen=True)
class QueueItem:
    """A detection of a job with its file and its review. ``place`` says where it stands in the queue's order."""

    place: tuple[float | int, ...]
    file_id: str
    original_filename: str
    duration_ms: int
    detection: FileDetection
    review: Review | None


@dataclass(frozen=True)
class QueueFilter:
    """Which detections of a job to show; None leaves a choice open."""

    state: ReviewState | None = None
    artifact_type: str | None = None
    file_id: str | None = None
    min_confidence: float | None = None
    max_confidence: float | None = None


SELECT = f"SELECT {columns(Review)} FROM reviews"
_OVERLAP = "min(r.end_ms, d.end_ms) - max(r.start_ms, d.start_ms)"
_SHORTER = "min(r.end_ms - r.start_ms, d.end_ms - d.start_ms)"
_STATES: dict[ReviewState, str] = {
    "unreviewed": "d.review IS NULL",
    "reviewed": "d.review IS NOT NULL",
    "confirmed": "r.verdict = 'confirmed' AND coalesce(r.reviewed_type, r.artifact_type) = r.artifact_type",
    "relabelled": "r.verdict = 'confirmed' AND coalesce(r.reviewed_type, r.artifact_type) <> r.artifact_type",
    "rejected": "r.verdict = 'rejected'",
}
_DETECTIONS = """
    FROM inference_files f JOIN detections d ON d.file_id = f.id LEFT JOIN reviews r ON r.sequence = d.review
    WHERE f.job_id = :job_id
"""
# Order → the columns that it sorts by, and the comparison with the place before.
_ORDERS: dict[QueueOrder, tuple[tuple[str, ...], str, str]] = {
    "time": (("f.sequence", "d.position"), "ASC", ">"),
    "highest": (("d.confidence", "f.sequence", "d.position"), "DESC", "<"),
    "lowest": (("d.confidence", "f.sequence", "d.position"), "ASC", ">"),
}


def put(tx: Transaction, file_id: str, review: NewReview) -> None:
    """Store a review, in place of the one that has its id."""
    # Not an UPSERT: its conflict rule would also apply inside of the triggers that note changes.
    changed = {name: value for name, value in asdict(review).items() if name != "id"}
    names = ", ".join(f"{name} = :{name}" for name in changed)
    sql = f"UPDATE reviews SET {names}, updated_at = unixepoch('subsec') WHERE file_id = :file_id AND id = :id"
    if not tx.change(sql, changed | {"file_id": file_id, "id": review.id}):
        tx.insert("reviews", file_id=file_id, id=review.id, **changed)


def delete(tx: Transaction, file_id: str, review_id: str) -> None:
    """Remove a review."""
    tx.change("DELETE FROM reviews WHERE file_id = ? AND id = ?", [file_id, review_id])


def get(db: Reader, file_id: str, review_id: str) -> Review | None:
    """Return the file's review of this id, or None."""
    row = db.one(f"{SELECT} WHERE file_id = ? AND id = ?", [file_id, review_id])
    return row and _review(row)


def list_of_file(db: Reader, file_id: str) -> list[Review]:
    """Return the reviews of a file in order of their start."""
    rows = db.all(f"{SELECT} WHERE file_id = ? ORDER BY start_ms, end_ms, sequence", [file_id])
    return [_review(row) for row in rows]


def list_unmatched(db: Reader, file_id: str) -> list[Review]:
    """Return the confirmed reviews of a file that no detection matches, in order of their start."""
    rows = db.all(
        f"""
        {SELECT} WHERE file_id = ?1 AND verdict = 'confirmed'
            AND sequence NOT IN (SELECT review FROM detections WHERE file_id = ?1 AND review IS NOT NULL)
        ORDER BY start_ms, end_ms, sequence
        """,
        [file_id],
    )
    return [_review(row) for row in rows]


def list_of_job(db: Reader, job_id: str, verdict: ReviewVerdict | None = None) -> dict[str, list[Review]]:
    """Return the reviews of a job by file, in order of their start; with a verdict only those that have it."""
    names = columns(Review, **{name: f"r.{name}" for name in Review.__dataclass_fields__})
    rows = db.all(
        f"""
        SELECT {names} FROM inference_files f JOIN reviews r ON r.file_id = f.id
        WHERE f.job_id = ? AND r.verdict = coalesce(?, r.verdict) ORDER BY f.sequence, r.start_ms, r.end_ms, r.sequence
        """,
        [job_id, verdict],
    )
    reviews: dict[str, list[Review]] = {}
    for row in rows:
        reviews.setdefault(row["file_id"], []).append(_review(row))
    return reviews


def pair_with_audio(db: Reader, job_id: str, dataset_id: str) -> dict[str, str]:
    """Return the audio of a dataset that has the name, the size and the length of each file of a job that has one."""
    rows = db.all(
        """
        SELECT f.id AS file_id, min(a.id) AS audio_id FROM inference_files f JOIN audio a
            ON a.original_filename = f.original_filename AND a.declared_size_bytes = f.declared_size_bytes
            AND abs(a.duration_ms - f.duration_ms) <= 1
        WHERE f.job_id = ? AND a.dataset_id = ? AND a.status = 'ready' GROUP BY f.id
        """,
        [job_id, dataset_id],
    )
    return {row["file_id"]: row["audio_id"] for row in rows}


def count_of_file(db: Reader, file_id: str) -> int:
    """Return the number of reviews of a file."""
    return int(db.all("SELECT count(*) FROM reviews WHERE file_id = ?", [file_id])[0][0])


def rematch(tx: Transaction, file_id: str, start_ms: int = 0, end_ms: int | None = None) -> None:
    """Find the review of each detection in a stretch of a file, by default in all of it."""
    tx.change(
        f"""
        UPDATE detections AS d SET review = (
            SELECT r.sequence FROM reviews r
            WHERE r.file_id = d.file_id AND r.artifact_type = d.artifact_type AND r.start_ms < d.end_ms
                AND r.start_ms > d.start_ms - :longest AND 2 * ({_OVERLAP}) >= {_SHORTER}
            ORDER BY {_OVERLAP} DESC, r.sequence DESC LIMIT 1
        )
        WHERE d.file_id = :file_id AND d.end_ms > :start_ms AND (:end_ms IS NULL OR d.start_ms < :end_ms)
        """,
        {"file_id": file_id, "start_ms": start_ms, "end_ms": end_ms, "longest": _longest(tx, file_id)},
    )


def list_queue(
    db: Reader,
    job_id: str,
    chosen: QueueFilter,
    *,
    order: QueueOrder,
    after: Sequence[float | int] | None,
    limit: int,
) -> list[QueueItem]:
    """Return detections of a job in an order, from behind the place ``after`` on."""
    keys, direction, comparison = _ORDERS[order]
    condition, values = _condition(chosen)
    if after is not None:
        places = [f":after{number}" for number in range(len(keys))]
        condition += f" AND ({', '.join(keys)}) {comparison} ({', '.join(places)})"
        values |= {f"after{number}": value for number, value in enumerate(after)}
    rows = db.all(
        f"""
        SELECT {", ".join(f"{key} AS place{number}" for number, key in enumerate(keys))},
            f.original_filename, f.duration_ms, f.id AS detection_file_id, d.artifact_type AS detection_type,
            d.start_ms AS detection_start_ms, d.end_ms AS detection_end_ms, d.confidence, d.source,
            {columns(Review, **{name: f"r.{name}" for name in Review.__dataclass_fields__})}
        {_DETECTIONS} AND {condition}
        ORDER BY {", ".join(f"{key} {direction}" for key in keys)} LIMIT :limit
        """,
        values | {"job_id": job_id, "limit": limit},
    )
    return [_item(row, len(keys)) for row in rows]


def count_queue(db: Reader, job_id: str, chosen: QueueFilter) -> dict[str, int]:
    """Return how many detections of a job there are, in all and by the state of their review."""
    condition, values = _condition(chosen)
    sums = ", ".join(f"coalesce(sum({text}), 0) AS {state}" for state, text in _STATES.items())
    sql = f"SELECT count(*) AS total, {sums} {_DETECTIONS} AND {condition}"
    return dict(db.all(sql, values | {"job_id": job_id})[0])


def list_judged(db: Reader, job_id: str) -> list[tuple[str, float, bool]]:
    """Return the type and the confidence of each detection of a job with a review, and whether the type was right."""
    rows = db.all(
        f"""
        SELECT d.artifact_type, d.confidence, ({_STATES["confirmed"]}) AS is_right {_DETECTIONS}
        AND d.review IS NOT NULL ORDER BY d.confidence DESC
        """,
        {"job_id": job_id},
    )
    return [(row["artifact_type"], row["confidence"], bool(row["is_right"])) for row in rows]


def count_by_type(db: Reader, job_id: str) -> dict[str, dict[str, int]]:
    """Return for each type that was detected in a job how many there are, in all and by the state of their review."""
    sums = ", ".join(f"coalesce(sum({text}), 0) AS {state}" for state, text in _STATES.items())
    sql = f"SELECT d.artifact_type, count(*) AS total, {sums} {_DETECTIONS} GROUP BY d.artifact_type ORDER BY 1"
    rows = db.all(sql, {"job_id": job_id})
    return {row["artifact_type"]: {name: row[name] for name in ("total", *_STATES)} for row in rows}


def count_unmatched(db: Reader, job_id: str) -> dict[str, int]:
    """Return for each type how many confirmed reviews of a job no detection matches."""
    rows = db.all(
        """
        SELECT coalesce(r.reviewed_type, r.artifact_type) AS type, count(*) AS total
        FROM inference_files f JOIN reviews r ON r.file_id = f.id
        WHERE f.job_id = ? AND r.verdict = 'confirmed'
            AND NOT EXISTS (SELECT 1 FROM detections d WHERE d.file_id = f.id AND d.review = r.sequence)
        GROUP BY 1
        """,
        [job_id],
    )
    return {row["type"]: row["total"] for row in rows}


def reviews_of_detections(db: Reader, file_id: str) -> dict[int, Review]:
    """Return the reviews of a file's detections by the detections' places."""
    rows = db.all(
        f"""
        SELECT d.position AS position, {columns(Review, **{name: f"r.{name}" for name in Review.__dataclass_fields__})}
        FROM detections d JOIN reviews r ON r.sequence = d.review WHERE d.file_id = ?
        """,
        [file_id],
    )
    return {row["position"]: _review(row) for row in rows}


def _condition(chosen: QueueFilter) -> tuple[str, dict[str, Any]]:
    conditions = [_STATES[chosen.state]] if chosen.state else ["true"]
    values = {name: value for name, value in asdict(chosen).items() if name != "state"}
    for name, text in (
        ("artifact_type", "d.artifact_type = :artifact_type"),
        ("file_id", "f.id = :file_id"),
        ("min_confidence", "d.confidence >= :min_confidence"),
        ("max_confidence", "d.confidence <= :max_confidence"),
    ):
        if values[name] is not None:
            conditions.append(text)
    return " AND ".join(conditions), values


def _longest(db: Reader, file_id: str) -> int:
    """Return the length of the file's longest review: it limits how far back a search for overlaps must look."""
    row = db.one("SELECT coalesce(max(end_ms - start_ms), 0) AS longest FROM reviews WHERE file_id = ?", [file_id])
    return int(row["longest"]) if row else 0


def _item(row: Row, num_keys: int) -> QueueItem:
    detection = FileDetection(
        row["detection_type"], row["detection_start_ms"], row["detection_end_ms"], row["confidence"], row["source"]
    )
    place = tuple(row[f"place{number}"] for number in range(num_keys))
    review = None if row["sequence"] is None else _review(row)
    return QueueItem(place, row["detection_file_id"], row["original_filename"], row["duration_ms"], detection, review)


def _review(row: Row) -> Review:
    return Review(**{name: row[name] for name in Review.__dataclass_fields__})
