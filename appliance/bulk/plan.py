"""The plan of a bulk run: what is analyzed and how, cut into shards.

A plan is ``plan.json`` and one Parquet file of keys for each shard in ``manifest/``. It is complete when ``plan.json``
is there, which is written last, and it never changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from appliance.bulk import shards
from appliance.bulk.places import Entry, Output, Source
from appliance.config import Settings
from appliance.engine.decode.decoder import DecodeLimits
from appliance.engine.models.store import MANIFEST, ModelStore, StoredModel, check_checksum
from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import ConfigurationError, ObjectMissing

PLAN = "plan.json"
SUCCESS = "_SUCCESS"
SHARD_FILES = 1000
SHARD_BYTES = 2 * 10**9


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Shard(_Frozen):
    """A shard: how many recordings, how many bytes they have, and the SHA-256 of its file in ``manifest/``."""

    files: int
    bytes: int
    sha256: str


class Configuration(_Frozen):
    """All that the results depend on, but the recordings themselves. Two plans with the same have the same results."""

    source: str
    model: str  # <name>@<version>
    model_sha256: str
    manifest_sha256: str  # of the model's manifest, which has its own thresholds
    detection: DetectionConfig
    limits: DecodeLimits
    shard_files: int

    @classmethod
    def of(
        cls, source: str, model: StoredModel, detection: DetectionConfig, settings: Settings, shard_files: int
    ) -> Configuration:
        """Return the configuration of a new plan. Raises InvalidManifest if the model is not for detection."""
        return cls(
            source=source,
            model=model.manifest.id,
            model_sha256=model.scoring.sha256,
            manifest_sha256=_sha256(model.read(MANIFEST)),
            detection=detection,
            limits=DecodeLimits.from_settings(settings),
            shard_files=shard_files,
        )

    def differences(self, other: Configuration) -> list[str]:
        """Return a sentence for each value in which ``other`` differs."""
        mine, its = self.model_dump(), other.model_dump()
        return [f"{name} is {mine[name]}, not {its[name]}" for name in mine if mine[name] != its[name]]


class Plan(_Frozen):
    """A configuration, and the shards that the recordings were cut into."""

    format: Literal[1] = 1
    configuration: Configuration
    files: int
    bytes: int
    shards: list[Shard]

    @property
    def id(self) -> str:
        """A checksum over the whole plan, which every result carries."""
        return _sha256(self.model_dump_json().encode())


def make_plan(output: Output, source: Source, configuration: Configuration) -> Plan:
    """List the source, and write its plan; or return the plan that the output has, if its configuration is the same.

    Raises ConfigurationError if the output has a plan with another configuration, if it holds something else, and if
    the source has no recordings.
    """
    if PLAN in (names := output.names()):
        plan = read_plan(output)
        if differences := plan.configuration.differences(configuration):
            raise ConfigurationError(f"The output has another plan: {'; '.join(differences)}.")
        return plan
    if names - {"manifest"}:
        raise ConfigurationError(f"The output has no plan, but other things: {', '.join(sorted(names)[:3])}.")
    made: list[Shard] = []
    for number, entries in enumerate(cut(source.entries(), configuration.shard_files)):
        data = shards.write_manifest(entries)
        output.write(shards.manifest_name(number), data)
        made.append(Shard(files=len(entries), bytes=sum(entry.size_bytes for entry in entries), sha256=_sha256(data)))
    if not made:
        raise ConfigurationError(f"{configuration.source} has no recordings.")
    num_files, num_bytes = sum(shard.files for shard in made), sum(shard.bytes for shard in made)
    plan = Plan(configuration=configuration, files=num_files, bytes=num_bytes, shards=made)
    output.write(PLAN, plan.model_dump_json(indent=1).encode())
    return read_plan(output)  # whose id is that of every later reader: JSON has no integers in place of floats


def read_plan(output: Output) -> Plan:
    """Return the plan of an output. Raises ConfigurationError if it has none, or one that cannot be read."""
    try:
        return Plan.model_validate_json(output.read(PLAN))
    except ObjectMissing:
        raise ConfigurationError("The output has no plan: make one with `appliance bulk plan`.") from None
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise ConfigurationError(f"{PLAN} is not a plan: {place}: {fault['msg']}.") from error


def read_entries(output: Output, plan: Plan, number: int) -> list[Entry]:
    """Return the recordings of a shard. Raises ConfigurationError if they are not those of the plan."""
    name = shards.manifest_name(number)
    try:
        data = output.read(name)
    except ObjectMissing:
        raise ConfigurationError(f"{name} of the plan is missing.") from None
    if _sha256(data) != plan.shards[number].sha256:
        raise ConfigurationError(f"{name} was changed after the plan was made.")
    return shards.read_manifest(data)


def planned_model(store: ModelStore, plan: Plan) -> StoredModel:
    """Return the model of a plan. Raises ModelNotFound, InvalidManifest; ConfigurationError if it is another one."""
    wanted = plan.configuration
    model = store.resolve(wanted.model)
    check_checksum(model)
    if (model.scoring.sha256, _sha256(model.read(MANIFEST))) != (wanted.model_sha256, wanted.manifest_sha256):
        raise ConfigurationError(f"{wanted.model} of this model store has another checksum than the model of the plan.")
    return model


def cut(entries: Iterable[Entry], shard_files: int) -> Iterator[list[Entry]]:
    """Cut recordings into shards of at most ``shard_files`` and SHARD_BYTES; a larger one has a shard of its own."""
    shard: list[Entry] = []
    num_bytes = 0
    for entry in entries:
        if shard and (len(shard) == shard_files or num_bytes + entry.size_bytes > SHARD_BYTES):
            yield shard
            shard, num_bytes = [], 0
        shard.append(entry)
        num_bytes += entry.size_bytes
    if shard:
        yield shard


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
