"""``bulk`` on nodes that their box has drained, one of which is killed: the same results as on one machine."""

from __future__ import annotations

import subprocess
import sys
from signal import SIGSTOP
from typing import Any

from click.testing import CliRunner, Result

from appliance.bulk.shards import detections_name
from appliance.cli.__main__ import main
from appliance.config import Settings
from appliance.storage.bucket import Bucket
from tests.chaos.cluster import HEAD, PATIENCE_SECONDS, Cluster, send_signal
from tests.support.appliances import ROOT, environment, wait_for
from tests.support.toy_recordings import loud_wav

NUM_TAKES, SHARD_FILES = 24, 3
SRC, HERE, NODES = (f"s3://audio/{name}" for name in ("takes/", "here", "nodes"))


def bulk_on_nodes(cluster: Cluster) -> dict[str, Any]:
    """Run a plan here and by the nodes, of which one is killed as soon as it has a shard."""
    box = cluster.box.appliance
    env = environment(data_dir=box.data_dir, model_store=cluster.models, cluster_listen=HEAD, **cluster.keys)
    bucket = Bucket.of(Settings(data_dir=box.data_dir, **cluster.keys), "audio")  # type: ignore[arg-type]

    def bulk(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["bulk", *arguments], env=env, prog_name="appliance")

    for number in range(NUM_TAKES - 2):
        bucket.put(f"takes/{number:02}.wav", loud_wav(), "audio/wav")
    bucket.put("takes/bad.wav", b"Dear Sir or Madam", "audio/wav")
    bucket.put("takes/changed.wav", loud_wav(), "audio/wav")
    for out in (HERE, NODES):
        planned = bulk("plan", SRC, out, "--model", "loud-frames", "--shard-files", str(SHARD_FILES))
        assert planned.exit_code == 0, planned.output
    bucket.put("takes/changed.wav", loud_wav(100), "audio/wav")
    here = bulk("run", HERE)

    cluster.drain("two")
    cluster.wait_for_states(one="drained", two="drained")
    run = subprocess.Popen(
        [sys.executable, "-m", "appliance.cli", "bulk", "run", NODES, "--cluster"],
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: run.poll() is not None or cluster.decoders("one"), PATIENCE_SECONDS, 0.02)
    send_signal(cluster.engines("one"), SIGSTOP)  # it has a shard, and keeps it
    names = [detections_name(number) for number in range(NUM_TAKES // SHARD_FILES)]
    done = {item.key for item in bucket.list("nodes/detections/")}
    cluster.kill_node("one")
    stdout, stderr = run.communicate(timeout=PATIENCE_SECONDS)
    return {
        "bulk here": [here.exit_code, here.stdout],
        "bulk on nodes": [run.returncode, stdout],
        "bulk said": here.stderr + stderr,
        "bulk shards left at the kill": len(names) - len(done),
        "bulk shards that differ": [
            name for name in names if bucket.read(f"here/{name}") != bucket.read(f"nodes/{name}")
        ],
        "bulk verified": bulk("verify", NODES).exit_code,
    }
