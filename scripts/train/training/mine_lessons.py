"""Mines lessons for the student: clean clips in which it hears faults. The teacher is not asked about them."""

from __future__ import annotations

import argparse

import numpy as np
import torch

from training.choose import loaded, scorer
from training.events import Rule, detect
from training.labels import LABELS
from training.lessons import RECORD, features, shard
from training.mine import THRESHOLD, candidate

# Recordings may be overloaded themselves, so clipping in a clean one may be there.
MINED = tuple(label for label in LABELS if label != "clipping")


def mine(name: str, first: int, last: int, pool: str) -> None:
    """Add those of a pool's candidates [first, last) in which student ``name`` detects anything to ``mined-<pool>``.

    ``name`` may join several, as in ``choose.loaded``.
    """
    ort, counts = scorer(loaded(name)), dict.fromkeys(MINED, 0)
    rules = {label: Rule(THRESHOLD) for label in MINED}
    with shard(f"mined-{pool}", first).open("wb") as out:
        for index in range(first, last):
            record = np.zeros((), RECORD)
            record["row"] = features(candidate(index, pool))
            scores = ort.run(None, {"rows": record["row"][None].astype(np.float32)})[0][0]
            labels = {event.label for event in detect(scores, rules)}.intersection(MINED)
            if labels:
                record.tofile(out)
                out.flush()
            for label in labels:
                counts[label] += 1
            if (index + 1 - first) % 500 == 0:
                print(f"{index + 1 - first} clean clips scored, of them with alarms {counts}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="the student; several joined by + are averaged")
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--pool", choices=("fit", "more", "dev"), default="fit")
    options = parser.parse_args()
    torch.set_num_threads(1)
    mine(options.name, options.first, options.last, options.pool)
