"""Datasets to train from, as rows: what people said of recordings that nobody uploaded."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from pathlib import Path

from appliance.services.box import Box
from appliance.services.datasets.datasets import create_dataset
from appliance.services.training.jobs import TrainingChoices
from appliance.state import annotations as annotation_rows
from appliance.state import audio, reviewed_stretches
from tests.support import toy_models

BASE = "loud-features"
MINUTE_MS = 60_000


def add_base_model(store: Path) -> Path:
    """Add a toy model that gives features. Returns its folder."""
    folder = toy_models.frame_model(store, name=BASE)
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("[output]", '[output]\n        features = "scores"'))
    return folder


def choices(dataset_ids: Sequence[str], **changes: object) -> TrainingChoices:
    """What a client asks for if it says as little as it can."""
    values: dict[str, object] = {
        "name": "knocks",
        "dataset_ids": [*dataset_ids],
        "labels": ["knock"],
        "base_model": BASE,
        "mode": "append",
        "holdout_share": 0.25,
        "holdout_dataset_ids": None,
        "max_false_alarms_per_hour": 10.0,
        "seed": 0,
    }
    return TrainingChoices(**values | changes)  # type: ignore[arg-type]


def add_recording(
    box: Box,
    dataset_id: str,
    *,
    group: str | None = None,
    label: str = "knock",
    events: int = 2,
    minutes: float = 4.0,
    is_reviewed: bool = True,
    sha256: str = "",
) -> str:
    """Store a ready recording with so many events of 100 ms, all of it reviewed. Returns its id."""
    audio_id = str(uuid.uuid4())
    duration_ms = round(minutes * MINUTE_MS)
    with box.db.transaction() as tx:
        audio.insert_audio(
            tx,
            audio_id,
            dataset_id,
            original_filename="a.wav",
            content_type="audio/wav",
            declared_size_bytes=5,
            object_key=f"k/{audio_id}/original",
            upload_expires_at=1e12,
            group_name=group,
        )
        audio.mark_normalizing(tx, audio_id, "pending", f"k/{audio_id}/original", "tag")
        sha256 = sha256 or hashlib.sha256(audio_id.encode()).hexdigest()
        audio.mark_embedding(tx, audio_id, audio.Properties(duration_ms, 44_100, 1, "pcm_s16le", sha256))
        audio.mark_ready(tx, audio_id)
        rows = [(str(uuid.uuid4()), label, 1000 * n, 1000 * n + 100, "present") for n in range(events)]
        annotation_rows.insert_annotations(tx, audio_id, rows)  # type: ignore[arg-type]
        if is_reviewed:
            reviewed_stretches.insert_stretch(tx, str(uuid.uuid4()), audio_id, [label], 0, duration_ms)
    return audio_id


def new_dataset(box: Box, recordings: int = 8, tenant_id: int = 1, **each: object) -> str:
    """Create a dataset with so many recordings, each a group of its own. Returns its id."""
    dataset_id = create_dataset(box, tenant_id, "takes", "").id
    for _ in range(recordings):
        add_recording(box, dataset_id, **each)  # type: ignore[arg-type]
    return dataset_id
