"""The decoder that estimates durations, one for all tests."""

from __future__ import annotations

import pytest

from appliance.config import Settings
from appliance.services.speech.durations import Durations


@pytest.fixture(scope="session")
def durations() -> Durations:
    """It starts its process at the first recording."""
    return Durations(Settings())
