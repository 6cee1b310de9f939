"""What ``detect --resume`` reads of the output file, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.cli.result_file import Held, PathSet, open_results
from appliance.errors import ConfigurationError


def line(name: str, error: str | None = None) -> bytes:
    return json.dumps({"file": name, "duration_ms": 1, "detections": [], "error": error}).encode() + b"\n"


def read(path: Path) -> Held:
    with open_results(path, resume=True) as (_, held):
        return held


def test_a_set_of_paths_says_which_are_new() -> None:
    paths = PathSet()
    names = [f"folder/{number}.wav" for number in range(5000)]  # it grows three times
    assert all(paths.add(name) for name in names)
    assert not any(paths.add(name) for name in names)
    assert len(paths) == 5000
    assert paths.add("odd \udcff name.wav")


def test_an_earlier_run_is_read(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(line("a") + line("b", "bad") + line("\udcff"))
    held = read(path)
    assert (len(held.paths), held.num_failed) == (3, 1)
    assert [held.paths.add(name) for name in ("a", "b", "c", "\udcff")] == [False, False, True, False]


@pytest.mark.parametrize("length", range(1, len(line("b"))))
def test_an_unfinished_last_line_is_cut_off(tmp_path: Path, length: int) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(line("a") + line("b")[:length])
    with open_results(path, resume=True) as (file, held):
        assert len(held.paths) == 1
        file.write(line("b"))
    assert path.read_bytes() == line("a") + line("b")


@pytest.mark.parametrize(
    "content",
    [
        b"Dear diary",
        b"Dear diary\n",
        b"[]\n",
        b"{}\n",
        b"1\n",
        b'{"file": 1, "error": null}\n',
        b'{"file": "x\n',
        b"\0",
    ],
)
def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(line("a") + content)
    with pytest.raises(ConfigurationError, match=r"Line 2 of .*out.jsonl is not a result"):
        read(path)
    assert path.read_bytes() == line("a") + content


def test_results_are_not_mixed_with_those_of_another_run(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with open_results(path, resume=False), pytest.raises(ConfigurationError, match="Another run"):
        read(path)
    path.write_bytes(line("a"))
    with pytest.raises(ConfigurationError, match="not empty"), open_results(path, resume=False):
        pass
    with pytest.raises(ConfigurationError, match="cannot be opened: Is a directory"):
        read(tmp_path)
