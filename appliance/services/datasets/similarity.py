"""The search for recordings that sound alike, by the cosine between their mean vectors.

All vectors of a tenant and a model are kept as one matrix in memory, and a search is one product with it: exact, and
fast enough for a whole archive (``docs/datasets.md`` has the measurement). An approximate index or an extension of
SQLite would only add a part that can be wrong.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from appliance.engine.scoring.vectors import VectorMatrix, nearest
from appliance.errors import NotReady
from appliance.services.box import Box
from appliance.services.datasets.audio import find_audio
from appliance.services.datasets.datasets import find_dataset
from appliance.services.datasets.work import sound_model
from appliance.state import audio, embeddings
from appliance.state.audio import Audio
from appliance.state.embeddings import Table

By = Literal["spectrum", "sound", "fault", "both"]


@dataclass(frozen=True)
class Neighbor:
    """A recording and the cosine of its vector, -1 to 1."""

    recording: Audio
    similarity: float


@dataclass
class _Index:
    """The vectors of one tenant and model, as of the embedding with sequence ``last``."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    matrix: VectorMatrix = field(default_factory=VectorMatrix)
    last: int = 0


class Similarity:
    """Finds the nearest recordings and keeps its matrices from one search to the next. Threads may share it."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._lock = threading.Lock()
        self._indexes: dict[tuple[int, str, Table], _Index] = {}

    def similar(
        self,
        tenant_id: int,
        dataset_id: str,
        audio_id: str,
        *,
        k: int,
        within: str | None = None,
        by: By = "spectrum",
    ) -> list[Neighbor]:
        """Return the ``k`` recordings nearest to one, without itself, in all the tenant's datasets or in ``within``.

        ``by`` is ``spectrum`` for the vectors of embedding_model, else a part of those of the learned search, or both.
        Raises NotFound, and NotReady if the recording has no such vector yet.
        """
        find_audio(self._box, tenant_id, dataset_id, audio_id)
        if within is not None:
            find_dataset(self._box, tenant_id, within)
        table: Table = "embeddings" if by == "spectrum" else "sound_embeddings"
        model = embeddings.model_of(self._box.db, audio_id, table)
        if model is None:
            raise NotReady(self._why_no_vector(by))
        keys, rows = self._vectors(tenant_id, model, table)
        row = keys.index(audio_id)
        part, length = self._part(model, by)
        similarities = rows[:, part] @ rows[row, part] / length
        similarities[row] = -np.inf
        if within is not None:
            members = embeddings.audio_ids(self._box.db, within, table)
            similarities[[key not in members for key in keys]] = -np.inf
        order = [i for i in nearest(similarities, k) if np.isfinite(similarities[i])]
        nearest_rows = ((audio.find_audio(self._box.db, keys[i]), float(similarities[i])) for i in order)
        return [Neighbor(recording, round(min(s, 1.0), 6)) for recording, s in nearest_rows if recording]

    def _why_no_vector(self, by: By) -> str:
        if by == "spectrum":
            return "The audio has no embedding; see processing_status and processing_error."
        if sound_model(self._box) is None:
            return f"by: {by} needs the model of the setting sound_model, which is not in the model store."
        return f"The audio cannot be searched by {by} yet: the learned search hears it in the background."

    def _part(self, model: str, by: By) -> tuple[slice, float]:
        """Return the columns of a vector that ``by`` means, and the square of their length. Raises ModelNotFound."""
        if by == "spectrum":
            return slice(None), 1.0
        parts = self._box.models.resolve(model).scoring.output.parts
        if by == "both":
            return slice(None), float(max(1, len(parts)))
        if by not in parts:
            raise NotReady(f"by: {model} has no part {by!r}.")
        before = sum([*parts.values()][: [*parts].index(by)])
        return slice(before, before + parts[by]), 1.0

    def _vectors(self, tenant_id: int, model: str, table: Table) -> tuple[list[str], np.ndarray]:
        """Return the audio ids and their vectors as they are now. New vectors are appended; a deletion rebuilds all."""
        with self._lock:
            index = self._indexes.setdefault((tenant_id, model, table), _Index())
        with index.lock:
            count, last = embeddings.count_embeddings(self._box.db, tenant_id, model, table)
            if (count, last) != (len(index.matrix.keys), index.last):
                self._append(index, tenant_id, model, table)
                if len(index.matrix.keys) != count:
                    index.matrix, index.last = VectorMatrix(), 0
                    self._append(index, tenant_id, model, table)
            return list(index.matrix.keys), index.matrix.rows

    def _append(self, index: _Index, tenant_id: int, model: str, table: Table) -> None:
        embedding_rows = embeddings.list_embeddings(self._box.db, tenant_id, model, index.last, table)
        if embedding_rows:
            rows = np.stack([np.frombuffer(row.vector, "<f4") for row in embedding_rows])
            index.matrix.append([row.audio_id for row in embedding_rows], rows)
            index.last = embedding_rows[-1].sequence
