"""Verdicts: the rules of a tenant, applied to what is in each file after the reviews.

A verdict is brought up to date in the transaction that changes detections or reviews. When the rules change, the worker
does it for all files of the tenant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from appliance.services.box import Box
from appliance.services.inference.decided import Event, events_of, reviewed_of
from appliance.services.inference.endings import verdict_changed
from appliance.services.kind import Kind
from appliance.state import inference_files, inference_jobs, verdicts
from appliance.state import work as queue
from appliance.state.database import Transaction
from appliance.state.verdicts import FileVerdict
from appliance.state.work import Work

JUDGE = Kind("judge", fail=lambda tx, tenant, code, message: True, pool="storage")
ANY_TYPE = "*"
BATCH = 100
SEVERITY: dict[FileVerdict, int] = {"pass": 0, "review": 1, "fail": 2}
Measure = Literal["longest_ms", "total_ms", "count"]


@dataclass(frozen=True)
class Rule:
    """A file gets ``verdict`` if the measure of its events of a type is over a limit, in any ``within_ms`` of it.

    ``within_ms`` None is the whole file. An event of a confidence below ``min_confidence`` does not count.
    """

    artifact_type: str
    measure: Measure
    over: float
    verdict: Literal["review", "fail"]
    within_ms: int | None = None
    min_confidence: float = 0.0


def get_rules(box: Box, tenant_id: int) -> list[Rule]:
    """Return the rules of a tenant."""
    return [Rule(**rule) for rule in verdicts.get_rules(box.db, tenant_id).rules]


def set_rules(box: Box, tenant_id: int, rules: Sequence[Rule]) -> None:
    """Replace the rules of a tenant. The worker then judges all of its files again."""
    with box.db.transaction() as tx:
        verdicts.set_rules(tx, tenant_id, [asdict(rule) for rule in rules])
        JUDGE.enqueue(tx, tenant_id, JUDGE.name, f"tenant-{tenant_id}")


def judge_all(box: Box, work: Work) -> None:
    """Bring the verdicts of all files of a tenant up to date. Raises LeaseLost."""
    tenant_id = int(work.subject_id.removeprefix("tenant-"))
    version = verdicts.get_rules(box.db, tenant_id).version
    after = 0
    while files := verdicts.list_completed(box.db, tenant_id, after, BATCH):
        with box.db.transaction() as tx:
            for _, file_id in files:
                judge(tx, file_id)
        after = files[-1][0]
    with box.db.transaction() as tx:
        if verdicts.get_rules(tx, tenant_id).version == version:
            queue.finish(tx, work)
        else:
            queue.release(tx, work, attempts=0, delay_seconds=0.0)


def judge(tx: Transaction, file_id: str, *, announced: bool = True) -> None:
    """Bring the verdict of a completed file up to date, and announce a change unless its result is announced next."""
    file = inference_files.find_file(tx, file_id)
    if file is None or file.status != "completed":
        return
    rules = [Rule(**rule) for rule in verdicts.get_rules(tx, inference_jobs.tenant_of(tx, file.job_id)).rules]
    verdict, reasons = verdict_of(rules, events_of(reviewed_of(tx, file))) if rules else (None, [])
    if (verdict, reasons) == (file.verdict, file.verdict_reasons):
        return
    verdicts.set_verdict(tx, file_id, verdict, reasons)
    if announced and verdict != file.verdict:
        verdict_changed(tx, file_id)


def verdict_of(rules: Sequence[Rule], events: Sequence[Event]) -> tuple[FileVerdict, list[str]]:
    """Return the gravest verdict of the rules that apply, and a sentence for each of them, the gravest first."""
    applied = [(rule, value) for rule in rules if (value := measured(rule, events)) > rule.over]
    applied.sort(key=lambda item: -SEVERITY[item[0].verdict])
    return applied[0][0].verdict if applied else "pass", [_sentence(rule, value) for rule, value in applied]


def measured(rule: Rule, events: Sequence[Event]) -> float:
    """Return what a rule measures: the most in any stretch of its length, 0 if there is no event of its type."""
    counted = [
        (event.start_ms, event.end_ms)
        for event in events
        if rule.artifact_type in (ANY_TYPE, event.artifact_type)
        and (event.confidence is None or event.confidence >= rule.min_confidence)
    ]
    if not counted:
        return 0.0
    spans = np.array(sorted(counted), np.float64)
    if rule.measure == "longest_ms":
        return float((spans[:, 1] - spans[:, 0]).max())
    if rule.measure == "count":
        if rule.within_ms is None:
            return float(len(spans))
        starts = spans[:, 0]
        return float((np.searchsorted(starts, starts + rule.within_ms) - np.arange(len(starts))).max())
    return _most_time(_joined(spans), rule.within_ms)


def _joined(spans: np.ndarray) -> np.ndarray:
    """Return the stretches (n, 2) that spans cover, which are sorted by their start and may overlap."""
    reach = np.maximum.accumulate(spans[:, 1])
    firsts = np.concatenate(([0], 1 + np.flatnonzero(spans[1:, 0] > reach[:-1])))
    return np.column_stack((spans[firsts, 0], reach[np.append(firsts[1:], len(spans)) - 1]))


def _most_time(stretches: np.ndarray, within_ms: int | None) -> float:
    """Return the most time that stretches (n, 2), which do not overlap, take in any ``within_ms``."""
    lengths = stretches[:, 1] - stretches[:, 0]
    if within_ms is None:
        return float(lengths.sum())
    # The time covered up to an instant is piecewise linear, so the most is at a window that begins with a stretch.
    times = stretches.ravel()
    covered = np.repeat(np.concatenate(([0.0], np.cumsum(lengths))), 2)[1:-1]
    windows = np.concatenate((stretches[:, 0], stretches[:, 1] - within_ms))
    return float((np.interp(windows + within_ms, times, covered) - np.interp(windows, times, covered)).max())


def _sentence(rule: Rule, value: float) -> str:
    what = "any artifact" if rule.artifact_type == ANY_TYPE else rule.artifact_type
    where = "the file" if rule.within_ms is None else f"{rule.within_ms} ms"
    text = {
        "longest_ms": f"{what}: the longest lasts {value:g} ms, over {rule.over:g} ms",
        "total_ms": f"{what}: {value:g} ms in {where}, over {rule.over:g} ms",
        "count": f"{what}: {value:g} in {where}, over {rule.over:g}",
    }[rule.measure]
    return f"{rule.verdict}: {text}."
