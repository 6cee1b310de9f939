"""Tables with one row for each detection: JSON Lines, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from appliance.services.inference.exports.source import Export

COLUMNS = (
    "job_id",
    "file_id",
    "filename",
    "artifact_type",
    "start_ms",
    "end_ms",
    "confidence",
    "review",
    "reviewed_type",
    "model",
    "threshold",
    "merge_window_ms",
    "min_duration_ms",
    "source",
)
_WHOLE = ("start_ms", "end_ms", "merge_window_ms", "min_duration_ms")
_REAL = ("confidence", "threshold")
GROUP_ROWS = 50_000


def write_jsonl(export: Export, out: BinaryIO) -> None:
    """Write an object on each line, in UTF-8."""
    for row in _rows(export):
        out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def write_csv(export: Export, out: BinaryIO) -> None:
    """Write rows under a header, in UTF-8. What is null is empty."""
    text = io.TextIOWrapper(out, encoding="utf-8", newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(export))
    text.detach()


def write_parquet(export: Export, out: BinaryIO) -> None:
    """Write a Parquet file: int64, float32 and dictionaries of strings. Its metadata has the job and the model."""
    import pyarrow as pa  # takes 40 MB of memory, so only whoever exports to Parquet loads it
    import pyarrow.parquet as pq

    kinds = dict.fromkeys(_WHOLE, pa.int64()) | dict.fromkeys(_REAL, pa.float32())
    texts = pa.dictionary(pa.int32(), pa.string())
    fields = [pa.field(name, kinds.get(name, texts)) for name in COLUMNS]
    schema = pa.schema(fields, {"job_id": export.job_id, "model": export.model})
    with pq.ParquetWriter(out, schema) as writer:
        for rows in _groups(_rows(export)):
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _groups(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _rows(export: Export) -> Iterator[dict[str, Any]]:
    for item in export.files():
        for reviewed in item.reviewed:
            if (detection := reviewed.detection) is None:
                continue
            review = reviewed.review
            values = (
                export.job_id,
                item.file.id,
                item.file.original_filename,
                detection.artifact_type,
                detection.start_ms,
                detection.end_ms,
                detection.confidence,
                review.verdict if review else None,
                review.reviewed_type if review else None,
                export.model,
                item.config["threshold"],
                item.config["merge_window_ms"],
                item.config["min_duration_ms"],
                detection.source,
            )
            yield dict(zip(COLUMNS, values, strict=True))
