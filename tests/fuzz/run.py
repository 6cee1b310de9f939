"""Sends damaged files to a running appliance. Each must end, with detections or with a sentence; nothing else may die.

``python -m tests.fuzz.run --files N`` is the long run (``scripts/fuzz``); ``test_files.py`` is the short one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.mutations import mutated, sources
from tests.support.appliances import Appliance, children, make_models, running_appliance, wait_for
from tests.support.encoded_files import silent_flac

FILES_OF_A_JOB = 100
BOMB_SECONDS = 6 * 3600
PROCESSES = ("worker", "api", "frontdoor", "storage")


@dataclass
class Run:
    """What became of the files."""

    seed: int
    files: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # by error code
    defects: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0
    longest_file: str = ""
    decoder_peak_bytes: int = 0
    seconds: float = 0.0

    def table(self) -> str:
        """The figures, a line each."""
        lines: list[tuple[str, object]] = [("seed", self.seed), ("files", self.files), ("completed", self.completed)]
        lines += [(f"failed: {code}", count) for code, count in self.failed.most_common()]
        lines += [
            ("longest file, s", f"{self.longest_seconds:.2f} ({self.longest_file})"),
            ("peak of a decoder, MiB", self.decoder_peak_bytes // 1024**2),
            ("seconds", round(self.seconds)),
            ("defects", len(self.defects)),
        ]
        return "\n".join(f"{name:26} {value}" for name, value in lines)


def run(appliance: Appliance, seed: int, num_files: int, extra: dict[str, bytes]) -> Run:
    """Send ``num_files`` damaged files and the ``extra`` ones, and wait for the end of each."""
    result, started, api, originals = Run(seed), time.monotonic(), appliance.api, sources()
    before = {name: appliance.pid(name) for name in PROCESSES}
    names = [f"{seed}-{number}" for number in range(num_files)]
    contents = dict.fromkeys(names) | extra

    def send(job_id: str, name: str) -> str:
        content = contents[name] or mutated(originals, hash_of(name))
        return api.send(job_id, content, name=f"{name}.wav")

    with ThreadPoolExecutor(4) as senders:
        batches = [list(contents)[start : start + FILES_OF_A_JOB] for start in range(0, len(contents), FILES_OF_A_JOB)]
        for batch in batches:
            job_id = api.make_job()
            list(senders.map(lambda name, job_id=job_id: send(job_id, name), batch))

            def ended(job_id: str = job_id) -> bool:
                result.decoder_peak_bytes = max(result.decoder_peak_bytes, decoder_peak(appliance))
                job = api.get(f"/api/v1/inference-jobs/{job_id}", params={"files": "false"})
                return job["processed_files"] == job["total_files"]

            wait_for(ended, 600, 0.2)
            for file in api.job(job_id)["files"]:
                judge(result, file)
    result.defects += [f"{name} died" for name, pid in before.items() if appliance.pid(name) != pid]
    note_times(result, appliance.data_dir)
    result.seconds = time.monotonic() - started
    return result


def hash_of(name: str) -> int:
    """A number for a name, the same in every process."""
    return int.from_bytes(name.encode(), "big") % 2**63


def judge(result: Run, file: dict[str, Any]) -> None:
    """Count a file that has ended; note it if it ended in a way that no file may."""
    result.files += 1
    if file["status"] == "completed":
        result.completed += 1
        return
    code, message = file["error_code"], file["error_message"] or ""
    result.failed[code] += 1
    is_sentence = message.endswith(".") and "Traceback" not in message and "\n" not in message
    if file["status"] != "failed" or not is_sentence or code in ("internal_error", "worker_lost"):
        result.defects.append(f"{file['original_filename']}: {file['status']} {code} {message}")


def decoder_peak(appliance: Appliance) -> int:
    """Peak resident memory of the largest decoder that runs now."""
    peaks = [0]
    for pid in children(appliance.pid("worker")):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/status").read_text()
            peaks += [1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")]
    return max(peaks)


def note_times(result: Run, data_dir: Path) -> None:
    """Find the file that took longest, in the worker's log."""
    for line in (data_dir / "logs" / "worker.log").read_text(errors="replace").splitlines():
        if '"took_seconds"' in line:
            entry = json.loads(line)
            if entry["took_seconds"] > result.longest_seconds:
                result.longest_seconds, result.longest_file = entry["took_seconds"], entry.get("subject", "")


def main() -> int:
    """Run, print the table, and return 1 if there was a defect."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000, help="how many damaged files are sent (1000)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the damage (0)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        models = make_models(Path(folder) / "models")
        bomb = silent_flac(Path(folder) / "bomb.flac", BOMB_SECONDS).read_bytes()
        with running_appliance(Path(folder) / "data", models, storage_server="minio") as appliance:
            result = run(appliance, options.seed, options.files, {"six-hours-of-silence": bomb})
    print(result.table())
    print(*result.defects, sep="\n")
    return 1 if result.defects else 0


if __name__ == "__main__":
    sys.exit(main())
