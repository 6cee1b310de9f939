"""A decoder process that a crafted file took over can do nothing but end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance import ROOT
from appliance.engine.confinement.confine import missing_confinement
from appliance.engine.decode import parent, wire
from appliance.engine.decode.decoder import DecodeLimits
from appliance.engine.decode.parent import DecoderChild
from tests.support import older_kernel, toy_models
from tests.support.appliances import PATIENCE_SECONDS
from tests.support.attacker import WORKED
from tests.support.encoded_files import clicks, wav

pytestmark = pytest.mark.slow  # each test starts processes
LIMITS = DecodeLimits()
FILE_CALLS = [
    "read a secret",
    "write to the database",
    "open another process's memory",
    "list a folder",
    "create a file",
    "create a folder",
    "create a link",
    "rename a file",
    "delete a file",
    "cut a file",
]


@dataclass
class Targets:
    """What an attacker would like to reach, and the file that names it."""

    file: Path
    folder: Path
    victim: subprocess.Popen[bytes]


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[Targets]:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("secret", "old", "doomed", "appliance.db"):
        (folder / name).write_text("not for a decoder")
    victim = subprocess.Popen(["sleep", "600"], env={"SECRET": "not for a decoder"})
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        unix.bind(str(tmp_path / "api.sock"))
        abstract.bind(f"\0{tmp_path}")
        unix.listen()
        abstract.listen()
        names = {
            "folder": str(folder),
            "secret": str(folder / "secret"),
            "database": str(folder / "appliance.db"),
            "victim": str(victim.pid),
            "port": str(tcp.getsockname()[1]),
            "unix": str(tmp_path / "api.sock"),
            "abstract": str(tmp_path),
        }
        file = tmp_path / "targets"
        file.write_text(json.dumps(names))
        yield Targets(file, folder, victim)
    assert victim.poll() is None
    victim.kill()
    victim.wait()


def attack(monkeypatch: pytest.MonkeyPatch, targets: Targets, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Let a decoder process without these means of confinement try everything, and return what came of it."""
    code = f"from tests.support import attacker; attacker.main({without!r})"
    monkeypatch.setattr(parent, "PROGRAM", ("-c", code))
    child = DecoderChild(1024**3)
    try:
        assert child.is_ready(PATIENCE_SECONDS)
        with (
            targets.file.open("rb") as file,
            open(child.request(file.fileno(), wire.Ask("mixed", 8_000), LIMITS), "rb") as pipe,
        ):
            answer = pipe.read()
    finally:
        child.kill()
    results: dict[str, str] = json.loads(answer[wire.HEADER.size :])
    return results


def fails_unless_reported(missing: dict[str, str]) -> bool:
    """Return whether the kernel lacks means of confinement. Then ``doctor`` must name each."""
    if missing:
        command = [sys.executable, "-m", "appliance.cli", "doctor"]
        report = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300).stdout
        assert all(f"no {name}" in report for name in missing), report
    return bool(missing)


def test_a_decoder_that_was_taken_over_can_do_nothing(monkeypatch: pytest.MonkeyPatch, targets: Targets) -> None:
    if fails_unless_reported(missing_confinement()):
        return
    results = attack(monkeypatch, targets)
    assert len(results) > 30
    assert {name: result for name, result in results.items() if result != "Operation not permitted"} == {}
    assert {path.name for path in targets.folder.iterdir()} == {"secret", "old", "doomed", "appliance.db"}
    assert (targets.folder / "secret").read_text() == "not for a decoder"


def test_the_same_calls_work_in_a_process_that_is_not_confined(
    monkeypatch: pytest.MonkeyPatch, targets: Targets
) -> None:
    """Otherwise the test above would show nothing."""
    results = attack(monkeypatch, targets, ("network namespace", "no_new_privs", "Landlock", "seccomp"))
    failed = {name for name, result in results.items() if result != WORKED}
    needs_root = {"fork", "start a program", "open the parent's memory", "trace a process"}
    needs_root |= {"open another process's memory", "read another process's memory", "open a ring of requests"}
    assert failed <= (set() if os.geteuid() == 0 else needs_root | {"load a program into the kernel"})


def test_landlock_alone_keeps_files_tcp_and_other_processes_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, targets: Targets
) -> None:
    if fails_unless_reported(missing_confinement()):
        return
    results = attack(monkeypatch, targets, ("network namespace", "seccomp"))
    for name in (*FILE_CALLS, "connect to TCP", "signal a process", "connect to an abstract UNIX socket"):
        assert results[name] != WORKED, name
    assert {path.name for path in targets.folder.iterdir()} == {"secret", "old", "doomed", "appliance.db"}


def test_the_network_namespace_alone_leads_nowhere(monkeypatch: pytest.MonkeyPatch, targets: Targets) -> None:
    if fails_unless_reported(missing_confinement()):
        return
    results = attack(monkeypatch, targets, ("Landlock", "seccomp"))
    assert results["connect to TCP"] == results["send UDP"] == "Network is unreachable"


@pytest.mark.parametrize(
    "missing",
    [
        {"Landlock": older_kernel.LANDLOCK},
        {"seccomp": older_kernel.SECCOMP},
        {
            "network namespace": older_kernel.UNSHARE,
            "Landlock": older_kernel.LANDLOCK,
            "seccomp": older_kernel.SECCOMP,
        },
    ],
    ids=" and ".join,
)
def test_an_older_kernel_decodes_and_doctor_says_what_is_missing(tmp_path: Path, missing: dict[str, int]) -> None:
    recording = tmp_path / "recording.wav"
    recording.write_bytes(wav(clicks(16_000, 1.0, [0.5]), 16_000))
    toy_models.window_model(tmp_path / "store")
    environment = os.environ | {"APPLIANCE_MODEL_STORE": str(tmp_path / "store")}
    environment["APPLIANCE_DEFAULT_MODEL"] = "loud-windows"
    numbers = ",".join(map(str, missing.values()))
    prefix = [sys.executable, "-m", "tests.support.older_kernel", numbers, sys.executable, "-m", "appliance.cli"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )

    assert run("detect", str(recording)).returncode == 0
    report = run("doctor", "--data-dir", str(tmp_path / "data"))
    for name in missing:
        line = next(line for line in report.stdout.splitlines() if f"no {name} " in line)
        assert "Function not implemented" in line
        assert line.startswith("ok " if name == "network namespace" else "FIX")
    assert report.returncode == 1
