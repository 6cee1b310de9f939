"""Every format by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Literal

from appliance.services.inference.exports import label_studio, qc, tables, tracks
from appliance.services.inference.exports.source import Export

ExportFormat = Literal[
    "jsonl", "csv", "parquet", "audacity", "raven", "labelstudio", "labelstudio-config", "rttm", "qc"
]
ZIP = "application/zip"


@dataclass(frozen=True)
class Format:
    """How to write a format, its media type and its suffix; both are those of an archive if there are many files."""

    write: Callable[[Export, BinaryIO], None]
    media_type: str
    suffix: str
    is_for_each_file: bool = False

    def media_type_of(self, export: Export) -> str:
        """Return the media type of an export."""
        return ZIP if self.is_for_each_file and not export.is_single else self.media_type

    def filename_of(self, export: Export) -> str:
        """Return a name for an export."""
        suffix = ".zip" if self.is_for_each_file and not export.is_single else ""
        return f"job-{export.job_id}{suffix or self.suffix}"


FORMATS: dict[ExportFormat, Format] = {
    "jsonl": Format(tables.write_jsonl, "application/x-ndjson", ".jsonl"),
    "csv": Format(tables.write_csv, "text/csv", ".csv"),
    "parquet": Format(tables.write_parquet, "application/vnd.apache.parquet", ".parquet"),
    "audacity": Format(tracks.write_audacity, "text/plain", ".txt", is_for_each_file=True),
    "raven": Format(tracks.write_raven, "text/plain", ".selections.txt", is_for_each_file=True),
    "labelstudio": Format(label_studio.write_tasks, "application/json", ".labelstudio.json"),
    "labelstudio-config": Format(label_studio.write_config, "application/xml", ".labelstudio.xml"),
    "rttm": Format(tracks.write_rttm, "text/plain", ".rttm"),
    "qc": Format(qc.write_qc, "application/json", ".qc.json"),
}
MEDIA_TYPES = sorted({ZIP, *(known.media_type for known in FORMATS.values())})
