"""Every command of the README is run as it stands there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest

from appliance.config import ROOT
from appliance.supervisor.ports import free_port

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)


def block(start: str) -> str:
    (found,) = [text for text in BLOCKS if text.startswith(start)]
    return found


def bash(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=os.environ | environment,
        text=True,
        capture_output=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def appliance(tmp_path_factory):
    """``up`` as the README gives it, on a free port; its URL and the key that it printed."""
    command = block("./scripts/appliance up").strip().replace("var", str(tmp_path_factory.mktemp("readme") / "var"))
    port = free_port("127.0.0.1")
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=ROOT,
        env=os.environ | {"APPLIANCE_PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        said = []
        assert process.stdout
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ready at"):
                break
        key = re.search(r"ak_\S+", "".join(said))
        assert key, said
        yield f"http://127.0.0.1:{port}", key.group()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_it_is_short_and_every_block_is_run():
    assert len(README.splitlines()) < 150
    assert len(BLOCKS) == 4


def test_the_two_commands():
    demo, test = block("./scripts/appliance demo").split("\n")[:2]
    result = bash(demo)
    assert result.returncode == 0, result.stderr
    truth = json.loads((ROOT / "appliance" / "samples" / "demo.json").read_text())
    heard = [row for row in result.stdout.splitlines() if re.search(r"\d:\d\d\.\d{3}", row)]
    found = {label for label in {d["artifact_type"] for d in truth["detections"]} if label in "".join(heard)}
    assert found, result.stdout
    # The second is what runs this test; running it here would never end.
    assert test == "./scripts/test"
    assert "exec ./scripts/test" in (ROOT / ".ci" / "run").read_text()


def test_detect():
    result = bash(block("./scripts/appliance detect"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("file,artifact_type,start_ms,end_ms,confidence\n")
    assert len(result.stdout.splitlines()) > 1


def test_the_curl_session(appliance, tmp_path):
    url, key = appliance
    first, _, session = block("URL=").partition("\n")
    assert first.startswith("URL=http://127.0.0.1:8080 KEY=")
    session = session.replace("appliance/samples", str(ROOT / "appliance/samples"))
    result = bash(f"cd {tmp_path}\nURL={url} KEY={key}\n{session}")
    assert result.returncode == 0, result.stderr
    receipt, _, file = result.stdout.partition("}")
    assert json.loads(receipt + "}")["status"] == "queued"
    assert json.loads(file)["status"] == "completed"
    assert json.loads(file)["detections"]
