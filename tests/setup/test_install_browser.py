"""``scripts/install-browser`` and ``scripts/install-jdk`` with a stand-in for apt-get."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance import ROOT
from tests.support.appliances import PATIENCE_SECONDS

PROGRAMS = ("bash", "cp", "dirname", "env", "readlink", "true")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A PATH with what the scripts need, as root, and an apt-get that notes its calls and installs nothing."""
    for name in PROGRAMS:
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    program(tmp_path, "id", "echo 0")
    program(tmp_path, "apt-get", f'echo "$*" >>"{tmp_path}/calls"')
    return tmp_path


def program(folder: Path, name: str, command: str) -> None:
    (folder / name).write_text(f"#!{shutil.which('bash')}\n{command}\n")
    (folder / name).chmod(0o755)


def installs(folder: Path, name: str) -> str:
    """Return the commands of an apt-get that notes its calls and installs this program."""
    return f'echo "$*" >>{folder}/calls\n[[ $* != *" install "* ]] || cp {folder}/true {folder}/{name}'


def run(machine: Path, script: str) -> tuple[int, str]:
    """Return the exit status and standard error. Standard output must be empty."""
    command = [ROOT / "scripts" / script]
    env = {"PATH": str(machine)}
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert result.stdout == ""
    return result.returncode, result.stderr


def calls(machine: Path) -> list[str]:
    file = machine / "calls"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize(
    ("script", "package", "name"),
    [("install-browser", "chromium", "chromium"), ("install-jdk", "default-jdk-headless", "javac")],
)
def test_root_gets_debians_package_once(machine: Path, script: str, package: str, name: str) -> None:
    program(machine, "apt-get", installs(machine, name))
    status, stderr = run(machine, script)
    assert (status, len(stderr.splitlines())) == (0, 1), stderr
    update, install = calls(machine)
    assert update.endswith(" update")
    assert install.endswith(f" --no-install-recommends {package}")
    assert run(machine, script) == (0, "")
    assert len(calls(machine)) == 2


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_an_installed_browser_is_enough(machine: Path, name: str) -> None:
    program(machine, name, "")
    assert run(machine, "install-browser") == (0, "")
    assert calls(machine) == []


@pytest.mark.parametrize("lacking", ["root", "apt-get"])
def test_without_root_or_apt_one_line_says_what_to_install(machine: Path, lacking: str) -> None:
    if lacking == "root":
        program(machine, "id", "echo 1000")
    else:
        (machine / "apt-get").unlink()
    for script, package in (("install-browser", "chromium"), ("install-jdk", "default-jdk-headless")):
        status, stderr = run(machine, script)
        assert (status, len(stderr.splitlines())) == (1, 1)
        assert stderr.rstrip().endswith(f"apt-get install {package}")
    assert calls(machine) == []


def test_a_failed_installation_fails(machine: Path) -> None:
    program(machine, "apt-get", "exit 100")
    status, stderr = run(machine, "install-browser")
    assert (status, "could not be installed" in stderr) == (1, True)


def test_a_package_without_the_program_fails(machine: Path) -> None:
    status, stderr = run(machine, "install-browser")
    assert (status, "is not on the PATH" in stderr) == (1, True)
