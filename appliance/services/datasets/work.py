"""The work on a dataset's audio: normalise, embed, delete the objects of what is gone."""

from __future__ import annotations

import numpy as np

from appliance.errors import LeaseLost
from appliance.services.box import Box
from appliance.state import audio, embeddings, work
from appliance.state.audio import Audio, Found
from appliance.state.datasets import tenant_of
from appliance.state.work import Work


def load_audio(box: Box, claimed: Work) -> Audio:
    """The recording to work on. Raises LeaseLost where it is gone."""
    recording = audio.find_audio(box.db, claimed.subject_id)
    if recording is None:
        raise LeaseLost(f"Audio {claimed.subject_id} is gone.")
    return recording


def is_gone(box: Box, claimed: Work) -> bool:
    """Whether the recording was deleted."""
    return audio.find_audio(box.db, claimed.subject_id) is None


def complete_normalizing(box: Box, claimed: Work, recording: Audio, found: Found) -> None:
    """normalizing → embedding, with the work that follows. Raises LeaseLost, and then nothing is written."""
    with box.db.transaction():
        work.finish(box.db, claimed)
        if not audio.mark_embedding(box.db, recording.id, found):
            raise LeaseLost(f"Audio {recording.id} is not being normalised.")
        work.enqueue(box.db, "embed", recording.id, recording.dataset_id)


def complete_embedding(box: Box, claimed: Work, recording: Audio, model: str, direction: np.ndarray) -> None:
    """embedding → ready, with its vector (num_dimensions,). Raises LeaseLost, and then nothing is written."""
    with box.db.transaction():
        work.finish(box.db, claimed)
        if not audio.mark_ready(box.db, recording.id):
            raise LeaseLost(f"Audio {recording.id} is not being embedded.")
        vector = direction.astype("<f4").tobytes()
        embeddings.insert_embedding(box.db, recording.id, tenant_of(box.db, recording.dataset_id), model, vector)


def purge(box: Box, claimed: Work) -> None:
    """Delete the objects under the subject, a recording's folder. Raises LeaseLost."""
    for name in ("original", "normalized", "embedding"):
        box.objects.delete(f"{claimed.subject_id}/{name}")
    with box.db.transaction():
        work.finish(box.db, claimed)
