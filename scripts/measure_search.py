"""Measures the search for similar recordings among 100,000 vectors. It prints a report and tests nothing."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from appliance.services.datasets.similarity import Similarity
from appliance.state import audio, datasets, embeddings, tenants
from appliance.state.database import Database

NUM_RECORDINGS, NUM_DIMENSIONS, SEARCHES = 100_000, 64, 50


def main() -> None:
    """Fill a database, search it, print the times."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((NUM_RECORDINGS, NUM_DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with tempfile.TemporaryDirectory() as folder:
        db = Database(Path(folder) / "appliance.db")
        db.migrate()
        fill(db, vectors)
        search = Similarity(SimpleNamespace(db=db))  # type: ignore[arg-type]
        times = []
        for number in [0, *rng.integers(NUM_RECORDINGS, size=SEARCHES)]:
            started = time.perf_counter()
            search.similar(1, "dataset", str(number), k=10)
            times.append(1000 * (time.perf_counter() - started))
    print(f"{NUM_RECORDINGS} recordings, {NUM_DIMENSIONS} dimensions")
    print(f"first search, which loads the vectors: {times[0]:.0f} ms")
    print(f"later searches: median {np.median(times[1:]):.1f} ms, longest {max(times[1:]):.1f} ms")


def fill(db: Database, vectors: np.ndarray) -> None:
    """Store a dataset whose recordings have these vectors."""
    with db.transaction() as tx:
        tenant_id = tenants.ensure_tenant(tx, "default")
        datasets.insert_dataset(tx, "dataset", tenant_id, "measured", "")
        for i, vector in enumerate(vectors):
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
            embeddings.insert_embedding(tx, str(i), tenant_id, "spectrum@1.0.0", vector.tobytes())


if __name__ == "__main__":
    main()
