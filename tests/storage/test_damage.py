"""Objects whose files on the disk are damaged."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from appliance.errors import ObjectDamaged
from appliance.services.box import Box
from appliance.services.damage import check_readable
from tests.support.servers import RunningStorage


class StorageAlone:
    """The part of a box that reads need."""

    def __init__(self, storage: RunningStorage) -> None:
        self.objects = storage.store


def flip_a_bit(folder: Path) -> None:
    file = next(folder.rglob("part.1"))
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)


def zero_the_head(folder: Path) -> None:
    file = folder / "xl.meta"
    content = file.read_bytes()
    file.write_bytes(content[:10] + bytes(50) + content[60:])


@pytest.mark.parametrize("damage", [flip_a_bit, zero_the_head])
def test_a_damaged_object_is_noticed_soon(minio_storage: RunningStorage, damage: Callable[[Path], None]) -> None:
    """With each 503 MinIO asks to wait for 60 seconds. A lane that did would be blocked for three minutes."""
    box, bucket = cast(Box, StorageAlone(minio_storage)), minio_storage.access.bucket
    for key in ("damaged/a", "damaged/b"):
        minio_storage.store.put(key, bytes(2_000_000), content_type="audio/wav")
    damage(minio_storage.settings.data_dir / "objects" / "minio" / bucket / "damaged" / "a")
    started = time.monotonic()
    with pytest.raises(ObjectDamaged, match="cannot read damaged/a"):
        check_readable(box, "damaged/a")
    assert time.monotonic() - started < 60
    check_readable(box, "damaged/b")
