"""Fixtures that the tests of the engine share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.engine.decode.decoder import DecodeLimits, Decoder


@pytest.fixture(scope="session")
def decoder() -> Iterator[Decoder]:
    """A decoder with the limits that the appliance ships."""
    with Decoder(DecodeLimits()) as decoder:
        yield decoder


@pytest.fixture
def recording(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes bytes into a file. By default the file's name does not show its format."""

    def write(content: bytes, name: str = "recording") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write
