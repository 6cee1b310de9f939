"""A run: clients send recordings, processes are killed at random moments, clocks are set, and then the audit compares.

``python -m tests.chaos.run --minutes N`` is the long run (``scripts/chaos``); ``test_chaos.py`` is the short one. The
seed decides which processes are killed and the pauses in between, but not what the processes do meanwhile. SIGTERM ends
the kills early; the audit and the table follow.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.storage.local_server import free_ports
from tests.chaos import faults
from tests.chaos.audit import Audit, audit
from tests.chaos.clients import Client, Ledger
from tests.chaos.clocks import DAY_SECONDS, Clock, why_no_clock
from tests.support.appliances import Appliance, make_models, running_appliance, wait_for
from tests.support.receivers import Receiver, receiving

NUM_CLIENTS = 3
LARGE_SHARE = 0.03  # of the uploads by form
LEASE_SECONDS = 4.0
# Two leases, the longest wait of the supervisor before it starts a process again, and time for a machine that is busy.
PATIENCE_SECONDS = 2 * LEASE_SECONDS + 30.0 + 120.0
RESTART_EVERY = 100  # kills between two restarts of the whole box, in the long run
STOP_EVERY = 250  # kills between two stops of storage
STEP_EVERY = 10  # kills between two steps of the clock
STEPS_DAYS = (-1, 1, 1, -1)  # in turn, so that it is a day behind, right, a day ahead, and right again
STOPPED_SECONDS = 60.0


@dataclass
class Run:
    """A finished run: how often each fault was tried, and the audit."""

    seed: int
    seconds: float
    faults: Counter[str] = field(default_factory=Counter)
    audit: Audit = field(default_factory=Audit)

    def table(self) -> str:
        """The figures, a line each."""
        lines = [("seed", self.seed), ("seconds", round(self.seconds))]
        lines += [(f"fault: {name}", count) for name, count in sorted(self.faults.items())]
        lines += [("faults in all", self.faults.total()), *self.audit.row().items()]
        return "\n".join(f"{name:28} {value}" for name, value in lines)


class Box:
    """The appliance under test. Unlike a fixture's, it can be killed as a whole and started again."""

    def __init__(self, folder: Path, models: Path, clock: Clock | None = None, **settings: object) -> None:
        self._folder, self._models = folder, models
        self._clock = clock
        self._settings: dict[str, Any] = {
            "port": free_ports(1)[0],
            "storage_server": "minio",
            "lease_seconds": LEASE_SECONDS,
            "webhook_networks": '["127.0.0.0/8"]',
            "webhook_retry_seconds": "[1, 1, 2, 4, 8, 16]",
            "decoders": 2,
        } | settings
        self._open = contextlib.ExitStack()
        self.appliance: Appliance = self._start()
        self.key = self.appliance.key

    def kill_all_and_start_again(self) -> None:
        """Kill the supervisor, with which all other processes die, and start the box on the same folder."""
        self.appliance.process.kill()
        self._open.close()
        self.appliance = self._start()

    def _start(self) -> Appliance:
        with self._clock.applied() if self._clock else contextlib.nullcontext():
            return self._open.enter_context(running_appliance(self._folder, self._models, **self._settings))

    def close(self) -> None:
        """Stop the box as an operator does."""
        self._open.close()


@contextlib.contextmanager
def sending(
    box: Box,
    receiver: Receiver,
    ledger: Ledger,
    seed: int,
    num_clients: int = NUM_CLIENTS,
    wait: Callable[[], None] = lambda: None,
    large_share: float = 0.0,
) -> Iterator[None]:
    """Let clients send until the block ends. They call ``wait`` before each recording."""
    stopping = threading.Event()
    clients = [
        Client(box.appliance.url, box.key, receiver.url, ledger, seed + number, stopping, wait, large_share)
        for number in range(num_clients)
    ]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        stopping.set()
        for client in clients:
            client.join()


def run(
    folder: Path,
    models: Path,
    seed: int,
    kills: int,
    seconds: float,
    mean_pause_seconds: float,
    ending: threading.Event | None = None,
    num_clients: int = NUM_CLIENTS,
) -> Run:
    """Kill processes under load until ``kills`` or ``seconds`` are reached or ``ending`` is set, then audit."""
    ending = ending or threading.Event()
    started, ledger, result = time.monotonic(), Ledger(), Run(seed, 0.0)
    random_source, steps = random.Random(seed), itertools.cycle(STEPS_DAYS)
    clock = None if why_no_clock() else Clock(folder.with_name(f"{folder.name}-clock"))
    with receiving() as receiver, contextlib.closing(Box(folder, models, clock)) as box:
        with sending(box, receiver, ledger, seed, num_clients, large_share=LARGE_SHARE):
            for number in range(1, kills + 1):
                if time.monotonic() - started > seconds:
                    break
                if ending.wait(random_source.expovariate(1 / mean_pause_seconds)):
                    break
                result.faults[f"kill {faults.kill_one(box.appliance, random_source)}"] += 1
                if clock and number % STEP_EVERY == 0:
                    days = next(steps)
                    clock.step(days * DAY_SECONDS)
                    result.faults[f"clock set by {days:+} day"] += 1
                if number % RESTART_EVERY == 0:
                    box.kill_all_and_start_again()
                    result.faults["kill everything, start again"] += 1
                if number % STOP_EVERY == 0:
                    faults.stop_storage(box.appliance, STOPPED_SECONDS)
                    result.faults[f"stop storage for {STOPPED_SECONDS:.0f} s"] += 1
            wait_for(box.appliance.ready)
            wait_for(lambda: len(ledger) > result.faults.total())  # a slow machine sends little between the kills
        result.audit = audit(ledger, receiver, box.appliance, PATIENCE_SECONDS)
    result.seconds = time.monotonic() - started
    return result


def main() -> int:
    """Run until the time is over. Returns 1 if the audit found a defect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long processes are killed (10)")
    parser.add_argument("--kills", type=int, default=10**6, help="end after this many kills")
    parser.add_argument("--seed", type=int, default=0, help="chooses the victims and the pauses (0)")
    parser.add_argument("--pause-seconds", type=float, default=2.0, help="mean pause between two faults (2)")
    parser.add_argument("--clients", type=int, default=NUM_CLIENTS, help=f"clients that send ({NUM_CLIENTS})")
    parser.add_argument("--json", type=Path, help="write the figures and every defect to this file")
    options = parser.parse_args()
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())  # ends the kills; the audit follows
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        models = make_models(Path(folder) / "models")
        result = run(
            Path(folder) / "data",
            models,
            options.seed,
            options.kills,
            60 * options.minutes,
            options.pause_seconds,
            ending,
            options.clients,
        )
        if not result.audit.faultless:
            kept = Path(tempfile.mkdtemp(prefix="chaos-kept-"))
            (Path(folder) / "data").rename(kept / "data")
            print(f"The data folder is kept in {kept}.", file=sys.stderr)
    print(result.table())
    if why_no_clock():
        print(f"No clock was set: {why_no_clock()}.")
    for name, value in vars(result.audit).items():
        for line in value if isinstance(value, list) else []:
            print(f"{name}: {line}")
    if options.json:
        figures = {"seed": result.seed, "seconds": result.seconds, "faults": result.faults}
        options.json.write_text(json.dumps(figures | vars(result.audit), indent=1))
    return 0 if result.audit.faultless else 1


if __name__ == "__main__":
    sys.exit(main())
