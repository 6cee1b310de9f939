"""``scripts/install`` below a folder, so without systemd. The packages are those of the tests, all else is real."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from appliance import ROOT

# The release's own code comes first, then the packages of the tests.
BOOTSTRAP = f"""#!/bin/sh
set -e
release=$(dirname "$(dirname "$(readlink -f "$0")")")
{os.path.realpath(sysconfig.get_path("scripts"))}/python -m venv --without-pip "$release/.venv"
cd "$release"/.venv/lib/python*/site-packages
printf '%s\\n' "$release" {sysconfig.get_path("purelib")} >release.pth
echo "$1" >>"$release/bootstraps"
"""
MIGRATION = """

@migrations()
def m999_upgrade(db: Database) -> None:
    db.execute("CREATE TABLE new_table (number INTEGER) STRICT")
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of this checkout, without the weights for speech."""
    folder = tmp_path / "source"
    for name in ("appliance", "config", "docs", "model_store", "scripts", "systemd"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "moonshine*", "train"))
    for name in ("setup.cfg", "LICENSE", "NOTICE", "README.md"):
        shutil.copy(ROOT / name, folder)
    write_script(folder / "scripts" / "bootstrap", BOOTSTRAP)
    write_script(folder / "scripts" / "install-speech", "#!/bin/sh\n")
    return folder


def write_script(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    return tmp_path / "machine"


def install(source: Path, machine: Path, *options: str | Path, status: int = 0) -> str:
    """Run the script. Returns what it printed."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")}
    kept = {name: os.environ[name] for name in ("APPLIANCE_CACHE", "APPLIANCE_MINIO") if name in os.environ}
    caches = {"APPLIANCE_CACHE": str(Path.home() / ".cache" / "appliance")}
    command: list[str | Path] = [source / "scripts" / "install", "--root", machine, *options]
    result = subprocess.run(
        command,
        env=inherited | caches | kept,
        capture_output=True,
        text=True,
    )
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout + result.stderr


def appliance(machine: Path, *arguments: str) -> str:
    """Run the installed command line. Returns what it printed."""
    command: list[str | Path] = [machine / "usr" / "local" / "bin" / "appliance", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def tables(machine: Path) -> str:
    python = machine / "opt" / "appliance" / "current" / ".venv" / "bin" / "python"
    code = "import sys, pysqlite3 as s; print(*s.connect(sys.argv[1]).execute('SELECT name FROM sqlite_master'))"
    database = machine / "var" / "lib" / "appliance" / "appliance.db"
    return subprocess.run([python, "-c", code, database], capture_output=True, text=True, check=True).stdout


def test_it_is_installed_upgraded_brought_back_and_removed(source: Path, machine: Path) -> None:
    data, settings = machine / "var" / "lib" / "appliance", machine / "etc" / "appliance"
    first = install(source, machine)
    assert len(re.findall(r"shown this once: ak_\S+", first)) == 1
    assert "ak_" not in install(source, machine)
    assert "or a node" in install(source, machine, "--cluster", "--node", "b", "--token-file", source, status=1)
    drop_in = machine / "etc" / "systemd" / "system" / "appliance-worker.service.d" / "with-nodes.conf"
    assert not drop_in.parent.exists()
    install(source, machine, "--cluster")
    assert drop_in.is_file()
    bootstraps = machine / "opt" / "appliance" / "current" / "bootstraps"
    assert bootstraps.read_text().split() == ["runtime", "cluster"]
    assert (machine / "etc" / "systemd" / "system" / "appliance-head.service").is_file()
    assert (machine / "etc" / "systemd" / "system" / "appliance-.service.d" / "common.conf").is_file()
    assert 'host = "0.0.0.0"' in (settings / "appliance.toml").read_text()
    assert {path.name for path in (settings / "secrets").iterdir()} == {
        "storage.json",
        "storage-access.json",
        "storage-address.json",
    }
    assert [path.stat().st_mode & 0o077 for path in (data, settings / "secrets")] == [0, 0]

    old_release = os.readlink(machine / "opt" / "appliance" / "current")
    with (source / "appliance" / "state" / "schema.py").open("a") as file:
        file.write(MIGRATION)
    shutil.copytree(source / "model_store" / "spectrum" / "1.0.0", source / "model_store" / "spectrum" / "2.0.0")
    assert "--upgrade" in install(source, machine, status=1)
    install(source, machine, "--upgrade")
    assert bootstraps.read_text().split() == ["cluster"]
    assert "new_table" in tables(machine)
    assert (data / "models" / "spectrum" / "2.0.0").is_dir()
    appliance(machine, "keys", "create", "later")

    install(source, machine, "--rollback")
    assert os.readlink(machine / "opt" / "appliance" / "current") == old_release
    assert "new_table" not in tables(machine)
    assert not (data / "models" / "spectrum" / "2.0.0").exists()
    names = appliance(machine, "keys", "list")
    assert "default" in names
    assert "later" not in names
    assert "no upgrade" in install(source, machine, "--rollback", status=1)

    install(source, machine, "--uninstall")
    assert not (machine / "opt" / "appliance").exists()
    assert not [*(machine / "etc" / "systemd" / "system").iterdir()]
    assert (data / "appliance.db").is_file()
    assert (settings / "secrets" / "storage.json").is_file()
    install(source, machine, "--uninstall", "--purge")
    assert not data.exists()
    assert not settings.exists()


def test_a_node_is_installed_upgraded_brought_back_and_removed(source: Path, machine: Path, tmp_path: Path) -> None:
    token, settings = tmp_path / "token", machine / "etc" / "appliance"
    token.write_text("0" * 64)
    assert "go together" in install(source, machine, "--node", "10.9.0.1", status=1)
    assert "has no token" in install(source, machine, "--node", "10.9.0.1", "--token-file", tmp_path / "no", status=1)
    install(source, machine, "--node", "10.9.0.1", "--token-file", token)
    assert "BOX=10.9.0.1\n" in (settings / "environment").read_text()
    secret = settings / "secrets" / "cluster-token"
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("0" * 64, 0o600)
    old_release = (machine / "opt" / "appliance" / "current").resolve()
    assert [*(old_release / "bin").iterdir()] == []
    assert not (machine / "var" / "lib" / "appliance" / "appliance.db").exists()
    unit = (machine / "etc" / "systemd" / "system" / "appliance-node.service").read_text()
    (options,) = re.findall(r"-m appliance.cli (node join .*)", unit)
    given = options.replace("${BOX}", "10.9.0.1").replace("%d", str(tmp_path / "none")).split()
    with pytest.raises(subprocess.CalledProcessError) as error:
        appliance(machine, *given)  # so it knows these options
    assert "The token file" in error.value.stderr

    with (source / "setup.cfg").open("a") as file:
        file.write("\n")
    install(source, machine, "--upgrade")
    assert (machine / "opt" / "appliance" / "current").resolve() != old_release
    assert "is back." in install(source, machine, "--rollback")
    assert (machine / "opt" / "appliance" / "current").resolve() == old_release

    install(source, machine, "--uninstall")
    assert not [*(machine / "etc" / "systemd" / "system").iterdir()]
    assert secret.is_file()


def test_a_bundle_without_the_packages_for_nodes_installs_no_node(source: Path, machine: Path, tmp_path: Path) -> None:
    (source / "scripts" / "requirements" / "cluster.txt").unlink()
    (tmp_path / "token").write_text("0" * 64)
    said = install(source, machine, "--node", "10.9.0.1", "--token-file", tmp_path / "token", status=1)
    assert "scripts/bundle --cluster" in said
