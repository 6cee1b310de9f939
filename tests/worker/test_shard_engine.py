"""What a node does for ``bulk``, without a cluster: the bytes of one machine, and whose fault an error is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.bulk.places import open_output, open_source
from appliance.bulk.plan import Configuration, Plan, make_plan
from appliance.bulk.shards import Totals, detections_name
from appliance.config import Settings
from appliance.engine.models.packing import digest_of, pack
from appliance.engine.models.store import ModelStore, StoredModel
from appliance.engine.scoring.events import DetectionConfig
from appliance.errors import ConfigurationError, EngineLost, NoEngine
from appliance.services import cluster
from appliance.storage.bucket import Bucket
from appliance.storage.local_server import free_ports
from appliance.worker.asks import ShardAsk
from appliance.worker.bulk_on_nodes import make_on_nodes, results
from appliance.worker.crew import Ticket
from appliance.worker.shard_engine import ShardEngine
from tests.support.servers import RunningStorage
from tests.support.toy_recordings import loud_wav

pytestmark = pytest.mark.slow

OUT = "s3://audio/shard-engine/out"


@pytest.fixture
def settings(minio_storage: RunningStorage, models: Path, tmp_path: Path) -> Settings:
    """The settings of a node that may read and write the buckets."""
    access = minio_storage.access
    return Settings(
        data_dir=tmp_path,
        model_store=models,
        storage_endpoint=access.endpoint,
        storage_access_key=access.service.access_key,
        storage_secret_key=access.service.secret_key,
    )


@pytest.fixture
def model(models: Path) -> StoredModel:
    return ModelStore(models).resolve("loud-frames")


@pytest.fixture
def plan(settings: Settings, model: StoredModel) -> Plan:
    """A plan over three recordings, of which the last was changed later."""
    bucket = Bucket.of(settings, "audio")
    for name in ("a b.wav", "b.wav", "c.wav"):
        bucket.put(f"shard-engine/in/{name}", loud_wav(), "audio/wav")
    source = "s3://audio/shard-engine/in/"
    configuration = Configuration.of(source, model, DetectionConfig(), settings, 2)
    made = make_plan(open_output(OUT, settings), open_source(source, settings), configuration)
    bucket.put("shard-engine/in/c.wav", loud_wav(100), "audio/wav")
    return made


def do(settings: Settings, plan: Plan, model: StoredModel, **changes: Any) -> list[Any]:
    """Let an engine of its own make all shards. Returns what it replies."""
    engine = ShardEngine(settings, "cpu", 2)
    files = pack(model)
    digest = digest_of(files)
    engine.add_model(model.manifest.id, files, digest)
    values: dict[str, Any] = {"model": model.manifest.id, "digest": digest, "size_bytes": 1}
    values |= {"out": OUT, "plan_id": plan.id} | changes
    return engine.do([ShardAsk(id=str(number), number=number, **values) for number in range(len(plan.shards))])


def test_shards_are_made_at_once_and_again_with_the_same_bytes(
    settings: Settings, plan: Plan, model: StoredModel
) -> None:
    output = open_output(OUT, settings)
    totals = do(settings, plan, model)
    assert [(reply.files, reply.failed) for reply in totals if isinstance(reply, Totals)] == [(2, 0), (1, 1)]
    made = [output.read(detections_name(number)) for number in (0, 1)]
    assert do(settings, plan, model) == totals
    assert [output.read(detections_name(number)) for number in (0, 1)] == made
    assert [*(settings.data_dir / "tmp").iterdir()] == []


def test_what_a_node_lacks_is_its_own_fault_and_named(settings: Settings, plan: Plan, model: StoredModel) -> None:
    def reason(changes: dict[str, Any], **asked: Any) -> str:
        replies = do(settings.model_copy(update=changes), plan, model, **asked)
        assert [type(reply) for reply in replies] == [NoEngine, NoEngine]
        return str(replies[0])

    assert "needs storage_endpoint" in reason({"storage_endpoint": None})
    assert "did not respond" in reason({"storage_endpoint": f"http://127.0.0.1:{free_ports(1)[0]}"})
    assert "not the one with which the run began" in reason({}, plan_id="0" * 64)
    assert "has no plan" in reason({}, out="s3://audio/shard-engine/elsewhere")


def test_a_lost_shard_is_sent_again_alone_and_not_for_ever() -> None:
    asks = [ShardAsk(str(number), "m@1", "d", 1, OUT, "p", number) for number in range(3)]
    sent: list[tuple[int, bool]] = []

    def send(ticket: Ticket) -> None:
        number = int(ticket.ask.id)
        sent.append((number, ticket.alone))
        is_lost = number == 1 and sent.count((1, True)) < 2
        ticket.end(EngineLost("Its node left.") if is_lost else Totals("p", 1, 0, number))

    assert [totals.audio_ms for totals in results(send, asks, most_tries=3)] == [0, 2, 1]
    assert sent == [(0, False), (1, False), (2, False), (1, True), (1, True)]
    sent.clear()
    with pytest.raises(EngineLost, match=r"Shard 1 was tried 2 times\. Its node left\."):
        list(results(send, asks, most_tries=2))


def test_a_run_without_a_cluster_is_refused_with_the_fix(settings: Settings, plan: Plan, model: StoredModel) -> None:
    settings = settings.model_copy(update={"cluster_listen": f"127.0.0.1:{free_ports(1)[0]}"})

    def reason(out: str = OUT) -> str:
        with pytest.raises(ConfigurationError) as error:
            make_on_nodes(settings, plan, out, model, [0], None, lambda _: None)  # type: ignore[arg-type]
        return str(error.value)

    assert "folder of this machine" in reason("/out")
    assert "`appliance cluster token` makes it" in reason()
    cluster.make_token(settings.data_dir)
    assert "`appliance serve head`" in reason()
    cluster.token_file(settings.data_dir).chmod(0o644)
    assert "Other users can read the token file" in reason()
