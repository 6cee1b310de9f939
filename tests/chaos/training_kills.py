"""Kills a training with SIGKILL at random moments of each phase, and compares its model with one that was left alone.

``python -m tests.chaos.training_kills --kills N`` prints a row of a Markdown table for each phase. The training is the
small one of ``tests/engine/training``, in a process of its own, which begins with what one that was left alone had at
the beginning of the phase. Features and heads that were complete must not be made again, and every training must end
with the same file. A kill counts only if the training had not yet said that it was in the next phase.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import get_args

from appliance.engine.training.request import Phase, TrainingRequest
from appliance.engine.training.run import train
from tests.engine.training.recordings import request

PHASES: tuple[Phase, ...] = get_args(Phase)
MOST_KILLS = 7  # of one training
FORK = multiprocessing.get_context("fork")  # so that no process spends its time on imports


def run(asked: TrainingRequest, work: Path, said: Connection) -> None:
    """Train, and say which phase begins, then the SHA-256 of the model."""
    phases: list[Phase] = []

    def tell(phase: Phase, _: float) -> None:
        if phase not in phases:
            phases.append(phase)
            said.send(phase)

    said.send(train(asked, work, tell, lambda: False).report["sha256"])


@contextmanager
def child(target: Callable[[TrainingRequest, Path, Connection], None], *args: object) -> Iterator[Connection]:
    """Run a function in a process of its own, which is killed at the end. Yields what it says."""
    hears, says = FORK.Pipe(duplex=False)
    process = FORK.Process(target=target, args=(*args, says))
    process.start()
    says.close()
    try:
        yield hears
    finally:
        process.kill()
        process.join()
        hears.close()


def model_of(hears: Connection) -> str:
    """Wait until a training has ended. Returns the SHA-256 of its model."""
    word = hears.recv()
    while word in PHASES:
        word = hears.recv()
    return str(word)


def left_alone(asked: TrainingRequest, folder: Path, said: Connection) -> None:
    """Train once, and say the SHA-256 of the model and how long each phase took in seconds.

    ``folder`` gets the workspace as it was at the beginning of each phase, under its name.
    """
    began: dict[Phase, float] = {}
    work = folder / "work"

    def tell(phase: Phase, _: float) -> None:
        if phase not in began:
            shutil.copytree(work, folder / phase)
            began[phase] = time.monotonic()

    model = train(asked, work, tell, lambda: False).report["sha256"]
    ends = [*[*began.values()][1:], time.monotonic()]
    said.send((model, {phase: end - began[phase] for phase, end in zip(PHASES, ends, strict=True)}))


def parts_of(work: Path) -> dict[Path, int]:
    """Return when each head was written, and the last file of each recording's features."""
    return {path: path.stat().st_mtime_ns for path in [*work.glob("*.npz"), *work.glob("features/*.json")]}


def kill_in(asked: TrainingRequest, work: Path, phase: Phase, after: float) -> bool:
    """Kill a training ``after`` seconds of a phase. Returns False if the phase ended before that.

    Nothing that was complete is made again.
    """
    before = parts_of(work)
    with child(run, asked, work) as hears:
        while hears.recv() != phase:
            pass
        is_over = hears.poll(after)
    now = parts_of(work)
    assert {path: now[path] for path in before} == before, "a part was made again"
    return not is_over


def main() -> None:
    """Kill trainings, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="in each phase")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = request(folder)
        with child(left_alone, asked, folder) as hears:  # this process is forked again, and keeps no session of a model
            wanted, longest = hears.recv()
        print("| phase | kills | trainings | ended with the same file |\n|---|---|---|---|", flush=True)
        for phase in PHASES:
            kills = ended = same = 0
            while kills < options.kills:
                work = shutil.copytree(folder / phase, folder / "killed")
                left = longest[phase]
                for _ in range(chance.randint(1, min(MOST_KILLS, options.kills - kills))):
                    after = chance.uniform(0, left)
                    if kill_in(asked, work, phase, after):
                        kills += 1
                    else:
                        left = after  # what is left of the phase takes less
                with child(run, asked, work) as hears:
                    same += model_of(hears) == wanted
                ended += 1
                shutil.rmtree(work)
            print(f"| {phase} | {kills} | {ended} | {same} |", flush=True)


if __name__ == "__main__":
    main()
