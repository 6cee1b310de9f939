"""Faults of a cluster: parts of it are killed or stopped. Each is noted, with the node that it met."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

from tests.chaos.cluster import Cluster, send_signal

# An engine lives longer than a decoder, and is there sooner than a node or a head.
WEIGHTS = {
    "kill engine": 6,
    "kill decoder": 5,
    "kill worker": 2,
    "kill node": 2,
    "kill raylet": 2,
    "kill head": 1,
    "kill gcs": 1,
    "stop engine": 1,
    "stop node": 1,
}
FIND_SECONDS = 2.0  # then another fault is chosen
GIVE_UP_SECONDS = 300.0
STOPPED_SECONDS = 30.0  # of a node, as if its machine stood still
ALL_NODES = ("worker", "head", "gcs")  # what no engine outlives


@dataclass(frozen=True)
class Fault:
    """What was done, when (seconds since the epoch), and to which node; "" if to the box."""

    name: str
    at: float
    node: str


class Faults:
    """Does one fault after the other, and lets what it ended start again, as systemd would."""

    def __init__(self, cluster: Cluster, random_source: random.Random) -> None:
        self.done: list[Fault] = []
        self._cluster = cluster
        self._random = random_source
        self._timers: list[threading.Timer] = []

    def one(self) -> str:
        """Do a fault that is chosen at random. Returns its name. Raises TimeoutError if none is possible."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            name = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            find_until = time.monotonic() + FIND_SECONDS
            while time.monotonic() < find_until:
                self.restart_nodes()
                if self.do(name):
                    return name
                time.sleep(0.02)
        raise TimeoutError(f"Nothing could be killed for {GIVE_UP_SECONDS:.0f} s.")

    def do(self, name: str) -> bool:
        """Do a fault. Returns False if what it would meet does not run now."""
        verb, part = name.split()
        if part == "node":
            nodes = [node for node in self._cluster.nodes if self._cluster.of_node(node)]
            if not nodes:
                return False
            node = self._random.choice(nodes)
            self._meet(verb, self._cluster.of_node(node))
        else:
            pids = self._cluster.pids(part)
            if not pids:
                return False
            pid = self._random.choice(pids)
            node = next((node for node in self._cluster.nodes if pid in self._cluster.of_node(node)), "")
            self._meet(verb, [pid])
        self.done.append(Fault(name, time.time(), node))
        if name == "kill node":
            self._cluster.nodes[node].wait()
            self.restart_nodes()
        return True

    def restart_nodes(self) -> None:
        """Start the nodes again that have ended."""
        for node, process in list(self._cluster.nodes.items()):
            if process.poll() is not None:
                self._cluster.join(node)

    def close(self) -> None:
        """Let everything go on that was stopped."""
        for timer in self._timers:
            timer.cancel()
            timer.function(*timer.args)

    def _meet(self, verb: str, pids: list[int]) -> None:
        send_signal(pids, SIGKILL if verb == "kill" else SIGSTOP)
        if verb == "stop" and len(pids) > 1:  # a stopped engine stays so: its node has to replace it
            self._timers.append(threading.Timer(STOPPED_SECONDS, send_signal, (pids, SIGCONT)))
            self._timers[-1].daemon = True
            self._timers[-1].start()


def reactions(log: Path, faults: list[Fault]) -> dict[str, list[float]]:
    """Return by fault how many seconds later the worker noticed, by its log.

    If the worker, the head or Ray's server in it was killed, that is when an engine was ready again. A fault does not
    count if another one met the same node, or the box, in between.
    """
    events = []
    for line in log.read_text().splitlines():
        with contextlib.suppress(ValueError):  # Ray prints too, sometimes into the middle of a line
            events.append(json.loads(line))
    seconds: dict[str, list[float]] = {}
    for number, fault in enumerate(faults):
        part = fault.name.split()[1]
        for event in events:
            at = datetime.fromisoformat(event["timestamp"]).timestamp()
            if at <= fault.at:
                continue
            if any(_disturbs(other, fault, part) for other in faults[number + 1 :] if other.at < at):
                break
            is_first = event["event"] == "engine ready" if part in ALL_NODES else _is_loss(event, fault.node)
            if is_first:
                seconds.setdefault(fault.name, []).append(at - fault.at)
                break
    return seconds


def _disturbs(other: Fault, fault: Fault, part: str) -> bool:
    return other.node in ("", fault.node) or part in ALL_NODES


def _is_loss(event: dict[str, str], node: str) -> bool:
    return event["event"] in ("engine lost", "node left") and event.get("node") == node
