"""Run a detector on files: ours by the product's command, Essentia's in its own environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
FILES_PER_CALL = 60


def product(paths: list[Path], model: str, store: Path | None, threshold: float | None) -> list[dict]:
    """Return what ``appliance detect`` reports for each file, with a job's default configuration or another threshold.

    store : a model store other than the repository's, for a candidate.
    """
    command = [str(REPOSITORY / "scripts" / "appliance"), "detect", "--model", model, "--format", "json"]
    if threshold is not None:
        command += ["--threshold", str(threshold)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # ours is not theirs
    if store is not None:
        environment["APPLIANCE_MODEL_STORE"] = str(store.resolve())
    return _in_portions(command, paths, failure_codes=(0, 1), environment=environment)


def essentia(paths: list[Path], python: Path) -> list[dict]:
    return _in_portions([str(python), str(Path(__file__).with_name("essentia_detectors.py"))], paths)


def _in_portions(
    command: list[str],
    paths: list[Path],
    failure_codes: tuple[int, ...] = (0,),
    environment: dict[str, str] | None = None,
) -> list[dict]:
    """Return one answer per path, in order. A command that exits with 1 may still have answered for the other files."""
    answers: list[dict] = []
    for first in range(0, len(paths), FILES_PER_CALL):
        portion = paths[first : first + FILES_PER_CALL]
        done = subprocess.run(
            [*command, *map(str, portion)], capture_output=True, text=True, check=False, env=environment
        )
        if done.returncode not in failure_codes or not done.stdout.strip():
            raise RuntimeError(f"{' '.join(command[:4])} … ended with {done.returncode}:\n{done.stderr[-2000:]}")
        answered = {Path(item["file"]).name: item for item in json.loads(done.stdout)["files"]}
        answers += [answered[path.name] for path in portion]
        print(f"\r{len(answers)} of {len(paths)} files", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return answers
