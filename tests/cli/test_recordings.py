"""Which recordings the arguments of ``detect`` name."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from appliance.bulk.recordings import Recording, count, expand

NO_LIST = io.BytesIO()


@pytest.fixture(autouse=True)
def takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.wav", "B.FLAC", "notes.txt", "take [1].wav", ".hidden.wav", "day/c.mp3", "day/deep/d.wav", "day/x"):
        path = tmp_path / "takes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "takes" / "empty").mkdir()
    (tmp_path / "takes" / "loop").symlink_to(tmp_path / "takes")


def paths(*arguments: str, stdin: bytes = b"") -> set[str]:
    recordings = list(expand(arguments, io.BytesIO(stdin)))
    assert not [recording for recording in recordings if recording.error]
    assert len(set(recordings)) == len(recordings)
    return {recording.path for recording in recordings}


def test_a_folder_gives_its_recordings_and_those_of_the_folders_below() -> None:
    below = {"takes/a.wav", "takes/B.FLAC", "takes/take [1].wav", "takes/day/c.mp3", "takes/day/deep/d.wav"}
    assert paths("takes") == paths("takes/**") == below


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("takes/*.wav", {"takes/a.wav", "takes/take [1].wav"}),
        ("*/?.wav", {"takes/a.wav"}),
        ("takes/day/[a-c].*", {"takes/day/c.mp3"}),
        ("takes/*/c.mp3", {"takes/day/c.mp3"}),
        ("takes/**/*.wav", {"takes/a.wav", "takes/take [1].wav", "takes/day/deep/d.wav"}),
        ("**/d.wav", {"takes/day/deep/d.wav"}),
        ("takes/*", {"takes/a.wav", "takes/B.FLAC", "takes/notes.txt", "takes/take [1].wav"}),
        ("takes/lo*/?.wav", {"takes/loop/a.wav"}),
        ("takes/day/*", {"takes/day/c.mp3", "takes/day/x"}),
        ("takes/take [1].wav", {"takes/take [1].wav"}),
    ],
)
def test_a_pattern_gives_the_files_that_match(pattern: str, expected: set[str], tmp_path: Path) -> None:
    assert paths(pattern) == expected
    assert paths(f"{tmp_path}/{pattern}") == {f"{tmp_path}/{path}" for path in expected}


def test_a_list_may_have_whatever_an_argument_may_be() -> None:
    lines = b"gone.wav\n\ntakes/day\n-\ntakes/?.wav\nodd \xff name.wav"
    expected = {"gone.wav", "takes/day/c.mp3", "takes/day/deep/d.wav", "-", "takes/a.wav", "odd \udcff name.wav"}
    assert paths("-", stdin=lines) == expected
    assert paths("first.wav", "-", stdin=b"second.wav\n") == {"first.wav", "second.wav"}


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("takes/empty", "The folder has no recordings."),
        ("takes/*.ogg", "No file matches the pattern."),
        ("nowhere/**/*.ogg", "No file matches the pattern."),
    ],
)
def test_what_leads_to_no_recording_is_reported(argument: str, reason: str) -> None:
    assert list(expand([argument], NO_LIST)) == [Recording(argument, reason)]


def test_a_folder_that_cannot_be_read_is_reported() -> None:
    user = os.geteuid()
    os.chmod(".", 0o755)
    os.chmod("takes/day", 0)
    try:
        if user == 0:  # who may read every folder
            os.seteuid(65534)
        recordings = list(expand(["takes"], NO_LIST))
    finally:
        os.seteuid(user)
        os.chmod("takes/day", 0o700)
    assert Recording("takes/day", "The folder cannot be read: Permission denied.") in recordings
    assert Recording("takes/a.wav") in recordings


def test_recordings_are_counted_without_taking_them(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("one.wav\ntwo.wav\n")
    with open("list", "rb") as stdin:
        assert count(["takes", "-", "x.wav"], stdin) == 5 + 2 + 1
        assert stdin.readline() == b"one.wav\n"
    reading, writing = os.pipe()
    with open(reading, "rb") as stdin, open(writing, "wb"):
        assert count(["takes", "-"], stdin) is None
