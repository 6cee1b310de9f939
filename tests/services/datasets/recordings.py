"""Audio of a dataset as far along its processing as a test needs it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from appliance.services.box import Box
from appliance.services.datasets import audio, work
from appliance.state.audio import Audio, Properties
from appliance.state.datasets import tenant_of
from appliance.state.work import Work
from tests.support.boxes import CONTENT, ORIGIN, claim

MODEL = "toy@1"
PROPERTIES = Properties(duration_ms=1000, sample_rate_hz=44_100, num_channels=2, codec="pcm_s16le", sha256="0" * 64)


def request_audio(box: Box, dataset_id: str, content: bytes | None = CONTENT, filename: str = "a.mp3") -> Audio:
    """Request an upload of as many bytes as CONTENT has, and store ``content`` unless it is None."""
    tenant_id = tenant_of(box.db, dataset_id)
    upload = audio.request_upload(
        box, tenant_id, dataset_id, filename=filename, content_type="audio/mpeg", size_bytes=len(CONTENT), origin=ORIGIN
    )
    if content is not None:
        box.objects.put(upload.form.fields["key"], content, content_type="audio/mpeg")
    return audio.find_audio(box, tenant_id, dataset_id, upload.file_id)


def normalizing_audio(box: Box, dataset_id: str) -> tuple[Audio, Work]:
    """Confirmed audio and the work that normalizes it."""
    recording = request_audio(box, dataset_id)
    audio.confirm_upload(box, tenant_of(box.db, dataset_id), dataset_id, recording.id)
    normalize = claim(box, "normalize")
    return work.load_audio(box, normalize), normalize


def embedding_audio(box: Box, dataset_id: str, properties: Properties = PROPERTIES) -> tuple[Audio, Work]:
    """Normalized audio and the work that embeds it."""
    recording, normalize = normalizing_audio(box, dataset_id)
    work.complete_normalizing(box, normalize, recording, properties, 1000)
    embed = claim(box, "embed")
    return work.load_audio(box, embed), embed


def ready_audio(box: Box, dataset_id: str, vector: Sequence[float] = (1.0, 0.0), model: str = MODEL) -> str:
    """Embedded audio with this vector. Returns its id."""
    recording, embed = embedding_audio(box, dataset_id)
    work.complete_embedding(box, embed, recording, model, np.array(vector, np.float32), 1000)
    return recording.id
