"""Datasets: create, list, look at, change, delete."""

from __future__ import annotations

import uuid

from appliance.errors import NotFound
from appliance.services.box import Box
from appliance.state import audio, datasets, work
from appliance.state.datasets import Dataset


def create_dataset(box: Box, tenant_id: int, name: str, description: str) -> Dataset:
    """Make an empty dataset."""
    dataset_id = str(uuid.uuid4())
    with box.db.transaction():
        datasets.insert_dataset(box.db, dataset_id, tenant_id, name, description)
    return find_dataset(box, tenant_id, dataset_id)


def find_dataset(box: Box, tenant_id: int, dataset_id: str) -> Dataset:
    """The tenant's dataset. Raises NotFound."""
    dataset = datasets.get_dataset(box.db, tenant_id, dataset_id)
    if dataset is None:
        raise NotFound("There is no such dataset.")
    return dataset


def list_datasets(box: Box, tenant_id: int, before: int | None, limit: int) -> tuple[list[Dataset], int | None]:
    """A page of datasets, newest first, and the sequence that the next page starts before."""
    page = datasets.list_datasets(box.db, tenant_id, before, limit + 1)
    return page[:limit], page[limit - 1].sequence if len(page) > limit else None


def change_dataset(box: Box, tenant_id: int, dataset_id: str, name: str | None, description: str | None) -> Dataset:
    """Change what is given. Raises NotFound."""
    with box.db.transaction():
        find_dataset(box, tenant_id, dataset_id)
        datasets.update_dataset(box.db, dataset_id, name, description)
    return find_dataset(box, tenant_id, dataset_id)


def delete_dataset(box: Box, tenant_id: int, dataset_id: str) -> None:
    """Remove a dataset and its audio; the worker then deletes the objects. Raises NotFound."""
    with box.db.transaction():
        find_dataset(box, tenant_id, dataset_id)
        folders = [recording.folder for recording in audio.list_audio(box.db, dataset_id)]
        datasets.delete_dataset(box.db, dataset_id)
        for folder in folders:
            work.enqueue(box.db, "purge", folder, dataset_id)
