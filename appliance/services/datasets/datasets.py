"""Datasets: create, list, read, change, delete."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from appliance.errors import NotFound
from appliance.services import audit
from appliance.services.box import Box
from appliance.services.paging import split_page
from appliance.services.purge import enqueue_purge
from appliance.state import audio
from appliance.state import datasets as dataset_rows
from appliance.state.datasets import ArtifactType, Dataset


def create_dataset(
    box: Box, tenant_id: int, name: str, description: str, artifact_types: Sequence[ArtifactType] = ()
) -> Dataset:
    """Create an empty dataset."""
    dataset_id = str(uuid.uuid4())
    with box.db.transaction() as tx:
        dataset_rows.insert_dataset(tx, dataset_id, tenant_id, name, description, artifact_types)
    return find_dataset(box, tenant_id, dataset_id)


def find_dataset(box: Box, tenant_id: int, dataset_id: str) -> Dataset:
    """Return the tenant's dataset. Raises NotFound."""
    dataset = dataset_rows.get_dataset(box.db, tenant_id, dataset_id)
    if dataset is None:
        raise NotFound("There is no such dataset.")
    return dataset


def list_datasets(
    box: Box, tenant_id: int, before: int | None, limit: int, offset: int = 0
) -> tuple[list[Dataset], int | None]:
    """Return a page of datasets, newest first, and the sequence before which the next page starts."""
    return split_page(dataset_rows.list_datasets(box.db, tenant_id, before, limit + 1, offset), limit)


def count_datasets(box: Box, tenant_id: int) -> int:
    """Return the number of the tenant's datasets."""
    return dataset_rows.count_datasets(box.db, tenant_id)


def change_dataset(
    box: Box,
    tenant_id: int,
    dataset_id: str,
    name: str | None,
    description: str | None,
    artifact_types: Sequence[ArtifactType] | None = None,
) -> Dataset:
    """Change the name, the description and the artifact types; None leaves the old ones. Raises NotFound.

    Annotations that exist keep their type, also if it is no longer defined.
    """
    with box.db.transaction() as tx:
        find_dataset(box, tenant_id, dataset_id)
        dataset_rows.update_dataset(tx, dataset_id, name, description, artifact_types)
    return find_dataset(box, tenant_id, dataset_id)


def delete_dataset(box: Box, tenant_id: int, dataset_id: str) -> None:
    """Remove a dataset and its audio. The worker then deletes the objects. Raises NotFound."""
    with box.db.transaction() as tx:
        find_dataset(box, tenant_id, dataset_id)
        folders = [recording.folder for recording in audio.list_audio(tx, dataset_id)]
        dataset_rows.delete_dataset(tx, dataset_id)
        audit.note(tx, "dataset deleted", dataset_id)
        for folder in folders:
            enqueue_purge(tx, tenant_id, folder)
