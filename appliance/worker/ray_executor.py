"""Engines on the nodes of a Ray cluster. The only module that imports ray.

Ray places engines and carries calls; it repeats nothing. What was sent and not answered goes back to who sent it: to
the queue, whose leases decide who may write a result, or to a run of ``bulk``. Ray reports a dead process, but no hung
one, so each engine is asked for a sign of life again and again; one that gives none is killed and replaced.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
import structlog
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from appliance.config import Settings, load_settings
from appliance.engine.models.packing import digest_of, pack
from appliance.engine.models.runtime import choose_provider
from appliance.engine.models.store import StoredModel, check_checksum
from appliance.errors import ApplianceError, ConfigurationError, EngineLost, InvalidManifest, NoEngine
from appliance.state.nodes import Node
from appliance.worker.asks import Ask, Reply
from appliance.worker.crew import Crew, Member, Shipment, Ticket
from appliance.worker.engine import Engine, lanes_of
from appliance.worker.places import Place

log = structlog.get_logger()

ENGINE = "engine"  # Ray's name for the places for engines on a node
STEP_SECONDS = 0.2
LOOK_SECONDS = 1.0
SHOW_SECONDS = 5.0  # if nothing changes; what changes is shown at the next look
START_SECONDS = 180.0  # of an engine, until its first sign of life
LONGEST_WAIT_SECONDS = 60.0


class EngineActor:
    """An engine in a process of its own on a node, which ends with the worker."""

    def __init__(self, kind: type[Engine], limits: dict[str, Any], engines: int) -> None:
        settings = load_settings(**limits)
        self._engine = kind(settings, choose_provider(settings.provider), lanes_of(settings, engines))

    @ray.method(concurrency_group="pulse")
    def pulse(self, cancelled: Sequence[str]) -> tuple[int, float]:
        """Return the number of lanes, and for how long a model has not answered. It also takes what to give up."""
        self._engine.cancel(cancelled)
        return self._engine.lanes, self._engine.longest_call_seconds()

    def do(self, asks: Sequence[Ask], models: dict[str, tuple[str, list[Any]]]) -> list[Reply | ApplianceError]:
        """Run the asks. ``models`` maps a digest to the id of the model and the reference to its files."""
        for digest, (model_id, reference) in models.items():
            if not self._engine.has_model(model_id, digest):
                self._engine.add_model(model_id, ray.get(reference[0]), digest)
        return self._engine.do(asks)


class RayEngines:
    """Engines of one kind on the nodes of the cluster, and what they are asked.

    limits : settings that a node takes from here instead of its own
    resized : is told how many asks there is room for
    drains : returns the ids of the nodes that are to have no engine
    shown : is told what the nodes do, when that changes and now and then
    """

    def __init__(
        self,
        settings: Settings,
        kind: type[Engine],
        limits: tuple[str, ...],
        *,
        resized: Callable[[int], None] = lambda _: None,
        drains: Callable[[], set[str]] = set,
        shown: Callable[[list[Node]], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._kind = kind
        self._limits = {name: getattr(settings, name) for name in limits}
        self._resized = resized
        self._drains_now = drains
        self._shown = shown
        self._crew = Crew()
        self._places: dict[str, Place] = {}
        self._drains: set[str] = set()
        self._pulses: dict[Member, tuple[Any, float]] = {}  # the question that is open, and since when
        self._digests: dict[Path, str] = {}  # of the models, by their folders
        self._files: dict[str, Any] = {}  # by digest, the reference to the files of a model
        self._lock = threading.Lock()
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
        self._next_look = self._next_show = 0.0
        self._last_shown: list[Node] = []

    def start(self) -> None:
        """Join the cluster as its driver. Raises ConfigurationError."""
        address = self._settings.cluster_listen
        deadline = time.monotonic() + START_SECONDS
        while not _joined(address):
            if time.monotonic() > deadline:
                raise ConfigurationError(f"The cluster at {address} did not answer for {START_SECONDS:.0f} s.")
            time.sleep(1.0)
        self._actor = ray.remote(concurrency_groups={"pulse": 1})(EngineActor)  # type: ignore[call-overload]
        self._thread.start()

    def send(self, ticket: Ticket) -> None:
        """Let an engine do what a ticket asks, as soon as one can. Its model was offered before."""
        self._events.put(lambda: self._crew.waiting.append(ticket))

    def offer(self, model: StoredModel) -> str:
        """Return the digest of a model, whose files are in Ray's store from now on. Raises InvalidManifest."""
        with self._lock:
            if model.folder not in self._digests:
                check_checksum(model)
                files = pack(model)
                digest = digest_of(files)
                self._files[digest] = ray.put(files)
                self._digests[model.folder] = digest
            return self._digests[model.folder]

    def close(self) -> None:
        """End the engines and leave the cluster."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(10)
        for ticket in self._crew.tickets:
            ticket.end(NoEngine("The driver leaves the cluster."))
        ray.shutdown()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._closing.is_set():
            try:
                self._take_events()
                now = time.monotonic()
                if now - last > self._settings.engine_deadline_seconds / 2:  # this process was frozen, not they
                    self._pulses = {member: (key, now) for member, (key, _) in self._pulses.items()}
                last = now
                self._step(now)
            except Exception as error:
                log.error("unexpected error; the cluster is looked at again", exc_info=error)
                self._closing.wait(1.0)

    def _take_events(self) -> None:
        with suppress(queue.Empty):
            self._events.get(timeout=STEP_SECONDS)()
            while True:
                self._events.get_nowait()()

    def _step(self, now: float) -> None:
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._follow_nodes(now)
            self._show(now)
        self._end_cancelled()
        for member in list(self._crew.members):
            self._check_pulse(member, now)
        while shipment := self._crew.next_shipment():
            self._send(*shipment, now)
        self._resized(self._crew.capacity())

    def _show(self, now: float) -> None:
        places = self._places.values()
        nodes = [place.node(self._members_of(place), is_drained=place.id in self._drains) for place in places]
        if nodes != self._last_shown or now >= self._next_show:
            self._shown(nodes)
            self._last_shown, self._next_show = nodes, now + SHOW_SECONDS

    def _end_cancelled(self) -> None:
        """End what its lane may not go on with: the worker stops, the lease is lost, or there is no engine at all."""
        for ticket in self._crew.tickets:
            try:
                if ticket.lane and not ticket.ended.is_set():
                    ticket.lane.checkpoint()
            except ApplianceError as error:
                ticket.end(error)
        if not self._crew.members:
            for ticket in [ticket for ticket in self._crew.waiting if ticket.lane]:  # which has other work
                ticket.end(NoEngine("No node of the cluster takes work now."))
                self._crew.waiting.remove(ticket)

    def _follow_nodes(self, now: float) -> None:
        """Notice nodes that came or went, and start the engines that are missing."""
        rows = ray.nodes()  # type: ignore[no-untyped-call]
        alive = {row["NodeID"]: row for row in rows if row["Alive"] and ENGINE in row["Resources"]}
        self._drains = self._drains_now()
        for node_id in self._places.keys() - alive.keys():
            for member in self._members_of(self._places[node_id]):
                self._lose(member, "its node left the cluster")
            log.warning("node left", node=self._places.pop(node_id).name)
        for node_id in alive.keys() - self._places.keys():
            place = self._places[node_id] = Place.of(alive[node_id], ENGINE)
            log.info("node joined", node=place.name, address=place.address, engines=place.engines, why=place.refusal)
        for place in self._places.values():
            self._staff(place, now)

    def _members_of(self, place: Place) -> list[Member]:
        return [member for member in self._crew.members if member.node_id == place.id]

    def _staff(self, place: Place, now: float) -> None:
        """Start the engines that a node lacks, or let those of a node go that is to be drained."""
        members = self._members_of(place)
        if place.id in self._drains:
            for member in members:
                self._drain(member, place)
        elif not place.refusal and now >= place.retry_at:
            for _ in range(place.engines - len(members)):
                self._start_engine(place, now)

    def _start_engine(self, place: Place, now: float) -> None:
        handle = self._actor.options(
            num_cpus=0,
            num_gpus=1 if place.has_gpus else 0,
            resources={ENGINE: 1},
            scheduling_strategy=NodeAffinitySchedulingStrategy(place.id, soft=False),
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=max(2, place.cores // place.engines) + 1,
        ).remote(self._kind, self._limits, place.engines)
        member = Member(place.id, handle)
        self._crew.members.append(member)
        self._ask_pulse(member, now)

    def _drain(self, member: Member, place: Place) -> None:
        """Let an engine end what it does, then end the engine."""
        member.lanes = 0
        if not member.shipments:
            place.files += member.files
            self._forget(member)

    def _ask_pulse(self, member: Member, now: float) -> None:
        cancelled = [
            ticket.ask.id for item in member.shipments.values() for ticket in item.tickets if ticket.ended.is_set()
        ]
        key = member.handle.pulse.remote(cancelled)
        self._pulses[member] = (key, now)
        self._when_done(key, lambda future: self._pulse_came(member, key, future))

    def _pulse_came(self, member: Member, key: Any, future: Any) -> None:
        if self._pulses.get(member, (None,))[0] != key:
            return
        if error := future.exception():
            self._lose(member, _why(error))
            return
        lanes, call_seconds = future.result()
        self._pulses[member] = (None, time.monotonic())
        if call_seconds > self._settings.hang_seconds:
            self._lose(member, f"a model has not answered for {call_seconds:.0f} s")
        elif not member.lanes and member.node_id not in self._drains:
            log.info("engine ready", node=self._places[member.node_id].name, lanes=lanes)
            member.lanes = lanes
            self._places[member.node_id].failures, self._places[member.node_id].fault = 0, ""

    def _check_pulse(self, member: Member, now: float) -> None:
        key, since = self._pulses[member]
        if key is None:
            if now - since >= LOOK_SECONDS:
                self._ask_pulse(member, now)
            return
        allowed = self._settings.engine_deadline_seconds if member.lanes else START_SECONDS
        if now - since > allowed:
            self._lose(member, f"it gave no sign of life for {allowed:.0f} s")

    def _send(self, member: Member, tickets: list[Ticket], now: float) -> None:
        models = {}
        for ticket in tickets:
            if ticket.ask.digest not in member.models:
                models[ticket.ask.digest] = (ticket.ask.model, [self._files[ticket.ask.digest]])
        key = member.handle.do.remote([ticket.ask for ticket in tickets], models)
        member.shipments[key] = Shipment(tickets, now)
        self._when_done(key, lambda future: self._answers_came(member, key, future))

    def _answers_came(self, member: Member, key: Any, future: Any) -> None:
        if member not in self._pulses or key not in member.shipments:  # the engine was given up before
            return
        error = future.exception()
        if isinstance(error, RayError) and not isinstance(error, ray.exceptions.RayTaskError):
            self._lose(member, _why(error))
            return
        digests = {ticket.ask.digest for ticket in member.shipments[key].tickets}
        tickets = member.came_back(key, time.monotonic())
        if error:  # for all of them, such as a model that cannot be kept on the node
            cause = getattr(error, "cause", error)
            answer = cause if isinstance(cause, InvalidManifest) else ApplianceError(f"The engine failed: {cause}.")
            for ticket in tickets:
                ticket.end(answer)
            return
        member.models |= digests
        name = self._places[member.node_id].name
        for ticket, answer in zip(tickets, future.result(), strict=True):
            ticket.end(NoEngine(f"The node {name}: {answer}.") if isinstance(answer, NoEngine) else answer)
        if blind := next((answer for answer in future.result() if isinstance(answer, NoEngine)), None):
            self._lose(member, str(blind), type(blind), LONGEST_WAIT_SECONDS)

    def _lose(
        self, member: Member, why: str, error: type[EngineLost | NoEngine] = EngineLost, wait_seconds: float = 0.0
    ) -> None:
        """Give an engine up: what it has goes back to the queue. A new one is started after ``wait_seconds``."""
        if member not in self._pulses:
            return
        place = self._places[member.node_id]
        place.lost += 1
        place.failures = 0 if member.lanes and member.files else place.failures + 1
        wait_seconds = max(wait_seconds, min(2.0**place.failures - 1, LONGEST_WAIT_SECONDS))
        place.retry_at = time.monotonic() + wait_seconds
        place.fault, place.files = f"an engine was lost: {why}", place.files + member.files
        log.warning("engine lost", node=place.name, reason=why, files=member.busy)
        for shipment in member.shipments.values():
            for ticket in shipment.tickets:
                ticket.end(error(f"The engine on the node {place.name} was lost: {why}."))
        self._forget(member)

    def _forget(self, member: Member) -> None:
        self._crew.members.remove(member)
        del self._pulses[member]
        with suppress(RayError):
            ray.kill(member.handle, no_restart=True)

    def _when_done(self, key: Any, action: Callable[[Any], None]) -> None:
        key.future().add_done_callback(lambda future: self._events.put(lambda: action(future)))


def _joined(address: str) -> bool:
    """Whether this process could join the cluster as its driver. Its head may still be starting."""
    try:
        ray.init(
            address=address,
            _node_ip_address=address.rpartition(":")[0],
            namespace="appliance",
            log_to_driver=False,
            configure_logging=False,
        )
    except (RayError, ConnectionError, RuntimeError, ValueError) as error:
        log.warning("the cluster does not answer", address=address, error=str(error))
        return False
    return True


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
