"""Detection in the kept scores of a file: what the sliders of a client show, and what ``redetect`` keeps.

The scores of the files that were looked at last are held, the large array of each as a mapped file without a name: so
they cost disk cache and no memory, and a step of a slider reads nothing from storage.
"""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from appliance.engine.models.manifest import Defaults, Manifest
from appliance.engine.scoring.events import Detection, DetectionConfig
from appliance.engine.scoring.kept import KeptScores
from appliance.errors import ModelNotFound, NotReady, ObjectChanged, ObjectMissing, ScoresNotKept, StorageUnavailable
from appliance.services.box import Box
from appliance.services.inference.files import find_file
from appliance.services.inference.jobs import find_settings
from appliance.services.inference.work import MAX_DETECTIONS
from appliance.services.models import resolve
from appliance.state.inference_files import InferenceFile
from appliance.state.inference_jobs import JobSettings

HELD_BYTES = 256 * 1024**2
LOADS = 2  # at the same time


@dataclass(frozen=True)
class Preview:
    """The detections of a file under some settings. ``config`` are those in effect."""

    file: InferenceFile
    config: dict[str, Any]
    detections: list[Detection]
    truncated: bool


class ScoreShelf:
    """The kept scores that this process used last. Threads may share it."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._held: OrderedDict[tuple[str, str], KeptScores] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Semaphore(LOADS)

    def scores_of(self, file: InferenceFile) -> KeptScores:
        """Return the kept scores of a file. Raises NotReady, ScoresNotKept, StorageUnavailable."""
        key = (file.id, require_scores(file))
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        with self._loading:
            scores = load_scores(self._box, file)
        with self._lock:
            self._held[key] = scores
            while len(self._held) > 1 and sum(held.num_bytes for held in self._held.values()) > HELD_BYTES:
                self._held.popitem(last=False)
        return scores


def require_scores(file: InferenceFile) -> str:
    """Return the tag of the file's kept scores. Raises NotReady, ScoresNotKept."""
    if file.status != "completed":
        raise NotReady(f"The file is {file.status}, and only a completed one has scores.")
    if file.scores_etag is None:
        raise not_kept(file.job_id, file.id)
    return file.scores_etag


def not_kept(job_id: str, file_id: str) -> ScoresNotKept:
    """Return the error of a file without scores. It names the call that makes them again."""
    return ScoresNotKept(
        "The scores of the file are not kept, or no longer. "
        f'POST /api/v1/inference-jobs/{job_id}/files/{file_id}/redetect with {{"with_model": true}} analyzes it again.'
    )


def load_scores(box: Box, file: InferenceFile) -> KeptScores:
    """Read the kept scores of a file from storage. Raises NotReady, ScoresNotKept, StorageUnavailable."""
    etag = require_scores(file)
    with tempfile.TemporaryFile(dir=box.settings.data_dir / "tmp") as archive:
        try:
            box.objects.fetch(file.scores_key, etag, archive)
        except ObjectMissing as error:
            raise not_kept(file.job_id, file.id) from error
        except ObjectChanged as error:
            raise StorageUnavailable("The scores of the file were replaced at this moment; try again.") from error
        archive.seek(0)
        return KeptScores.read(archive)


def preview(box: Box, shelf: ScoreShelf, tenant_id: int, job_id: str, file_id: str, changes: dict[str, Any]) -> Preview:
    """Return what the file's detections would be if its settings were changed; nothing is written.

    A key that ``changes`` leaves out keeps its present value; None stands for the model's own values.
    Raises NotFound, NotReady, ScoresNotKept.
    """
    settings = find_settings(box, tenant_id, job_id)
    file = find_file(box, job_id, file_id)
    choices = changed_choices(settings, file, changes)
    detections, truncated = shelf.scores_of(file).detections(DetectionConfig(**choices), MAX_DETECTIONS)
    return Preview(file, in_effect(box, settings, choices), detections, truncated)


def pooled_scores(
    box: Box, shelf: ScoreShelf, tenant_id: int, job_id: str, file_id: str, start_ms: int, end_ms: int, points: int
) -> dict[str, np.ndarray]:
    """Return the greatest score of each label in ``points`` equal parts of a stretch: (points,) float32.

    Raises NotFound, NotReady, ScoresNotKept.
    """
    find_settings(box, tenant_id, job_id)
    scores = shelf.scores_of(find_file(box, job_id, file_id))
    return dict(zip((rule.name for rule in scores.rules), scores.pooled(start_ms, end_ms, points), strict=True))


def changed_choices(settings: JobSettings, file: InferenceFile | None, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the client's settings of a file with changes as ``preview`` takes them. Without a file: of the job."""
    now = settings.client_config if file is None or file.client_config is None else file.client_config
    return {name: value for name, value in (now | changes).items() if value is not None}


def in_effect(box: Box, settings: JobSettings, choices: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with the model's defaults filled in; those of any model if it is gone."""
    try:
        manifest = resolve(box, settings.tenant_id, settings.model).manifest
        defaults = manifest.defaults if isinstance(manifest, Manifest) else Defaults()
    except ModelNotFound:
        defaults = Defaults()
    return defaults.model_dump() | choices
