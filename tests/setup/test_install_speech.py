"""``scripts/install-speech`` with packages made on the spot, from a folder in place of the index."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from appliance.config import ROOT

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
    """A wheel with these files, each holding its own name; its SHA-256."""
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
    """Exit status and what was said; nothing may be said on standard output."""
    own = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(machine),
        "APPLIANCE_CACHE": str(machine / "cache"),
        "STUB_LOG": str(machine / "python.log"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(machine / index),
        "PIP_CONFIG_FILE": os.devnull,
    }
    command = [machine / checkout / "scripts" / "install-speech", *arguments]
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    return done.returncode, done.stderr


def weights(machine: Path, checkout: str = "checkout") -> list[str]:
    """The files beside the manifest, each of which must hold what it should."""
    found = sorted(path.name for path in (machine / checkout / STORED).iterdir() if path.name != "manifest.toml")
    assert all((machine / checkout / STORED / name).read_text() == name for name in found)
    return found


def num_calls(machine: Path) -> int:
    log = machine / "python.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_the_weights_alone_are_put_beside_the_manifest(machine: Path) -> None:
    status, said = install(machine)
    assert status == 0, said
    assert weights(machine) == WEIGHTS
    left = [path.name for path in (machine / "cache" / "speech").iterdir() if path.name != ".lock"]
    assert len(left) == 1
    calls = num_calls(machine)
    assert install(machine) == install(machine, "--if-missing") == (0, "")
    assert num_calls(machine) == calls


def test_what_the_cache_has_is_not_asked_for_again(machine: Path) -> None:
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


def test_out_of_reach_it_says_so_once_and_the_rest_goes_on(machine: Path) -> None:
    status, said = install(machine, "--if-missing", index="nowhere")
    assert status == 0
    assert ["refused" in line for line in said.splitlines()] == [False, True]
    calls = num_calls(machine)
    status, said = install(machine, "--if-missing", index="nowhere")
    assert (status, len(said.splitlines()), "refused" in said) == (0, 1, True)
    assert num_calls(machine) == calls
    status, said = install(machine, index="nowhere")
    assert status == 1
    assert "No matching distribution" in said
    assert weights(machine) == []
    assert install(machine)[0] == 0
    assert weights(machine) == WEIGHTS


def test_another_package_than_the_locked_one_is_refused(machine: Path) -> None:
    name = next(iter(PACKAGES))
    make_wheel(machine / "index" / name, (*PACKAGES[name], "moonshine_voice/more.py"))
    status, said = install(machine)
    assert (status, "HASH" in said.upper()) == (1, True)
    assert weights(machine) == []


def test_other_weights_than_the_manifest_names_are_refused(machine: Path) -> None:
    manifest = machine / "checkout" / STORED / "manifest.toml"
    right = hashlib.sha256(WEIGHTS[0].encode()).hexdigest()
    manifest.write_text(manifest.read_text().replace(right, "0" * 64))
    status, said = install(machine)
    assert (status, f"{WEIGHTS[0]} has the SHA-256 {right}" in said) == (1, True)
    assert weights(machine) == []


def test_what_it_does_not_know_is_refused(machine: Path) -> None:
    assert install(machine, "--now")[0] == 1
    assert num_calls(machine) == 0
