"""Datasets: create, list, change, delete, and the wall between tenants."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.errors import NotFound
from appliance.services.box import Box
from appliance.services.datasets import audio, datasets
from tests.services.datasets.recordings import normalizing_audio, ready_audio, request_audio
from tests.support.boxes import queued_work


def test_a_new_dataset_is_empty(box: Box) -> None:
    dataset = datasets.create_dataset(box, 1, "Grüße", "")
    assert (dataset.name, dataset.description, dataset.num_audio) == ("Grüße", "", 0)
    assert datasets.find_dataset(box, 1, dataset.id) == dataset


def test_a_dataset_counts_its_audio(box: Box, dataset_id: str) -> None:
    request_audio(box, datasets.create_dataset(box, 1, "other", "").id)
    recording = request_audio(box, dataset_id)
    request_audio(box, dataset_id)
    assert datasets.find_dataset(box, 1, dataset_id).num_audio == 2
    audio.delete_audio(box, 1, dataset_id, recording.id)
    assert datasets.find_dataset(box, 1, dataset_id).num_audio == 1


@pytest.mark.parametrize(
    ("name", "description", "expected"),
    [
        (None, None, ("name", "description")),
        ("new", None, ("new", "description")),
        (None, "new", ("name", "new")),
        (None, "", ("name", "")),
    ],
)
def test_a_change_leaves_what_it_does_not_name(
    box: Box, dataset_id: str, name: str | None, description: str | None, expected: tuple[str, str]
) -> None:
    dataset = datasets.change_dataset(box, 1, dataset_id, name, description)
    assert (dataset.name, dataset.description) == expected
    assert dataset.updated_at >= dataset.created_at


def test_the_dataset_of_another_tenant_is_not_found(box: Box, dataset_id: str) -> None:
    before = datasets.find_dataset(box, 1, dataset_id)
    calls: list[Callable[[], object]] = [
        lambda: datasets.find_dataset(box, 2, dataset_id),
        lambda: datasets.change_dataset(box, 2, dataset_id, "theirs", None),
        lambda: datasets.delete_dataset(box, 2, dataset_id),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()
    assert datasets.list_datasets(box, 2, None, 10) == ([], None)
    assert datasets.find_dataset(box, 1, dataset_id) == before


def test_datasets_are_listed_in_pages_with_the_newest_first(box: Box) -> None:
    dataset_ids = [datasets.create_dataset(box, 1, f"{number}", "").id for number in range(3)]
    newest, before = datasets.list_datasets(box, 1, None, 2)
    oldest, end = datasets.list_datasets(box, 1, before, 2)
    assert [dataset.id for dataset in newest + oldest] == dataset_ids[::-1]
    assert end is None


def test_a_deleted_dataset_leaves_only_the_deletion_of_its_objects(box: Box, dataset_id: str) -> None:
    ready = ready_audio(box, dataset_id)
    recording, _ = normalizing_audio(box, dataset_id)
    datasets.delete_dataset(box, 1, dataset_id)
    with pytest.raises(NotFound):
        audio.find_audio(box, 1, dataset_id, ready)
    assert box.db.all("SELECT 1 FROM audio UNION SELECT 1 FROM embeddings") == []
    folder = f"tenant-1/dataset-{dataset_id}"
    assert set(queued_work(box)) == {("purge", f"{folder}/{ready}"), ("purge", f"{folder}/{recording.id}")}


def test_the_deletion_of_a_dataset_leaves_the_others(box: Box, dataset_id: str) -> None:
    kept = normalizing_audio(box, datasets.create_dataset(box, 1, "kept", "").id)[0]
    datasets.delete_dataset(box, 1, dataset_id)
    assert audio.find_audio(box, 1, kept.dataset_id, kept.id) == kept
    assert queued_work(box) == [("normalize", kept.id)]
