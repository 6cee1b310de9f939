"""What an export is made from: the files of a job, a few at a time, with their detections and reviews."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from appliance.engine.models.manifest import Manifest
from appliance.errors import ModelNotFound, NotReady
from appliance.services.box import Box
from appliance.services.inference.decided import Event, Reviewed, events_of, reviewed_of
from appliance.services.inference.files import find_file
from appliance.services.inference.jobs import find_settings
from appliance.services.models import resolve
from appliance.state import inference_files
from appliance.state.inference_files import InferenceFile
from appliance.state.inference_jobs import JobSettings
from appliance.state.verdicts import FileVerdict

PAGE = 100


@dataclass(frozen=True)
class ExportedFile:
    """A completed file, the settings in effect for its detections, these with their reviews, and added reviews."""

    file: InferenceFile
    config: dict[str, Any]
    reviewed: list[Reviewed]

    @property
    def name(self) -> str:
        """The file's name, or its id if it has none."""
        return self.file.original_filename or self.file.id

    @property
    def events(self) -> list[Event]:
        """What is in the file after the reviews."""
        return events_of(self.reviewed)


@dataclass(frozen=True)
class Export:
    """What to export. ``nyquist_hz`` is half the rate at which the model listens, None if the model is gone.

    ``files`` yields the files, in the order of their uploads; ``is_single`` says that only one was chosen.
    ``audio_prefix`` goes before a file's name where a format needs a URL of it.
    """

    job_id: str
    model: str
    labels: list[str]
    nyquist_hz: float | None
    audio_prefix: str
    is_single: bool
    files: Callable[[], Iterator[ExportedFile]]


def open_export(
    box: Box,
    tenant_id: int,
    job_id: str,
    *,
    file_id: str | None = None,
    verdict: FileVerdict | None = None,
    audio_prefix: str = "",
) -> Export:
    """Return what there is to export of a job, of one file of it, or of the files with a verdict.

    Raises NotFound, and NotReady if the one file is not completed.
    """
    settings = find_settings(box, tenant_id, job_id)
    if file_id is not None and (file := find_file(box, job_id, file_id)).status != "completed":
        raise NotReady(f"file_id: The file is {file.status}, and only a completed one can be exported.")
    labels, nyquist_hz = _about_model(box, settings)

    def files() -> Iterator[ExportedFile]:
        for page in _pages(box, job_id, file_id, verdict):
            for file in page:
                yield ExportedFile(file, file.config or settings.config, reviewed_of(box.db, file))

    return Export(job_id, settings.model, labels, nyquist_hz, audio_prefix, file_id is not None, files)


def _pages(box: Box, job_id: str, file_id: str | None, verdict: FileVerdict | None) -> Iterator[list[InferenceFile]]:
    if file_id is not None:
        file = inference_files.get_file(box.db, job_id, file_id)
        yield [file] if file and file.status == "completed" and verdict in (None, file.verdict) else []
        return
    after = 0
    while page := inference_files.list_files(
        box.db, job_id, status="completed", verdict=verdict, after=after, limit=PAGE
    ):
        yield page
        after = page[-1].sequence


def _about_model(box: Box, settings: JobSettings) -> tuple[list[str], float | None]:
    try:
        manifest = resolve(box, settings.tenant_id, settings.model).manifest
    except ModelNotFound:
        return [], None
    if not isinstance(manifest, Manifest):
        return [], None
    return manifest.reported_labels, manifest.input.sample_rate_hz / 2
