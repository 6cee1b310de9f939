"""``python -m tests.chaos.cluster_run FOLDER MODELS``: a box with nodes, and what becomes of files there.

For a network namespace of its own. It prints what happened as one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import time
from functools import partial
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

import certifi

from tests.chaos.audit import audit
from tests.chaos.clients import Ledger
from tests.chaos.cluster import PATIENCE_SECONDS, Cluster, loopback_up, send_signal
from tests.chaos.cluster_bulk import bulk_on_nodes
from tests.chaos.cluster_faults import Faults
from tests.chaos.run import sending
from tests.support.receivers import receiving
from tests.support.speech_sample import SAMPLE
from tests.support.toy_recordings import loud_wav

OTHER_VERSION = (
    "import sys; from appliance.services import cluster; from appliance.supervisor import ray_node; "
    "ray_node.versions = lambda: '0.0.9_other'; from appliance.cli.node import node; node()"
)

CLIENT_PAUSE_SECONDS = 1.0
BEGAN = time.monotonic()


def note(step: str) -> None:
    """Say when a step begins."""
    print(f"{time.monotonic() - BEGAN:6.1f} s: {step}", file=sys.stderr, flush=True)


def send(cluster: Cluster, count: int, *bad: bytes) -> str:
    """Send good recordings, and bad ones. Returns their job."""
    api = cluster.box.appliance.api
    job_id = api.make_job()
    for content in [*[loud_wav()] * count, *bad]:
        api.send(job_id, content)
    return job_id


def ends(cluster: Cluster, job_id: str) -> list[list[Any]]:
    """Wait until a job has ended. Returns the status, error and detections of each of its files."""
    api = cluster.box.appliance.api
    cluster.wait_for(lambda: (job := api.job(job_id))["total_files"] == job["processed_files"])
    files = api.job(job_id)["files"]
    return [[file["status"], file["error_code"], file["detections"]] for file in files]


def spoken(cluster: Cluster) -> dict[str, Any]:
    """Have the spoken sample transcribed. Returns the transcript."""
    api = cluster.box.appliance.api
    headers = {"Authorization": api.key or ""}
    upload = api.session.post(f"{api.url}/v2/upload", data=SAMPLE.read_bytes(), headers=headers).json()
    body = {"audio_url": upload["upload_url"]}
    url = f"{api.url}/v2/transcript"
    url += "/" + api.session.post(url, json=body, headers=headers).json()["id"]

    def ended() -> Any:
        transcript = api.session.get(url, headers=headers).json()
        return transcript if transcript["status"] in ("completed", "error") else None

    return cluster.wait_for(ended)


def frozen_with_files(cluster: Cluster, count: int) -> tuple[list[int], str]:
    """Stop the engines and send files until each node has some. Returns the engines and the job."""
    engines = cluster.engines("one") + cluster.engines("two")
    send_signal(engines, SIGSTOP)
    job_id = send(cluster, count)
    cluster.wait_for(lambda: all(cluster.listed()[name].busy for name in ("one", "two")))
    return engines, job_id


def tell(cluster: Cluster) -> dict[str, Any]:
    """Go through everything that can happen once."""
    note("nodes join")
    cluster.join_all("one", "two")
    cluster.join("old", "-c", OTHER_VERSION)
    wrong = cluster.token.with_name("wrong")
    wrong.touch(0o600)
    wrong.write_text("0" * 64)
    cluster.join("stranger", token=wrong)
    note("files")
    facts: dict[str, Any] = {}
    facts["first"] = ends(cluster, send(cluster, 12, b"text"))

    def analyzed() -> int:
        return sum(node.files for node in cluster.listed().values())

    cluster.wait_for(lambda: analyzed() >= len(facts["first"]))
    before = analyzed()
    note("speech")
    facts["transcript"] = spoken(cluster)
    facts["transcribed"] = cluster.wait_for(lambda: analyzed() - before)
    note("those that are refused")
    cluster.wait_for_states(one="ready", two="ready", old="refused")
    facts["refused"] = cluster.listed()["old"].reason
    cluster.nodes.pop("old").terminate()

    note("files are cancelled")
    engines, job_id = frozen_with_files(cluster, 12)
    cluster.box.appliance.api.cancel(job_id)
    send_signal(engines, SIGCONT)
    facts["cancelled"] = sorted({file[0] for file in ends(cluster, job_id)})

    note("an engine is killed, another hangs")
    engines, job_id = frozen_with_files(cluster, 12)
    send_signal(engines[:1], SIGKILL)  # the other one hangs
    facts["second"] = ends(cluster, job_id)
    cluster.wait_for(lambda: not set(cluster.engines()) & set(engines))
    cluster.wait_for(lambda: all(cluster.listed()[name].lost_engines for name in ("one", "two")))

    note("the stranger has given up")
    facts["exit status with a wrong token"] = cluster.nodes.pop("stranger").wait(PATIENCE_SECONDS)
    facts["output with a wrong token"] = cluster.output("stranger").read_text()

    note("a node does not trust storage")
    cluster.join("blind", APPLIANCE_STORAGE_CA_FILE=certifi.where())
    cluster.wait_for_states(one="ready", two="ready", blind="ready")
    others = cluster.engines("one") + cluster.engines("two")
    send_signal(others, SIGSTOP)  # so that some files go to the third
    job_id = send(cluster, 8)
    facts["blind"] = cluster.wait_for(lambda: cluster.listed()["blind"].reason)
    send_signal(others, SIGCONT)
    facts["fourth"] = ends(cluster, job_id)
    cluster.nodes.pop("blind").terminate()
    facts["work"] = [dict(row) for row in cluster.database.all("SELECT * FROM work")]

    note("a node, the worker and the head are killed")
    facts |= kill_each(cluster)

    note("a node is drained")
    cluster.wait_for_states(one="ready", two="ready")
    cluster.drain("one")
    cluster.wait_for_states(one="drained", two="ready")
    before = cluster.listed()["one"].files
    facts["third"] = ends(cluster, send(cluster, 4))
    facts["drained took"] = cluster.listed()["one"].files - before

    note("bulk")
    facts |= bulk_on_nodes(cluster)
    note("end")
    return facts


def kill_each(cluster: Cluster) -> dict[str, Any]:
    """Kill a node and the worker under load, and the head when files are completed again."""
    ledger, old = Ledger(), set[int]()
    with receiving() as receiver, contextlib.closing(Faults(cluster, random.Random(0))) as faults:
        with sending(cluster.box, receiver, ledger, 0, 1, lambda: time.sleep(CLIENT_PAUSE_SECONDS)):
            for names in (("kill node", "kill worker"), ("kill head",)):
                old.update(cluster.engines())
                for name in names:
                    cluster.wait_for(partial(faults.do, name))
                cluster.wait_for(lambda: not old.issuperset(cluster.engines()))
                ends(cluster, send(cluster, 2))
        result = audit(ledger, receiver, cluster.box.appliance, PATIENCE_SECONDS, cluster.storage)
    left = old.intersection(cluster.engines())
    return {"audit": result.row(), "faultless": result.faultless, "engines left": [*left], "sent": len(ledger)}


def main(folder: Path, models: Path) -> None:
    # On a machine that is busy an engine may be late for such a deadline. It then costs its files no more than a trip.
    settings = {"engine_deadline_seconds": 30, "max_lost_engines": 20}
    with contextlib.closing(Cluster(folder, models, with_keys=True, **settings)) as cluster:
        print(json.dumps(tell(cluster)), flush=True)
        os._exit(0)  # the kernel ends all others; to stop them in order takes 17 s


if __name__ == "__main__":
    loopback_up()
    main(Path(sys.argv[1]), Path(sys.argv[2]))
