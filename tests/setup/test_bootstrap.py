"""``scripts/bootstrap`` in a checkout of its own, with locks that ask for nothing, so that it needs no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.config import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts" / "requirements").mkdir(parents=True)
    shutil.copy2(ROOT / "scripts" / "bootstrap", tmp_path / "scripts" / "bootstrap")
    for name in ("runtime", "cuda", "test"):
        (tmp_path / "scripts" / "requirements" / f"{name}.txt").write_text(f"# {name}\n")
    (tmp_path / "appliance.py").write_text("")
    return tmp_path


def start(checkout: Path, mode: str = "runtime", **environment: str) -> subprocess.Popen:
    variables = os.environ | {"APPLIANCE_PYTHON": sys.executable, "PIP_NO_INDEX": "1"} | environment
    command = [checkout / "scripts" / "bootstrap", mode]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")


def bootstrap(checkout: Path, mode: str = "runtime", **environment: str) -> tuple[int, str]:
    """Exit status and what was said; nothing may be said on standard output."""
    process = start(checkout, mode, **environment)
    out, err = process.communicate(timeout=120)
    assert out == ""
    return process.returncode, err


def stub(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_first_call_sets_up_and_later_ones_are_quick_and_silent(checkout: Path):
    started = time.monotonic()
    status, said = bootstrap(checkout)
    first_seconds = time.monotonic() - started
    assert status == 0, said
    assert "packages are installed" in said
    python = checkout / ".venv" / "bin" / "python"
    subprocess.run([python, "-P", "-c", "import appliance"], check=True, cwd="/")
    started = time.monotonic()
    assert bootstrap(checkout) == (0, "")
    assert time.monotonic() - started < first_seconds / 5
    for name in ("runtime", "cuda"):
        (checkout / "scripts" / "requirements" / f"{name}.txt").write_text("# changed\n")
    assert "installing" in bootstrap(checkout)[1]
    assert "test.txt" in bootstrap(checkout, "test")[1]
    assert bootstrap(checkout, "test") == bootstrap(checkout) == (0, "")


def test_two_first_calls_at_once_make_one_environment(checkout: Path):
    both = [start(checkout), start(checkout)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "".join(said).count("making") == 1


def test_an_interrupted_set_up_is_made_anew(checkout: Path):
    process = start(checkout)
    while not (checkout / ".venv").exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    status, said = bootstrap(checkout)
    assert (status, "making" in said) == (0, True), said


def test_a_package_that_cannot_be_had_is_said_and_mended(checkout: Path):
    for name in ("runtime", "cuda"):
        lock = checkout / "scripts" / "requirements" / f"{name}.txt"
        lock.write_text(f"no-such-package==1 --hash=sha256:{'0' * 64}\n")
    status, said = bootstrap(checkout)
    assert status == 1
    assert "packages could not be installed" in said
    for name in ("runtime", "cuda"):
        (checkout / "scripts" / "requirements" / f"{name}.txt").write_text("# mended\n")
    assert bootstrap(checkout)[0] == 0


def test_an_old_python_is_refused(checkout: Path, tmp_path: Path):
    status, said = bootstrap(checkout, APPLIANCE_PYTHON=stub(tmp_path / "old", "exit 1"))
    assert status == 1
    assert "no Python 3.11 or newer" in said
    assert not (checkout / ".venv").exists()


def test_a_python_without_venv_says_what_to_install(checkout: Path, tmp_path: Path):
    script = f'case "$*" in *ensurepip*|*"-m "*) exit 1;; esac; exec "{sys.executable}" "$@"'
    status, said = bootstrap(checkout, APPLIANCE_PYTHON=stub(tmp_path / "debians", script))
    assert status == 1
    assert "apt install python3-venv" in said
    assert not (checkout / ".venv").exists()


def test_pip_makes_up_for_a_missing_ensurepip(checkout: Path, tmp_path: Path):
    script = f'case "$*" in *ensurepip*|*virtualenv*) exit 1;; esac; exec "{sys.executable}" "$@"'
    wheels = tmp_path / "wheels"
    import ensurepip

    shutil.copytree(Path(ensurepip.__file__).parent / "_bundled", wheels)
    python = stub(tmp_path / "debians", script)
    status, said = bootstrap(checkout, APPLIANCE_PYTHON=python, PIP_FIND_LINKS=str(wheels))
    assert status == 0, said
