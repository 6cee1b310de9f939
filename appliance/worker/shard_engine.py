"""An engine for ``bulk``: what a node runs for a plan. It reads the buckets itself, with the node's own settings."""

from __future__ import annotations

from appliance.bulk.places import Output, open_output, open_source
from appliance.bulk.plan import PLAN, Plan, read_plan
from appliance.bulk.run import Shards, read_shard
from appliance.bulk.shards import Totals
from appliance.config import Settings
from appliance.engine.models.runtime import Provider
from appliance.errors import ApplianceError, ConfigurationError, NoEngine
from appliance.worker.asks import Ask, ShardAsk
from appliance.worker.engine import Engine

SHARDS = 2  # at once: the cores have work while the last recordings of one are analyzed


class ShardEngine(Engine):
    """Makes shards, as ``bulk run`` does without nodes. ``lanes`` recordings of a shard are analyzed at once."""

    def __init__(self, settings: Settings, provider: Provider, lanes: int) -> None:
        super().__init__(settings.model_copy(update={"decoders": lanes}), provider, SHARDS)
        self.lanes = SHARDS - 1  # as many as the box sends, but one
        self._plans: dict[str, Plan] = {}

    def _do(self, ask: Ask) -> Totals:
        """Make a shard, and return its totals. Raises NoEngine: what goes wrong may be the fault of this node."""
        assert isinstance(ask, ShardAsk)
        try:
            output = open_output(ask.out, self._settings)
            plan = self._plan(output, ask.plan_id)
            source = open_source(plan.configuration.source, self._settings, self._temporary)
            scorer = self._scorers_of(ask.digest).detector(ask.model)
            Shards(plan, source, output, scorer, self._settings, _Silence()).make([ask.number])
            return read_shard(ask.plan_id, output, ask.number)
        except ApplianceError as error:
            raise NoEngine(f"shard {ask.number}: {error}") from error

    def _plan(self, output: Output, plan_id: str) -> Plan:
        if plan_id not in self._plans:
            plan = read_plan(output)
            if plan.id != plan_id:
                raise ConfigurationError(f"{PLAN} is not the one with which the run began.")
            self._plans[plan_id] = plan
        return self._plans[plan_id]


class _Silence:
    """Tells nobody how far the lanes are. See Listener."""

    def hear(self, seconds: float) -> None:
        """Do nothing."""

    def end_file(self, *, failed: bool) -> None:
        """Do nothing."""

    def end_inputs(self, num_inputs: int) -> None:
        """Do nothing."""
