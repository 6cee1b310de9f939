"""The table of docs/compatibility.md is about the appliance that runs, and about tests that exist.

That a named test makes the call that it is named for is checked in conftest.py, each time the test runs.
"""

from __future__ import annotations

import importlib

import pytest

from tests.contract.compatibility import SERVICES, Call, Verdict
from tests.contract.spec import Spec
from tests.support.appliances import Api

# Of routes that belong to no hosted service.
OWN_TAGS = {
    *("admin", "console", "health", "metrics", "models", "usage", "webhooks"),
    *("changes", "detections", "exports", "looking", "reviewed stretches", "reviews", "verdicts"),
}
CALLS = [call for service in SERVICES for call in service.calls]


def routes(spec: Spec, *, without: set[str]) -> set[str]:
    """Every method and path of the OpenAPI document, without those with one of these tags."""
    return {
        f"{method.upper()} {path}"
        for path, operations in spec.document["paths"].items()
        for method, operation in operations.items()
        if not without & set(operation["tags"])
    }


def test_every_route_of_the_services_is_in_the_table_and_the_other_way_round(spec: Spec) -> None:
    listed = {call.route for call in CALLS if call.verdict is not Verdict.ABSENT}
    assert listed == routes(spec, without=OWN_TAGS)


@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.verdict is Verdict.ABSENT], ids=lambda call: call.route
)
def test_a_call_that_is_not_offered_is_not_routed(api: Api, spec: Spec, call: Call) -> None:
    assert call.route not in routes(spec, without=set())
    method, path = call.route.split()
    assert api.response(method, path).status_code in (404, 405)


@pytest.mark.parametrize("test", sorted({call.test for call in CALLS if call.test}))
def test_a_named_test_exists_and_is_never_skipped(test: str) -> None:
    module, name = test.split("::")
    function = getattr(importlib.import_module(f"tests.contract.{module}"), name)
    assert not {"skip", "skipif", "xfail"} & {mark.name for mark in getattr(function, "pytestmark", [])}


def test_every_row_says_what_its_verdict_needs() -> None:
    for call in CALLS:
        assert bool(call.test) == (call.verdict is not Verdict.ABSENT), call
        assert call.note or call.verdict not in (Verdict.DIFFERS, Verdict.ABSENT), call
        assert call.option or call.verdict is not Verdict.REFUSED, call
    rows = [(service.name, call.route, call.option) for service in SERVICES for call in service.calls]
    assert len(rows) == len(set(rows))
