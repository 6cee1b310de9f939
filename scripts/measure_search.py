"""Measures the search for similar recordings among 100,000 vectors. It prints a report and tests nothing."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from appliance import ROOT
from appliance.engine.models.store import ModelStore
from appliance.services.datasets.similarity import By, Similarity
from appliance.state import audio, datasets, embeddings, tenants
from appliance.state.database import Database
from appliance.state.embeddings import Table

NUM_RECORDINGS, SEARCHES = 100_000, 50
WAYS: tuple[tuple[By, Table, str, int], ...] = (
    ("spectrum", "embeddings", "spectrum@1.0.0", 64),
    ("sound", "sound_embeddings", "sound@1.1.0", 256),
    ("both", "sound_embeddings", "sound@1.1.0", 256),
)


def main() -> None:
    """Fill a database, search it, print the times."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        db = Database(Path(folder) / "appliance.db")
        db.migrate()
        fill(db, rng)
        box = SimpleNamespace(db=db, models=ModelStore(ROOT / "model_store"))
        for by, _, _, num_dimensions in WAYS:
            search = Similarity(box)  # type: ignore[arg-type]
            times = []
            for number in [0, *rng.integers(NUM_RECORDINGS, size=SEARCHES)]:
                started = time.perf_counter()
                search.similar(1, "dataset", str(number), k=10, by=by)
                times.append(1000 * (time.perf_counter() - started))
            print(f"{NUM_RECORDINGS} recordings by {by}, {num_dimensions} dimensions")
            print(f"first search, which loads the vectors: {times[0]:.0f} ms")
            print(f"later searches: median {np.median(times[1:]):.1f} ms, longest {max(times[1:]):.1f} ms")


def fill(db: Database, rng: np.random.Generator) -> None:
    """Store a dataset whose recordings have vectors of each model."""
    with db.transaction() as tx:
        tenant_id = tenants.ensure_tenant(tx, "default")
        datasets.insert_dataset(tx, "dataset", tenant_id, "measured", "")
        for i in range(NUM_RECORDINGS):
            audio.insert_audio(
                tx,
                str(i),
                "dataset",
                original_filename="",
                content_type="audio/wav",
                declared_size_bytes=1,
                object_key=f"{i}/original",
                upload_expires_at=0.0,
            )
            for _, table, model, num_dimensions in WAYS[:2]:
                vector = rng.standard_normal(num_dimensions).astype(np.float32)
                vector /= np.linalg.norm(vector)
                embeddings.insert_embedding(tx, str(i), tenant_id, model, vector.tobytes(), table)


if __name__ == "__main__":
    main()
