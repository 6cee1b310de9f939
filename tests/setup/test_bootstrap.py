"""``scripts/bootstrap`` in a checkout of its own with empty lock files, so that it needs no network."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance import ROOT
from tests.support.appliances import PATIENCE_SECONDS


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts" / "requirements").mkdir(parents=True)
    shutil.copy2(ROOT / "scripts" / "bootstrap", tmp_path / "scripts" / "bootstrap")
    for name in ("runtime", "cuda", "cluster", "test"):
        (tmp_path / "scripts" / "requirements" / f"{name}.txt").write_text(f"# {name}\n")
    (tmp_path / "appliance.py").write_text("")
    return tmp_path


def start(checkout: Path, mode: str = "runtime", **environment: str) -> subprocess.Popen:
    variables = os.environ | {"APPLIANCE_PYTHON": sys.executable, "PIP_NO_INDEX": "1"} | environment
    command: list[str | Path] = [checkout / "scripts" / "bootstrap", mode]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")


def bootstrap(checkout: Path, mode: str = "runtime", **environment: str) -> tuple[int, str]:
    """Return the exit status and standard error. Standard output must be empty."""
    process = start(checkout, mode, **environment)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert out == ""
    return process.returncode, err


def cpu_seconds_of_children() -> float:
    """CPU time of the processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stub(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_first_call_sets_up_and_later_ones_are_quick_and_silent(checkout: Path) -> None:
    started = cpu_seconds_of_children()
    status, stderr = bootstrap(checkout)
    first_seconds = cpu_seconds_of_children() - started
    assert status == 0, stderr
    assert "packages are installed" in stderr
    python = checkout / ".venv" / "bin" / "python"
    subprocess.run([python, "-P", "-c", "import appliance"], check=True, cwd="/")
    started = cpu_seconds_of_children()
    assert bootstrap(checkout) == (0, "")
    assert cpu_seconds_of_children() - started < first_seconds / 5
    for name in ("runtime", "cuda"):
        (checkout / "scripts" / "requirements" / f"{name}.txt").write_text("# changed\n")
    assert "installing" in bootstrap(checkout)[1]
    assert "test.txt" in bootstrap(checkout, "test")[1]
    assert bootstrap(checkout, "test") == bootstrap(checkout) == (0, "")


def test_two_first_calls_at_once_make_one_environment(checkout: Path) -> None:
    both = [start(checkout), start(checkout)]
    stderr = [process.communicate(timeout=PATIENCE_SECONDS)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], stderr
    assert "".join(stderr).count("making") == 1


def test_an_interrupted_set_up_starts_again(checkout: Path) -> None:
    process = start(checkout)
    while not (checkout / ".venv").exists():
        time.sleep(0.01)
    process.kill()
    process.communicate()
    status, stderr = bootstrap(checkout)
    assert (status, "making" in stderr) == (0, True), stderr


def test_a_missing_package_is_reported_and_the_next_call_can_succeed(checkout: Path) -> None:
    for name in ("runtime", "cuda"):
        lock = checkout / "scripts" / "requirements" / f"{name}.txt"
        lock.write_text(f"no-such-package==1 --hash=sha256:{'0' * 64}\n")
    status, stderr = bootstrap(checkout)
    assert status == 1
    assert "packages could not be installed" in stderr
    for name in ("runtime", "cuda"):
        (checkout / "scripts" / "requirements" / f"{name}.txt").write_text("# changed\n")
    assert bootstrap(checkout)[0] == 0


def test_an_old_python_is_refused(checkout: Path, tmp_path: Path) -> None:
    status, stderr = bootstrap(checkout, APPLIANCE_PYTHON=stub(tmp_path / "old", "exit 1"))
    assert status == 1
    assert "no Python 3.11 or newer" in stderr
    assert not (checkout / ".venv").exists()


def test_a_python_without_venv_says_what_to_install(checkout: Path, tmp_path: Path) -> None:
    script = f'case "$*" in *ensurepip*|*"-m "*) exit 1;; esac; exec "{sys.executable}" "$@"'
    status, stderr = bootstrap(checkout, APPLIANCE_PYTHON=stub(tmp_path / "debians", script))
    assert status == 1
    assert "apt install python3-venv" in stderr
    assert not (checkout / ".venv").exists()


def test_pip_replaces_a_missing_ensurepip(checkout: Path, tmp_path: Path) -> None:
    script = f'case "$*" in *ensurepip*|*virtualenv*) exit 1;; esac; exec "{sys.executable}" "$@"'
    import ensurepip

    # Debian's package keeps the wheels of pip in a folder of its own.
    wheels = getattr(ensurepip, "_WHEEL_PKG_DIR", None) or Path(ensurepip.__file__).parent / "_bundled"
    python = stub(tmp_path / "debians", script)
    status, stderr = bootstrap(checkout, APPLIANCE_PYTHON=python, PIP_FIND_LINKS=str(wheels))
    assert status == 0, stderr
