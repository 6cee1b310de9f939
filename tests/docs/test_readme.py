"""Every command of README.md and docs/inference.md is run as it stands there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time

import pytest

from appliance import ROOT
from appliance.storage.local_server import free_ports
from tests.support.appliances import PATIENCE_SECONDS

README = (ROOT / "README.md").read_text()
INFERENCE = (ROOT / "docs" / "inference.md").read_text()
SERVER_LINE = "URL=http://127.0.0.1:8080 KEY=ak_...\n"


def bash_blocks(page: str) -> list[str]:
    return re.findall(r"```bash\n(.*?)```", page, re.DOTALL)


def block(start: str) -> str:
    (text,) = [text for text in bash_blocks(README) if text.startswith(start)]
    return text


def bash(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=os.environ | environment,
        text=True,
        capture_output=True,
        timeout=3 * PATIENCE_SECONDS,
    )


@pytest.fixture(scope="module")
def appliance(tmp_path_factory):
    """``up`` as the README gives it, on a free port. Yields its URL and the key that it printed."""
    command = block("./scripts/appliance up").strip().replace("var", str(tmp_path_factory.mktemp("readme") / "var"))
    port = free_ports(1)[0]
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=ROOT,
        env=os.environ | {"APPLIANCE_PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        lines = []
        assert process.stdout
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Ready at"):
                break
        key = re.search(r"ak_\S+", "".join(lines))
        assert key, lines
        yield f"http://127.0.0.1:{port}", key.group()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0


@pytest.fixture
def session(appliance, tmp_path):
    """Runs the commands of a page in an empty folder, with the server's real URL and key."""
    url, key = appliance

    def run(page: str) -> str:
        assert page.count(SERVER_LINE) == 1
        script = page.replace(SERVER_LINE, f"URL={url} KEY={key}\n")
        script = script.replace("appliance/samples", str(ROOT / "appliance/samples"))
        result = bash(f"cd {tmp_path}\n{script}")
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def test_the_readme_is_short_and_every_block_is_run():
    assert len(README.splitlines()) < 150
    assert len(bash_blocks(README)) == 4


def test_the_two_commands_print_what_the_readme_shows():
    demo, test = block("./scripts/appliance demo").split("\n")[:2]
    result = bash(demo)
    assert result.returncode == 0, result.stderr
    # Labels only: the last digit of a time or a confidence depends on the processor.
    row = re.compile(r"^\W*(\w+)\W+\d:\d\d\.\d{3}\W+\d:\d\d\.\d{3}", re.MULTILINE)
    shown = re.findall(row, README)
    assert len(shown) > 5
    assert re.findall(row, result.stdout) == shown
    # The second command is what runs this test; running it here would never end.
    assert test == "./scripts/test"
    assert "exec ./scripts/test" in (ROOT / ".ci" / "run").read_text()


def test_detect_without_a_server():
    result = bash(block("./scripts/appliance detect"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("file,artifact_type,start_ms,end_ms,confidence,source\n")
    assert len(result.stdout.splitlines()) > 1


def test_the_lines_that_send_a_file(session):
    lines = block("URL=").replace("\\\n", "").splitlines()
    assert len(lines) == 5
    answer = json.loads(session("\n".join(lines)))
    deadline = time.monotonic() + PATIENCE_SECONDS
    # The README says to repeat the last line. It needs the first two and the answer that the third one stored.
    while answer["status"] != "completed" and time.monotonic() < deadline:
        time.sleep(0.5)
        answer = json.loads(session("\n".join([*lines[:2], lines[-1]])))
    assert answer["status"] == "completed"
    assert answer["detections"]


def test_the_page_on_inference(session):
    output = session("\n".join(bash_blocks(INFERENCE)))
    receipt, _, rest = output.partition("}")
    assert json.loads(receipt + "}")["status"] == "queued"
    file, end = json.JSONDecoder().raw_decode(rest.lstrip())
    assert file["status"] == "completed"
    assert file["detections"]
    assert rest.lstrip()[end:].split() == ["cancelled"]
