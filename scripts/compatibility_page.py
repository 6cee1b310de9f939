"""The page docs/compatibility.md, made from the table in tests/contract/compatibility.py. Run by scripts/docs.py."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from tests.contract.compatibility import READ_ON, SERVICES, Call, Service

INTRODUCTION = """# Compatibility with hosted services

A client of one of these hosted services can call the appliance instead: it changes the base URL and the key. The tables
list every call of the services' pages that were read, and every call of the appliance that belongs to one of them.

| verdict | meaning |
|---|---|
| works | the call does what the page says |
| works with a difference | a client can use the call as it is; the last column says what differs |
| refused by name | the appliance cannot do it, and answers with a 400 that names the option |
| not offered | the appliance does not have the call, and answers with 404 |
| only here | no page that was read shows this call |

Each test is in `tests/contract`. The tables are checked each time the tests run: every route of the appliance is in
one, no call that is not offered is routed, and the front door's log shows that each test made the calls of its rows.
"""


def compatibility_page() -> str:
    """Every call of the hosted services, what the appliance does with it, and the pages that were read."""
    services = "\n".join("\n".join(_service(service)) for service in SERVICES)
    return INTRODUCTION + "\n" + services + "\n" + "\n".join(_sources()) + "\n"


def _service(service: Service) -> Iterator[str]:
    yield f"## {service.name}\n"
    if service.remarks:
        yield from textwrap.wrap(service.remarks, 120, break_on_hyphens=False)
        yield ""
    yield "| call | verdict | test | difference, or reason |\n|---|---|---|---|"
    for call in service.calls:
        file, _, name = call.test.partition("::")
        test = f"[`{name}`](../tests/contract/{file}.py)" if name else ""
        yield f"| {_call(call)} | {call.verdict.value} | {test} | {call.note} |"
    yield ""


def _call(call: Call) -> str:
    return f"`{call.route}`" + (f" with `{call.option}`" if call.option else "")


def _sources() -> Iterator[str]:
    yield "## Pages that were read\n"
    yield f"All on {READ_ON}, as a search engine stores them. Nothing was tried on the hosted services themselves.\n"
    yield "| service | page |\n|---|---|"
    yield from (f"| {service.name} | {page} |" for service in SERVICES for page in service.pages)
    yield "\nNot seen:\n"
    yield from (f"- {service.name}: {service.unseen}" for service in SERVICES if service.unseen)
