"""A dataset to begin with."""

from __future__ import annotations

import pytest

from appliance.services.box import Box
from appliance.services.datasets.datasets import create_dataset


@pytest.fixture
def dataset_id(box: Box) -> str:
    """An empty dataset of the tenant 1."""
    return create_dataset(box, 1, "name", "description").id
