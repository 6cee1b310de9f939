"""Makes the shards of a plan. A shard's file of results is its checkpoint: a shard that has one is done."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import BinaryIO

from appliance.bulk import shards
from appliance.bulk.analyzer import Analyzer, Listener, Outcome
from appliance.bulk.places import Entry, Output, Source
from appliance.bulk.plan import SUCCESS, Plan, read_entries
from appliance.bulk.shards import TAIL_BYTES, NotReadable, Totals, detections_name
from appliance.config import Settings
from appliance.engine.scoring.scorer import Scorer
from appliance.errors import ConfigurationError, ObjectMissing, ScoringFailed, StorageUnavailable

READERS = 8
# These are no fault of a recording, and the next one would meet them too: the run ends, and goes on later.
FATAL = (StorageUnavailable, ScoringFailed)


class _Shard:
    """A shard in progress: its recordings, and what became of them so far."""

    def __init__(self, number: int, entries: list[Entry]) -> None:
        self.number = number
        self.entries = entries
        self.outcomes: dict[int, Outcome] = {}


class Shards:
    """Makes shards of one plan, with one model."""

    def __init__(
        self, plan: Plan, source: Source, output: Output, scorer: Scorer, settings: Settings, listener: Listener
    ) -> None:
        self._plan = plan
        self._plan_id = plan.id
        self._source = source
        self._output = output
        configuration = plan.configuration
        self._analyzer = Analyzer(scorer, configuration.detection, configuration.limits, settings.decoders, listener)
        self._tries = settings.max_decoder_deaths
        self._lock = threading.Lock()

    def make(self, numbers: Iterable[int]) -> None:
        """Analyze the recordings of shards, and write each shard when its last recording ends.

        A shard that is made again has the same bytes. While the last recordings of a shard are analyzed, the next one
        begins. Raises StorageUnavailable, StorageError, ScoringFailed, ConfigurationError; what was written stays.
        """
        self._analyzer.analyze_all(self._items(numbers), self._open, self._take, self._tries)

    def _items(self, numbers: Iterable[int]) -> Iterator[tuple[_Shard, int]]:
        for number in numbers:
            shard = _Shard(number, read_entries(self._output, self._plan, number))
            for place in range(len(shard.entries)):
                yield shard, place

    def _open(self, item: tuple[_Shard, int]) -> AbstractContextManager[BinaryIO]:
        shard, place = item
        return self._source.open(shard.entries[place])

    def _take(self, item: tuple[_Shard, int], outcome: Outcome) -> None:
        shard, place = item
        if isinstance(outcome.error, FATAL):
            raise outcome.error
        with self._lock:
            shard.outcomes[place] = outcome
            is_whole = len(shard.outcomes) == len(shard.entries)
        if is_whole:
            outcomes = [shard.outcomes[place] for place in range(len(shard.entries))]
            data = shards.write_detections(self._plan_id, shard.entries, outcomes)
            self._output.write(detections_name(shard.number), data)


def done_shards(plan: Plan, output: Output) -> dict[int, Totals]:
    """Return the totals of every shard that is done, by its number.

    Raises ConfigurationError if one is not of this plan.
    """
    names = output.names("detections")
    numbers = [number for number in range(len(plan.shards)) if detections_name(number).partition("/")[2] in names]
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(numbers, pool.map(partial(read_shard, plan.id, output), numbers), strict=True))


def read_shard(plan_id: str, output: Output, number: int) -> Totals:
    """Return the totals of a shard that is done. Raises ConfigurationError if it is not, or is of another plan."""
    name = detections_name(number)
    try:
        totals = shards.read_totals(output.read(name, TAIL_BYTES))
    except (NotReadable, ObjectMissing) as error:
        raise ConfigurationError(f"{name} is not a file of results: remove it, and run again.") from error
    if totals.plan != plan_id:
        raise ConfigurationError(f"{name} is of another plan than plan.json.")
    return totals


def finish(plan: Plan, output: Output) -> Totals:
    """Write ``_SUCCESS``, and return the totals of all shards. Raises ConfigurationError if one is missing."""
    done = done_shards(plan, output)
    if len(done) != len(plan.shards):
        raise ConfigurationError(f"{len(plan.shards) - len(done)} shards are missing: run again.")
    totals = add(plan, done.values())
    content = {"plan": totals.plan, "files": totals.files, "failed": totals.failed, "audio_ms": totals.audio_ms}
    output.write(SUCCESS, json.dumps(content).encode() + b"\n")
    return totals


def add(plan: Plan, parts: Iterable[Totals]) -> Totals:
    """Return the sums of totals."""
    rows = [(part.files, part.failed, part.audio_ms) for part in parts]
    return Totals(plan.id, *(sum(column) for column in zip(*rows, strict=True))) if rows else Totals(plan.id, 0, 0, 0)


def verify(plan: Plan, output: Output) -> tuple[Totals, list[str]]:
    """Read every shard, and compare it with its recordings.

    Returns the totals of the shards that are right, and a sentence for everything that is wrong or missing.
    """
    right: list[Totals] = []
    wrong: list[str] = []
    plan_id = plan.id

    def check(number: int) -> Totals | str:
        name = detections_name(number)
        try:
            return shards.check_rows(output.read(name), plan_id, read_entries(output, plan, number))
        except ObjectMissing:
            return f"{name} is missing."
        except NotReadable as error:
            return f"{name} {error}."
        except ConfigurationError as error:
            return str(error)

    with ThreadPoolExecutor(READERS) as pool:
        for result in pool.map(check, range(len(plan.shards))):
            if isinstance(result, str):
                wrong.append(result)
            else:
                right.append(result)
    if SUCCESS not in output.names():
        wrong.append(f"{SUCCESS} is missing.")
    return add(plan, right), wrong
