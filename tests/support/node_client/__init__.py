"""The Node package of the hosted service, as scripts/install-node-client installs it, and a program that uses it."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from appliance.storage.binaries import cache_dir
from tests.support.appliances import PATIENCE_SECONDS
from tests.support.browser import NODE

LOCK = Path(__file__).parent / "package-lock.json"


def run_program(source: str, folder: Path, *arguments: str) -> str:
    """Run a module of JavaScript in a folder in which the package can be imported. Returns what it printed."""
    installed = cache_dir() / "node-client" / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    assert installed.is_dir(), "The Node package is not installed. Run scripts/install-node-client."
    (folder / "node_modules").symlink_to(installed / "node_modules")
    program = folder / "program.mjs"
    program.write_text(source)
    result = subprocess.run([NODE, program, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert result.returncode == 0, result.stderr
    return result.stdout
