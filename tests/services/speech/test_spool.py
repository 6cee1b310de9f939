"""The spool: what the sweep removes, and what it leaves alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from appliance.errors import ObjectMissing
from appliance.services.box import Box
from appliance.services.speech import batch_uploads, spool
from appliance.services.speech.durations import Durations
from tests.services.speech.arrivals import Incoming
from tests.support.boxes import CONTENT, claim


def make_older(folder: Path) -> None:
    """Make a folder old enough to be swept."""
    then = time.time() - spool.UNLOCKED_SECONDS - 1
    os.utime(folder, (then, then))


def leftover(box: Box) -> Path:
    """The file of a request that was interrupted, in a folder that is old enough to be swept."""
    path = box.settings.data_dir / "spool" / "interrupted" / "file"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    make_older(path.parent)
    return path


def test_the_files_of_an_interrupted_request_are_removed(box: Box) -> None:
    path = leftover(box)
    spool.sweep(box)
    assert not path.parent.exists()


def test_a_young_folder_is_left_alone(box: Box) -> None:
    path = leftover(box)
    os.utime(path.parent)
    spool.sweep(box)
    assert path.exists()


def test_the_folder_of_a_request_in_progress_is_left_alone(box: Box) -> None:
    with spool.folder_for(box, "slow") as folder:
        (folder / "file").write_bytes(b"half a file")
        make_older(folder)
        spool.sweep(box)
        assert (folder / "file").exists()


def test_spooled_media_is_kept_until_it_is_stored(box: Box, durations: Durations) -> None:
    upload = batch_uploads.accept(box, durations, 1, [Incoming()])
    folder = box.settings.data_dir / "spool" / upload.id
    path = spool.path_of(box, upload.files[0])
    make_older(folder)
    spool.sweep(box)
    assert path.read_bytes() == CONTENT
    batch_uploads.store(box, claim(box, "store"))
    folder.mkdir()
    path.write_bytes(CONTENT)  # as if the worker had died before it removed the file
    make_older(folder)
    spool.sweep(box)
    assert not folder.exists()


def test_a_sweep_needs_no_spool(box: Box) -> None:
    spool.sweep(box)


def test_media_without_a_file_is_missing(box: Box, durations: Durations) -> None:
    [media] = batch_uploads.accept(box, durations, 1, [Incoming()]).files
    spool.discard(box, media)
    with pytest.raises(ObjectMissing):
        spool.path_of(box, media)
    spool.discard(box, media)
