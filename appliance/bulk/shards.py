"""The Parquet files of a bulk run: the recordings of a shard, and what was detected in them.

The same rows give the same bytes. A name that is not UTF-8 is kept as bytes beside what can be shown of it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from appliance.bulk.analyzer import Outcome
from appliance.bulk.places import Entry

TAIL_BYTES = 64 * 1024  # the end of a file of results, which has its totals

_KEY = [pa.field("key", pa.string()), pa.field("key_bytes", pa.binary()), pa.field("etag", pa.string())]
_MANIFEST = pa.schema([*_KEY, pa.field("size_bytes", pa.int64())])
_DETECTION = pa.struct(
    [
        pa.field("artifact_type", pa.string()),
        pa.field("start_ms", pa.int64()),
        pa.field("end_ms", pa.int64()),
        pa.field("confidence", pa.float64()),
        pa.field("source", pa.string()),
    ]
)
_DETECTIONS = pa.schema(
    [
        *_KEY,
        pa.field("status", pa.string()),
        pa.field("error_code", pa.string()),
        pa.field("error", pa.string()),
        pa.field("duration_ms", pa.int64()),
        pa.field("detections", pa.list_(_DETECTION)),
    ]
)


class NotReadable(Exception):
    """A file is not what this module wrote."""


@dataclass(frozen=True)
class Totals:
    """What a file of results says of itself: the id of its plan, its rows, how many of them failed, and their audio."""

    plan: str
    files: int
    failed: int
    audio_ms: int


def manifest_name(number: int) -> str:
    """Return the name of a shard's recordings."""
    return f"manifest/{number:06}.parquet"


def detections_name(number: int) -> str:
    """Return the name of a shard's results."""
    return f"detections/{number:06}.parquet"


def write_manifest(entries: Sequence[Entry]) -> bytes:
    """Return a Parquet file of recordings."""
    rows = {
        "key": [_shown(entry.key) for entry in entries],
        "key_bytes": [_odd_bytes(entry.key) for entry in entries],
        "etag": [entry.etag for entry in entries],
        "size_bytes": [entry.size_bytes for entry in entries],
    }
    return _parquet(pa.table(rows, _MANIFEST))


def read_manifest(data: bytes) -> list[Entry]:
    """Return the recordings in a Parquet file of ``write_manifest``."""
    columns = _table(data).to_pydict()
    rows = zip(*(columns[name] for name in _MANIFEST.names), strict=True)
    return [Entry(os.fsdecode(odd) if odd else key, etag, size) for key, odd, etag, size in rows]


def write_detections(plan_id: str, entries: Sequence[Entry], outcomes: Sequence[Outcome]) -> bytes:
    """Return a Parquet file of results: a row for each recording, in the order of the shard."""
    rows = [_row(entry, outcome) for entry, outcome in zip(entries, outcomes, strict=True)]
    totals = Totals(
        plan_id,
        len(rows),
        sum(outcome.error is not None for outcome in outcomes),
        sum(outcome.duration_ms or 0 for outcome in outcomes),
    )
    metadata = {name: str(value) for name, value in asdict(totals).items()}
    return _parquet(pa.Table.from_pylist(rows, _DETECTIONS.with_metadata(metadata)))


def read_totals(tail: bytes) -> Totals:
    """Return the totals of a file of results, of which the last TAIL_BYTES are enough. Raises NotReadable."""
    try:
        metadata = pq.read_metadata(io.BytesIO(tail)).metadata
        values = {name: metadata[name.encode()].decode() for name in ("plan", "files", "failed", "audio_ms")}
        return Totals(values.pop("plan"), **{name: int(value) for name, value in values.items()})
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise NotReadable("is not a file of results") from error


def check_rows(data: bytes, plan_id: str, entries: Sequence[Entry]) -> Totals:
    """Compare a whole file of results with its recordings and its own totals. Raises NotReadable with what is wrong."""
    totals = read_totals(data)
    try:
        table = _table(data)
    except (pa.ArrowException, OSError) as error:
        raise NotReadable("cannot be read") from error
    if totals.plan != plan_id:
        raise NotReadable("is of another plan")
    if not table.schema.equals(_DETECTIONS):
        raise NotReadable("has other columns")
    if table.num_rows != len(entries):
        raise NotReadable(f"has {table.num_rows} rows for {len(entries)} recordings")
    columns = table.select(["key", "etag"]).to_pydict()
    for place, entry in enumerate(entries):
        if (columns["key"][place], columns["etag"][place]) != (_shown(entry.key), entry.etag):
            raise NotReadable(f"has another recording than the plan in row {place}")
    num_failed = table["status"].to_pylist().count("failed")
    if (totals.files, totals.failed) != (table.num_rows, num_failed):
        raise NotReadable("has other totals than rows")
    return totals


def _row(entry: Entry, outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    return {
        "key": _shown(entry.key),
        "key_bytes": _odd_bytes(entry.key),
        "etag": entry.etag,
        "status": "completed" if error is None else "failed",
        "error_code": error and error.code,
        "error": error and str(error),
        "duration_ms": outcome.duration_ms,
        "detections": [asdict(detection) for detection in outcome.detections],
    }


def _shown(key: str) -> str:
    """Return a key as valid Unicode: bytes that are not UTF-8 as ``\\xff``."""
    return os.fsencode(key).decode("utf-8", "backslashreplace") if _odd_bytes(key) else key


def _odd_bytes(key: str) -> bytes | None:
    """Return the bytes of a key that is not UTF-8, None for any other."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return os.fsencode(key)
    return None


def _table(data: bytes) -> pa.Table:
    # read_table starts threads, which abort the process now and then when it ends (apache/arrow#34314).
    return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()
