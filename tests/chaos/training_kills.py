"""Kills a training with SIGKILL at random moments of each phase, and compares its model with one that was left alone.

``python -m tests.chaos.training_kills --kills N`` prints a row of a Markdown table for each phase. The training is the
small one of ``tests/engine/training``, in a process of its own. Features and heads that were complete must not be made
again, and every training must end with the same file.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from appliance import ROOT
from appliance.engine.training.request import Phase
from appliance.engine.training.run import train
from tests.engine.training.recordings import request

PHASES: tuple[str, ...] = get_args(Phase)


def run(folder: Path) -> None:
    """Train, and print each phase that begins, then the SHA-256 of the model."""
    said: list[Phase] = []

    def tell(phase: Phase, _: float) -> None:
        if phase not in said:
            said.append(phase)
            print(phase, flush=True)

    report = train(request(folder), folder / "work", tell, lambda: False)
    print(report.report["sha256"], flush=True)


@contextmanager
def training(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a training, or go on with it; it is killed at the end."""
    command = [sys.executable, "-m", "tests.chaos.training_kills", "--run", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_of(process: subprocess.Popen[str]) -> Iterator[tuple[str, float]]:
    """Yield each line with the time at which it came."""
    assert process.stdout
    for line in process.stdout:
        yield line.strip(), time.monotonic()


def parts_of(folder: Path) -> dict[Path, int]:
    """Return when each head was written, and the last file of each recording's features."""
    work = folder / "work"
    return {path: path.stat().st_mtime_ns for path in [*work.glob("*.npz"), *work.glob("features/*.json")]}


def kill_in(folder: Path, phase: str, longest: float, chance: random.Random) -> bool:
    """Kill the training in a phase. Returns False if it ended before that. Nothing that was complete is made again."""
    before = parts_of(folder)
    with training(folder) as process:
        killed = False
        for line, _ in lines_of(process):
            if line == phase:
                time.sleep(chance.uniform(0, longest))
                killed = process.poll() is None
                break
    after = parts_of(folder)
    assert {path: after[path] for path in before} == before, "a part was made again"
    return killed


def main() -> None:
    """Kill trainings, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="in each phase")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.run)
        return
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name, training(Path(name)) as process:
        told = list(lines_of(process))
    wanted = told[-1][0]
    times = dict(told)
    ends = [*(times[phase] for phase in PHASES[1:]), told[-1][1]]
    longest = {phase: end - times[phase] for phase, end in zip(PHASES, ends, strict=True)}
    print("| phase | kills | trainings | ended with the same file |\n|---|---|---|---|", flush=True)
    for phase in PHASES:
        kills = ended = same = 0
        while kills < options.kills:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                for _ in range(chance.randrange(1, 8)):
                    kills += kill_in(folder, phase, longest[phase], chance)
                with training(folder) as process:
                    same += list(lines_of(process))[-1][0] == wanted
                ended += 1
        print(f"| {phase} | {kills} | {ended} | {same} |", flush=True)


if __name__ == "__main__":
    main()
