"""Verdicts over HTTP: on every result, review, detection again and change of the rules; and files filtered by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.test_reviews import Job
from tests.support.appliances import Api, Appliance, wait_for

RULES = "/api/v1/verdict-rules"
LONG = {"artifact_type": "loud", "measure": "longest_ms", "over": 400, "verdict": "fail"}
MANY = {"artifact_type": "*", "measure": "count", "over": 1, "verdict": "review"}


@pytest.fixture(scope="module")
def tenant(appliance: Appliance) -> Api:
    """The API of a tenant whose rules no other test meets."""
    return appliance.api_of("verdicts", "verdicts")


@pytest.fixture
def studio(tenant: Api) -> Iterator[Api]:
    """The API of the tenant, without rules before and after."""
    yield tenant
    tenant.call("PUT", RULES, 200, json={"rules": []})


def set_rules(api: Api, *rules: dict[str, Any]) -> None:
    answer = api.call("PUT", RULES, 200, json={"rules": [*rules]})
    assert answer == api.get(RULES)
    assert answer["rules"] == [{"within_ms": None, "min_confidence": 0.0} | rule for rule in rules]


def test_every_change_of_a_file_changes_its_verdict(studio: Api) -> None:
    """Each level is loud for 464 ms; the last file has none."""
    job = Job(studio, [0.1, 0.2], [0.2], [0.01])

    def verdicts() -> list[str | None]:
        return [studio.file(job.id, file)["verdict"] for file in job.files]

    assert verdicts() == [None, None, None]
    set_rules(studio, LONG | {"verdict": "review"}, MANY | {"verdict": "fail"})
    wait_for(lambda: verdicts() == ["fail", "review", "pass"])
    assert studio.file(job.id, job.files[0])["verdict_reasons"] == [
        "fail: any artifact: 2 in the file, over 1.",
        "review: loud: the longest lasts 466 ms, over 400 ms.",
    ]
    job.review(0, "rejected")
    assert verdicts() == ["review", "review", "pass"]
    job.review(0, "rejected", file=1)
    assert verdicts() == ["review", "pass", "pass"]
    studio.post(f"{job.path}/files/{job.files[0]}/redetect", {"threshold": 1.0, "min_duration_ms": 1000})
    assert verdicts() == ["pass", "pass", "pass"]
    missed = {"artifact_type": "loud", "start_ms": 500, "end_ms": 920, "verdict": "confirmed"}
    studio.call("PUT", f"{job.path}/files/{job.files[2]}/reviews/m", 200, json=missed)
    assert verdicts() == ["pass", "pass", "review"]
    chosen = studio.get(f"{job.path}/files", params={"verdict": "review"})["files"]
    assert [file["id"] for file in chosen] == [job.files[2]]
    set_rules(studio)
    wait_for(lambda: verdicts() == [None, None, None])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"measure": "loudness"}, "measure"),
        ({"over": -1}, "over"),
        ({"verdict": "pass"}, "verdict"),
        ({"within_ms": 0}, "within_ms"),
        ({"min_confidence": 2}, "min_confidence"),
        ({"artifact_type": ""}, "artifact_type"),
        ({"name": "x"}, "name"),
    ],
)
def test_a_bad_rule_is_refused_by_its_field(studio: Api, change: dict[str, Any], field: str) -> None:
    assert field in studio.call("PUT", RULES, 400, json={"rules": [LONG | change]})["detail"]
    assert studio.get(RULES)["rules"] == []
