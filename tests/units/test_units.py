"""The units of systemd, as systemd-analyze reads them. It needs no running systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance import ROOT

LIMITS = {"api": 1.5, "frontdoor": 1.5, "storage": 2.0, "worker": 2.0, "node": 2.0, "head": 2.0}
NAMES = [f"appliance-{name}.service" for name in LIMITS]
VENDOR = Path("/lib/systemd/system")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root folder with the units, the targets of systemd that they refer to, and a program in place of Python."""
    shutil.copytree(ROOT / "systemd", tmp_path / "etc" / "systemd" / "system")
    vendor = tmp_path / "lib" / "systemd" / "system"
    vendor.mkdir(parents=True)
    for file in (*VENDOR.glob("*.target"), *VENDOR.glob("*.slice")):
        shutil.copy(file, vendor)
    python = tmp_path / "opt" / "appliance" / "current" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    shutil.copy("/bin/true", python)
    return tmp_path


def verify(machine: Path) -> str:
    """What systemd-analyze says against the units."""
    command = ["systemd-analyze", "verify", "--man=no", f"--root={machine}", "appliance.target", *NAMES]
    return subprocess.run(command, capture_output=True, text=True).stderr


def test_systemd_finds_no_fault_in_the_units(machine: Path) -> None:
    assert verify(machine) == ""


def test_systemd_finds_a_fault_if_there_is_one(machine: Path) -> None:
    file = machine / "etc" / "systemd" / "system" / "appliance-.service.d" / "common.conf"
    file.write_text(file.read_text() + "NoSuchSetting=yes\n")
    assert "NoSuchSetting" in verify(machine)


def test_the_services_are_no_more_exposed_than_promised() -> None:
    table = subprocess.run([ROOT / "scripts" / "exposure"], capture_output=True, text=True, check=True).stdout
    exposures = dict(re.findall(r"`appliance-(\w+)\.service` \| ([0-9.]+) ", table))
    assert exposures.keys() == LIMITS.keys()
    assert {name: value for name, value in exposures.items() if float(value) > LIMITS[name]} == {}
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs" / "operations.md").read_text()
    if f"By systemd {version.split()[1]}:" in page:  # another release counts in another way
        assert table in page


@pytest.mark.parametrize("name", ["api", "worker"])
def test_a_service_that_counts_itself_sees_what_it_needs_for_it(name: str) -> None:
    """Without /proc/stat prometheus-client gives no figures of the process: no memory, no open files."""
    assert "\nProcSubset=pid" not in (ROOT / "systemd" / f"appliance-{name}.service").read_text()
