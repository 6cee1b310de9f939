"""The command behind ``scripts/train/evaluate``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from evaluation import checksums, detectors
from evaluation.build import build, set_folder
from evaluation.report import full_report
from evaluation.scoring import ScoredFile, confidences, score_file
from evaluation.sources import PARTS

LOW_THRESHOLD = 0.1
QUICK_STEP = 7  # of no common measure with the kinds of clean recordings, which take turns by ten and six


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/train/evaluate", description=__doc__)
    parser.add_argument("--model", default="artifacts", help="name of a model of the store (default: %(default)s)")
    parser.add_argument("--store", type=Path, help="a model store with a candidate, in place of the repository's")
    parser.add_argument(
        "--part",
        choices=(*PARTS, "all"),
        default="report",
        help="the part to compare candidates on, the one to report on (default), or both",
    )
    parser.add_argument("--against", type=Path, metavar="STORE", help="also this store's model, as the one before")
    parser.add_argument("--quick", action="store_true", help=f"every {QUICK_STEP}th file only, to see that it works")
    parser.add_argument("--threshold", type=float, action="append", default=[], help="also at this threshold")
    parser.add_argument("--essentia", metavar="PYTHON", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file, for the model card")
    parser.add_argument("--json", type=Path, help="also write every confidence and whether it was right to this file")
    arguments = parser.parse_args()

    truth = [entry for entry in build() if arguments.part in (entry["part"], "all")]
    truth = truth[:: QUICK_STEP if arguments.quick else 1]
    paths = [set_folder() / entry["file"] for entry in truth]
    results: dict[str, list[ScoredFile]] = {}
    for threshold in [None, LOW_THRESHOLD, *arguments.threshold]:
        name = arguments.model if threshold is None else f"{arguments.model} at {threshold}"
        results[name] = _scored(truth, detectors.product(paths, arguments.model, arguments.store, threshold))
    if arguments.against:
        before = detectors.product(paths, arguments.model, arguments.against, None)
        results[f"{arguments.model} before"] = _scored(truth, before)
    if arguments.essentia:
        results["Essentia at its defaults"] = _scored(truth, _essentia(paths, arguments.essentia))
    text = f"Part: {arguments.part}. {checksums.verdict(set_folder())}\n\n" + full_report(arguments.model, results)
    print(text, end="")
    if arguments.markdown:
        arguments.markdown.write_text(text)
    if arguments.json:
        arguments.json.write_text(json.dumps({name: confidences(files) for name, files in results.items()}))


def _scored(truth: list[dict], answers: list[dict]) -> list[ScoredFile]:
    return [score_file(entry, answer) for entry, answer in zip(truth, answers, strict=True)]


def _essentia(paths: list[Path], python: Path) -> list[dict]:
    """Return the answers of Essentia's detectors.

    They are kept beside the set: they do not change, and they take longer than ours.
    """
    kept = set_folder() / "essentia.json"
    answers = json.loads(kept.read_text()) if kept.exists() else {}
    missing = [path for path in paths if path.name not in answers]
    if missing:
        answers |= {Path(item["file"]).name: item for item in detectors.essentia(missing, python)}
        kept.write_text(json.dumps(answers))
    return [answers[path.name] for path in paths]


if __name__ == "__main__":
    main()
