"""``scripts/install-node-client`` with a stand-in for npm."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance import ROOT
from tests.support.appliances import PATIENCE_SECONDS

PROGRAMS = ("bash", "cp", "cut", "dirname", "env", "id", "mkdir", "mktemp", "mv", "readlink", "rm", "sha256sum")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder ``bin`` with what the script needs and an npm that notes its calls and installs an empty folder."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).symlink_to(str(shutil.which(name)))
    make_npm(tmp_path, f'echo "$*" >>{tmp_path}/calls; [[ -f $3/package-lock.json ]] && mkdir "$3/node_modules"')
    return tmp_path


def make_npm(machine: Path, command: str) -> None:
    (machine / "bin" / "npm").write_text(f"#!{shutil.which('bash')}\n{command}\n")
    (machine / "bin" / "npm").chmod(0o755)


def run(machine: Path) -> tuple[int, str]:
    """Return the exit status and standard error."""
    environment = {"PATH": str(machine / "bin"), "APPLIANCE_CACHE": str(machine / "cache")}
    command = [ROOT / "scripts" / "install-node-client"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    return result.returncode, result.stderr


def installed(machine: Path) -> list[Path]:
    return list((machine / "cache" / "node-client").iterdir())


def test_the_package_is_installed_once_without_its_scripts(machine: Path) -> None:
    status, stderr = run(machine)
    assert (status, len(stderr.splitlines())) == (0, 1), stderr
    [folder] = installed(machine)
    assert (folder / "node_modules").is_dir()
    assert run(machine) == (0, "")
    [call] = (machine / "calls").read_text().splitlines()
    assert call.startswith("ci ")
    assert "--ignore-scripts" in call


def test_a_failed_installation_leaves_nothing(machine: Path) -> None:
    make_npm(machine, 'mkdir "$3/node_modules"; exit 1')
    assert run(machine)[0] == 1
    assert installed(machine) == []
