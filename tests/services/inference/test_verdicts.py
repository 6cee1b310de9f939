"""Verdicts: what rules measure, and when the verdict of a file changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.engine.scoring.events import Detection
from appliance.services.box import Box
from appliance.services.inference import reviews, verdicts
from appliance.services.inference.decided import Event
from appliance.services.inference.verdicts import Rule, measured, verdict_of
from appliance.services.inference.work import complete
from appliance.state import webhooks as webhook_rows
from appliance.state.reviews import NewReview
from tests.support.boxes import CALLBACK, claim, new_file, new_job


def events(*spans: tuple[int, int], artifact_type: str = "dropout", confidence: float | None = 0.9) -> list[Event]:
    return [Event(artifact_type, start, end, confidence) for start, end in spans]


def rule(measure: Any, over: float = 0, **more: Any) -> Rule:
    return Rule("dropout", measure, over, more.pop("verdict", "fail"), **more)


@pytest.mark.parametrize(
    ("chosen", "spans", "value"),
    [
        (rule("longest_ms"), [], 0),
        (rule("longest_ms"), [(0, 90), (200, 320), (400, 410)], 120),
        (rule("total_ms"), [(0, 90), (200, 320)], 210),
        (rule("total_ms"), [(0, 100), (50, 150)], 150),  # what overlaps counts once
        (rule("total_ms", within_ms=1000), [(0, 100), (900, 1200), (5000, 5100)], 300),
        (rule("total_ms", within_ms=1000), [(0, 100), (899, 1200)], 301),
        (rule("total_ms", within_ms=1000), [(0, 600), (800, 2000)], 1000),
        (rule("total_ms", within_ms=200), [(0, 1000)], 200),
        (rule("total_ms", within_ms=60_000), [(i * 10_000, i * 10_000 + 100) for i in range(20)], 600),
        (rule("count"), [(0, 1), (5, 6), (5000, 5001)], 3),
        (rule("count", within_ms=100), [(0, 1), (5, 6), (99, 120), (100, 101), (5000, 5001)], 3),
    ],
)
def test_a_rule_measures_the_most_in_any_stretch(chosen: Rule, spans: list[tuple[int, int]], value: float) -> None:
    assert measured(chosen, events(*spans)) == pytest.approx(value)


def test_only_events_of_the_type_and_with_the_confidence_count() -> None:
    mixed = [*events((0, 100), confidence=0.4), *events((200, 250)), *events((0, 999), artifact_type="hum")]
    assert measured(rule("longest_ms", min_confidence=0.5), mixed) == 50
    assert measured(rule("longest_ms"), mixed) == 100
    assert measured(Rule("*", "longest_ms", 0, "fail"), mixed) == 999
    assert measured(rule("longest_ms", min_confidence=0.99), events((0, 70), confidence=None)) == 70


def test_the_gravest_rule_that_applies_decides() -> None:
    rules = [rule("count", 1, verdict="review"), rule("longest_ms", 100), Rule("hum", "count", 0, "fail")]
    assert verdict_of(rules, events((0, 100))) == ("pass", [])
    assert verdict_of(rules, events((0, 100), (200, 300)))[0] == "review"
    verdict, reasons = verdict_of(rules, events((0, 132), (200, 300)))
    assert verdict == "fail"
    assert reasons == [
        "fail: dropout: the longest lasts 132 ms, over 100 ms.",
        "review: dropout: 2 in the file, over 1.",
    ]


def test_webhooks_tell_the_verdict_and_its_change(box: Box) -> None:
    verdicts.set_rules(box, 1, [rule("longest_ms", 100)])
    job_id = new_job(box, CALLBACK)
    file_id = new_file(box, job_id)
    complete(box, claim(box, "inference"), 5000, [Detection("dropout", 0, 150, 0.9)])
    for comment in ("no", "not at all"):  # the second one changes no verdict
        review = NewReview("r", "dropout", 0, 150, "rejected", comment=comment)
        reviews.put_review(box, 1, job_id, file_id, review)
    sent = webhook_rows.list_deliveries(box.db, 1, status=None, before=None, limit=100)
    told = [(delivery.event_type, json.loads(delivery.payload)["data"].get("verdict")) for delivery in reversed(sent)]
    assert told == [("file.completed", "fail"), ("job.completed", None), ("file.verdict_changed", "pass")]


def test_rules_that_change_while_files_are_judged_are_applied_too(box: Box) -> None:
    file_id = new_file(box, new_job(box))
    complete(box, claim(box, "inference"), 5000, [Detection("dropout", 0, 150, 0.9)])
    verdicts.set_rules(box, 1, [rule("longest_ms", 100)])
    work = claim(box, "judge")
    verdicts.set_rules(box, 1, [rule("longest_ms", 200)])
    verdicts.judge_all(box, work)
    row = box.db.one("SELECT verdict FROM inference_files WHERE id = ?", [file_id])
    assert row is not None
    assert row["verdict"] == "pass"
    assert box.db.one("SELECT 1 FROM work WHERE kind = 'judge'") is None
