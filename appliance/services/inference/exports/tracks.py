"""Label tracks: what is in each file after the reviews, for Audacity, Raven, and programs that read RTTM."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable
from typing import BinaryIO

from appliance.audacity import audacity_line
from appliance.services.inference.exports.source import Export, ExportedFile

RAVEN_HEADER = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Common Name",
    "Species Code",
    "Confidence",
    "Begin Path",
    "File Offset (s)",
)
NYQUIST_HZ = 24_000.0  # if the model is gone
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same export gives the same bytes
_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_UNSAFE = re.compile(r"[^\w.() -]+")


def write_audacity(export: Export, out: BinaryIO) -> None:
    """Write the label track of the file, or an archive with one for each file."""
    _write_each(export, out, ".txt", _audacity_track)


def write_raven(export: Export, out: BinaryIO) -> None:
    """Write the selection table of the file, or an archive with one for each file."""
    nyquist_hz = export.nyquist_hz or NYQUIST_HZ
    _write_each(export, out, ".selections.txt", lambda item: _raven_table(item, nyquist_hz))


def write_rttm(export: Export, out: BinaryIO) -> None:
    """Write lines of the type SPEAKER with the type of the event as the speaker."""
    for item in export.files():
        recording = _without_spaces(item.name)
        for event in item.events:
            onset, duration = event.start_ms / 1000, (event.end_ms - event.start_ms) / 1000
            label, confidence = _without_spaces(event.artifact_type), _number(event.confidence, "<NA>")
            line = f"SPEAKER {recording} 1 {onset:.3f} {duration:.3f} <NA> <NA> {label} {confidence} <NA>\n"
            out.write(line.encode())


def _audacity_track(item: ExportedFile) -> str:
    return "".join(f"{audacity_line(e.start_ms, e.end_ms, _one_line(e.artifact_type))}\n" for e in item.events)


def _raven_table(item: ExportedFile, nyquist_hz: float) -> str:
    rows: list[Iterable[object]] = [RAVEN_HEADER]
    for number, event in enumerate(item.events, 1):
        start, label = f"{event.start_ms / 1000:.3f}", _one_line(event.artifact_type)
        rows.append(
            (
                number,
                "Spectrogram 1",
                1,
                start,
                f"{event.end_ms / 1000:.3f}",
                "0.0",
                f"{nyquist_hz:.1f}",
                label,
                label,
                _number(event.confidence, ""),
                _one_line(item.name),
                start,
            )
        )
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def _write_each(export: Export, out: BinaryIO, suffix: str, text_of: Callable[[ExportedFile], str]) -> None:
    if export.is_single:
        for item in export.files():
            out.write(text_of(item).encode())
        return
    names: set[str] = set()
    with zipfile.ZipFile(out, "w") as archive:
        for item in export.files():
            name = _member_name(item, suffix, names)
            member = zipfile.ZipInfo(name, EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, text_of(item))


def _member_name(item: ExportedFile, suffix: str, names: set[str]) -> str:
    """Return a name in the archive: that of the recording, which is untrusted, without what leads elsewhere."""
    stem = _UNSAFE.sub("_", item.name.rpartition(".")[0] or item.name).strip(" ._")[:150] or item.file.id
    name = f"{stem}{suffix}"
    if name.lower() in names:
        name = f"{stem} {item.file.id}{suffix}"
    names.add(name.lower())
    return name


def _one_line(text: str) -> str:
    return _BREAKS.sub(" ", text).strip()


def _without_spaces(text: str) -> str:
    return "_".join(_one_line(text).split()) or "_"


def _number(confidence: float | None, missing: str) -> str:
    return missing if confidence is None else f"{confidence:.4f}"
