"""Has the shards of a ``bulk`` run made by the nodes of a cluster. One that was lost with its node goes to another."""

from __future__ import annotations

import os
import queue
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing

from appliance.bulk.analyzer import Listener
from appliance.bulk.places import S3
from appliance.bulk.plan import Plan
from appliance.bulk.shards import Totals
from appliance.config import Settings
from appliance.engine.models.store import StoredModel
from appliance.errors import ConfigurationError, EngineLost
from appliance.services import cluster
from appliance.state.nodes import Node
from appliance.worker.asks import ShardAsk
from appliance.worker.crew import Ticket
from appliance.worker.shard_engine import ShardEngine

MOST_SENT = 2048  # shards that wait for an engine or are at one
LIMITS = ("max_decoder_deaths",)  # what else is as in the settings of this machine: the plan has the rest


def make_on_nodes(
    settings: Settings,
    plan: Plan,
    out: str,
    model: StoredModel,
    numbers: Sequence[int],
    listener: Listener,
    shown: Callable[[list[Node]], None],
) -> None:
    """Have shards made and written to ``out``. ``shown`` is told now and then what the nodes do.

    Raises ConfigurationError if there is no cluster, or if a folder is to be read or written; EngineLost if a shard
    was tried ``max_lost_engines`` times. What was written stays.
    """
    for name in (plan.configuration.source, out):
        if not name.startswith(S3):
            raise ConfigurationError(f"{name} is a folder of this machine: nodes read and write buckets only.")
    cluster.check_driver(settings)
    # Ray reads these as it is loaded.
    os.environ.update(cluster.environment(cluster.token_file(settings.data_dir)))
    from appliance.worker.ray_executor import RayEngines

    engines = RayEngines(settings, ShardEngine, LIMITS, shown=shown)
    with closing(engines):
        engines.start()
        digest, plan_id = engines.offer(model), plan.id
        asks = [
            ShardAsk(
                id=str(number),
                model=model.manifest.id,
                digest=digest,
                size_bytes=plan.shards[number].bytes,
                out=out,
                plan_id=plan_id,
                number=number,
            )
            for number in numbers
        ]
        for totals in results(engines.send, asks, settings.max_lost_engines):
            listener.hear(totals.audio_ms / 1000)
            for place in range(totals.files):
                listener.end_file(failed=place < totals.failed)


def results(send: Callable[[Ticket], None], asks: Iterable[ShardAsk], most_tries: int) -> Iterator[Totals]:
    """Send asks, and again those whose engine was lost. Yields the totals of each shard, in the order of their ends.

    Raises EngineLost if one was tried ``most_tries`` times.
    """
    waiting, tries = deque(asks), Counter[int]()
    ended: queue.SimpleQueue[Ticket] = queue.SimpleQueue()
    num_sent = 0
    while waiting or num_sent:
        while waiting and num_sent < MOST_SENT:
            ask = waiting.popleft()
            send(Ticket(ask, alone=tries[ask.number] > 0, told=ended.put))
            num_sent += 1
        ticket = ended.get()
        num_sent -= 1
        if isinstance(ticket.result, Totals):
            yield ticket.result
            continue
        assert isinstance(ticket.ask, ShardAsk)
        number = ticket.ask.number
        tries[number] += 1
        if tries[number] >= most_tries:
            raise EngineLost(f"Shard {number} was tried {most_tries} times. {ticket.result}")
        waiting.appendleft(ticket.ask)
