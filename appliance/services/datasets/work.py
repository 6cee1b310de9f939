"""The work on a dataset's audio: copy its upload if that is large, normalize, embed; for the learned search, hear.

Audio is ready before it is heard: the learned model takes fifteen times as long, and gives way to all that is analyzed.
"""

from __future__ import annotations

import threading

import numpy as np

from appliance.engine.models.store import StoredModel
from appliance.errors import ModelNotFound, SubjectGone, UnexpectedStatus
from appliance.services import uploads
from appliance.services.box import Box
from appliance.services.kind import Kind
from appliance.services.quotas import Meter
from appliance.services.uploads import KeptObject
from appliance.state import audio, embeddings
from appliance.state import work as queue
from appliance.state.audio import Audio, Properties
from appliance.state.database import Transaction
from appliance.state.datasets import tenant_of
from appliance.state.work import Work

COPY_AUDIO = Kind("copy_audio", fail=audio.mark_lost, pool="storage")
NORMALIZE = Kind(
    "normalize",
    fail=lambda tx, audio_id, code, message: audio.mark_failed(tx, audio_id, "normalizing", code, message),
)
EMBED = Kind(
    "embed",
    fail=lambda tx, audio_id, code, message: audio.mark_failed(tx, audio_id, "embedding", code, message),
)
# If it fails, the audio stays ready, and is tried another day.
HEAR = Kind("hear", fail=lambda tx, audio_id, code, message: True, pool="hearing")
PAGE = 1000


def enqueue(tx: Transaction, tenant_id: int, dataset_id: str, audio_id: str, kept: KeptObject) -> None:
    """Queue the normalization of a confirmed recording, or its copy if it awaits that."""
    kind = COPY_AUDIO if kept.awaits_copy else NORMALIZE
    kind.enqueue(tx, tenant_id, dataset_id, audio_id)


def copy(box: Box, work: Work) -> None:
    """Copy a confirmed upload and queue its normalization.

    Raises SubjectGone, LeaseLost, ObjectChanged, ObjectMissing, ObjectDamaged.
    """
    recording = load_audio(box, work)

    def mark(tx: Transaction, kept: KeptObject) -> bool:
        queue.finish(tx, work)
        copied = audio.mark_copied(tx, recording.id, kept.key, kept.etag)
        if copied:
            enqueue(tx, tenant_of(tx, recording.dataset_id), recording.dataset_id, recording.id, kept)
        return copied

    uploads.copy_confirmed(box, recording, mark)


def load_audio(box: Box, work: Work) -> Audio:
    """Return the recording that the work is about. Raises SubjectGone."""
    recording = audio.find_audio(box.db, work.subject_id)
    if recording is None:
        raise SubjectGone(f"The audio {work.subject_id} was deleted.")
    return recording


def is_gone(box: Box, work: Work) -> bool:
    """Whether the recording was deleted."""
    return audio.find_audio(box.db, work.subject_id) is None


def meter_of(box: Box, recording: Audio) -> Meter:
    """Return a meter for the bytes that are made of a recording."""
    return Meter(box, tenant_of(box.db, recording.dataset_id))


def complete_normalizing(box: Box, work: Work, recording: Audio, properties: Properties, size_bytes: int) -> None:
    """Move the audio on to embedding and queue that. If this raises, nothing is written.

    Raises LeaseLost, UnexpectedStatus.
    """
    with box.db.transaction() as tx:
        queue.finish(tx, work)
        if not audio.mark_embedding(tx, recording.id, properties):
            raise UnexpectedStatus(f"The audio {recording.id} is not in normalizing.")
        audio.add_derived_bytes(tx, recording.id, size_bytes)
        EMBED.enqueue(tx, tenant_of(tx, recording.dataset_id), recording.dataset_id, recording.id)


def complete_embedding(
    box: Box, work: Work, recording: Audio, model: str, direction: np.ndarray, size_bytes: int
) -> None:
    """Make the audio ready and store its mean vector, (num_dimensions,) float32. If this raises, nothing is written.

    Raises LeaseLost, UnexpectedStatus.
    """
    with box.db.transaction() as tx:
        queue.finish(tx, work)
        if not audio.mark_ready(tx, recording.id):
            raise UnexpectedStatus(f"The audio {recording.id} is not in embedding.")
        audio.add_derived_bytes(tx, recording.id, size_bytes)
        vector = direction.astype("<f4").tobytes()
        tenant_id = tenant_of(tx, recording.dataset_id)
        embeddings.insert_embedding(tx, recording.id, tenant_id, model, vector)
        if sound_model(box):
            HEAR.enqueue(tx, tenant_id, recording.dataset_id, recording.id)


def sound_model(box: Box) -> StoredModel | None:
    """Return the model of the learned search, or None if there is no such search."""
    try:
        return box.models.resolve(box.settings.sound_model) if box.settings.sound_model else None
    except ModelNotFound:
        return None


def complete_hearing(box: Box, work: Work, recording: Audio, model: str, direction: np.ndarray) -> None:
    """Store a recording's vector of the learned search, (num_dimensions,) float32. Raises LeaseLost."""
    with box.db.transaction() as tx:
        queue.finish(tx, work)
        vector = direction.astype("<f4").tobytes()
        tenant_id = tenant_of(tx, recording.dataset_id)
        embeddings.insert_embedding(tx, recording.id, tenant_id, model, vector, "sound_embeddings")


def enqueue_unheard(box: Box, stopping: threading.Event) -> None:
    """Queue all ready audio that the model of the learned search has not heard, a page at a time."""
    model = sound_model(box)
    last = 0
    while model and not stopping.is_set():
        rows = embeddings.list_unheard(box.db, model.manifest.id, last, PAGE)
        if not rows:
            return
        with box.db.transaction() as tx:
            for _, audio_id, dataset_id, tenant_id in rows:
                HEAR.enqueue(tx, tenant_id, dataset_id, audio_id)
        last = rows[-1][0]
