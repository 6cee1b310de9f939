"""``scripts/install-speech`` with packages made by the test, from a folder instead of the package index."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from appliance import ROOT
from tests.support.appliances import PATIENCE_SECONDS

PACKAGES = {
    "moonshine_voice-0.0.59-py3-none-manylinux_2_34_x86_64.whl": (
        "moonshine_voice/assets/tiny-en/encoder_model.ort",
        "moonshine_voice/assets/tiny-en/decoder_model_merged.ort",
        "moonshine_voice/assets/tiny-en/tokenizer.bin",
    ),
    "silero_vad-6.2.3-py3-none-any.whl": ("silero_vad/data/silero_vad_16k_sequence.onnx",),
}
WEIGHTS = sorted(member.rpartition("/")[2] for members in PACKAGES.values() for member in members)
STORED = Path("model_store") / "moonshine-tiny-en" / "0.0.59"


def make_wheel(path: Path, members: tuple[str, ...]) -> str:
    """Write a wheel with these files, each of which contains its own name. Returns the wheel's SHA-256."""
    name, version, *_ = path.name.split("-")
    info = f"{name}-{version}.dist-info"
    tag = path.stem.removeprefix(f"{name}-{version}-")
    with zipfile.ZipFile(path, "w") as wheel:
        for member in members:
            wheel.writestr(member, member.rpartition("/")[2])
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """An index with both packages, an empty cache, and a checkout whose lock and manifest fit them."""
    (tmp_path / "index").mkdir()
    hashes = [make_wheel(tmp_path / "index" / name, members) for name, members in PACKAGES.items()]
    make_checkout(tmp_path / "checkout", hashes)
    return tmp_path


def make_checkout(folder: Path, hashes: list[str]) -> None:
    (folder / "scripts" / "requirements").mkdir(parents=True)
    shutil.copy2(ROOT / "scripts" / "install-speech", folder / "scripts" / "install-speech")
    lock = "moonshine-voice==0.0.59 --hash=sha256:{}\nsilero-vad==6.2.3 --hash=sha256:{}\n".format(*hashes)
    (folder / "scripts" / "requirements" / "speech.txt").write_text(lock)
    (folder / STORED).mkdir(parents=True)
    files = [
        f'[files.file{i}]\nname = "{name}"\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\n'
        for i, name in enumerate(WEIGHTS)
    ]
    (folder / STORED / "manifest.toml").write_text("\n".join(files))
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$*" >>"$STUB_LOG"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)


def install(machine: Path, *arguments: str, checkout: str = "checkout", index: str = "index") -> tuple[int, str]:
    """Return the exit status and standard error. Standard output must be empty."""
    variables = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(machine),
        "APPLIANCE_CACHE": str(machine / "cache"),
        "STUB_LOG": str(machine / "python.log"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(machine / index),
        "PIP_CONFIG_FILE": os.devnull,
    }
    command: list[str | Path] = [machine / checkout / "scripts" / "install-speech", *arguments]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert result.stdout == ""
    return result.returncode, result.stderr


def weights(machine: Path, checkout: str = "checkout") -> list[str]:
    """Return the names of the files beside the manifest, and check their contents."""
    names = sorted(path.name for path in (machine / checkout / STORED).iterdir() if path.name != "manifest.toml")
    assert all((machine / checkout / STORED / name).read_text() == name for name in names)
    return names


def num_calls(machine: Path) -> int:
    log = machine / "python.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_only_the_weights_are_put_beside_the_manifest(machine: Path) -> None:
    status, stderr = install(machine)
    assert status == 0, stderr
    assert weights(machine) == WEIGHTS
    folders = [path.name for path in (machine / "cache" / "speech").iterdir() if path.name != ".lock"]
    assert len(folders) == 1
    calls = num_calls(machine)
    assert install(machine) == install(machine, "--if-missing") == (0, "")
    assert num_calls(machine) == calls


def test_weights_in_the_cache_are_not_downloaded_again(machine: Path) -> None:
    install(machine)
    calls = num_calls(machine)
    shutil.copytree(machine / "checkout", machine / "second")
    for name in WEIGHTS:
        (machine / "second" / STORED / name).unlink()
    assert install(machine, checkout="second", index="nowhere")[0] == 0
    assert weights(machine, "second") == WEIGHTS
    (machine / "checkout" / STORED / WEIGHTS[0]).unlink()
    assert install(machine, index="nowhere")[0] == 0
    assert weights(machine) == WEIGHTS
    assert num_calls(machine) == calls


def test_a_failed_download_is_reported_and_not_repeated_at_once(machine: Path) -> None:
    status, stderr = install(machine, "--if-missing", index="nowhere")
    assert status == 0
    assert ["refused" in line for line in stderr.splitlines()] == [False, True]
    calls = num_calls(machine)
    status, stderr = install(machine, "--if-missing", index="nowhere")
    assert (status, len(stderr.splitlines()), "refused" in stderr) == (0, 1, True)
    assert num_calls(machine) == calls
    status, stderr = install(machine, index="nowhere")
    assert status == 1
    assert "No matching distribution" in stderr
    assert weights(machine) == []
    assert install(machine)[0] == 0
    assert weights(machine) == WEIGHTS


def test_another_package_than_the_locked_one_is_refused(machine: Path) -> None:
    name = next(iter(PACKAGES))
    make_wheel(machine / "index" / name, (*PACKAGES[name], "moonshine_voice/more.py"))
    status, stderr = install(machine)
    assert (status, "HASH" in stderr.upper()) == (1, True)
    assert weights(machine) == []


def test_other_weights_than_the_manifest_names_are_refused(machine: Path) -> None:
    manifest = machine / "checkout" / STORED / "manifest.toml"
    right = hashlib.sha256(WEIGHTS[0].encode()).hexdigest()
    manifest.write_text(manifest.read_text().replace(right, "0" * 64))
    status, stderr = install(machine)
    assert (status, f"{WEIGHTS[0]} has the SHA-256 {right}" in stderr) == (1, True)
    assert weights(machine) == []


def test_an_unknown_option_is_refused(machine: Path) -> None:
    assert install(machine, "--now")[0] == 1
    assert num_calls(machine) == 0
