"""Writes the documentation that comes from code, or with ``--check`` compares it.

Settings → config/appliance.toml; commands → docs/cli.md; errors → docs/errors.md; statuses and moves → docs/states.md;
the API → docs/api.md; the scope of each call → docs/access.md; the manifest's keys → docs/manifest.md; the hosted
services' calls → docs/compatibility.md.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from compatibility_page import compatibility_page
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from appliance import ROOT
from appliance.api.app import create_app
from appliance.cli.__main__ import main as cli
from appliance.config import Settings
from appliance.engine.models import manifest, speech_manifest
from appliance.engine.models.store import ModelStore
from appliance.http_errors import FILE_ERRORS, HTTP_ERRORS
from appliance.services.box import Box
from appliance.state.moves import MACHINES, Machine

GENERATED = "<!-- Made by scripts/docs.py from the code; change it there. -->\n\n"


def settings_file() -> str:
    """Every setting, commented out at its default."""
    lines = [
        "# Every setting of the appliance, at its default. Made by scripts/docs.py from appliance/config.py.",
        "# A variable APPLIANCE_<NAME> overrides a line here, and an option of the command line overrides both.",
    ]
    for name, field in Settings.model_fields.items():
        lines += ["", *textwrap.wrap(field.description or "", 110, initial_indent="# ", subsequent_indent="# ")]
        if field.default is None:
            lines.append(f"# Not set by default. {name} = {_toml((field.examples or [''])[0])}")
        else:
            lines.append(f"# {name} = {_toml(field.default)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Path):
        value = str(value.relative_to(ROOT)) if value.is_absolute() else str(value)
    return json.dumps(value)


def cli_page() -> str:
    """The help of every command."""
    return GENERATED + "# Commands\n\n" + "\n".join(_help(cli, click.Context(cli, info_name="./scripts/appliance")))


def _help(command: click.Command, context: click.Context) -> Iterator[str]:
    context.max_content_width = 100
    yield f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child
            yield from _help(child, click.Context(child, info_name=name, parent=context))


def errors_page() -> str:
    """Every error code of HTTP answers, and every error code of files."""
    lines = [
        GENERATED + "# Errors\n",
        "## HTTP answers\n",
        "An error is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail` and `code`. Below",
        '`/v2/` it is `{"error": sentence}`, with the same statuses. Codes are stable; sentences are not. An answer',
        "with the status 503 has the header `Retry-After`.\n",
        "| code | status | meaning |",
        "|---|---|---|",
        *(f"| `{error.code}` | {error.status} | {error.meaning} |" for error in HTTP_ERRORS),
        "\n## Files\n",
        "A file, audio or transcript whose processing failed has an `error_code` and a message.\n",
        "| `error_code` | meaning |",
        "|---|---|",
        *(f"| `{kind.code}` | {' '.join((kind.__doc__ or '').split())} |" for kind in FILE_ERRORS),
    ]
    return "\n".join(lines) + "\n"


STATES_INTRODUCTION = """# States

Each kind of row moves between the statuses below. A move that is not listed is refused, by the code and by SQL
(`appliance/state/moves.py` has the list; the diagrams and tables here are made from it). A row with an impossible mix
of values, such as a completed file without a duration, is refused too.

Work on a row is claimed under a lease, and a lease has a token that grows with every claim. A result is written in one
transaction that removes the work of exactly that token: a worker that lost its lease writes nothing, however late it
wakes up.
"""

STATES_JOB = """
## Inference job

A job has no status of its own. SQL derives it from the files (`inference_job_states`):

| files | job |
|---|---|
| the job was cancelled | `cancelled` |
| no file, or every file `pending` | `pending` |
| some file not at an end | `processing` |
| every file `failed` | `failed` |
| every file at an end otherwise | `completed` |

A job accepts further files at any time, and then leaves `completed` or `failed` again. A cancelled job accepts none.
"""

STATES_FAILURES = """
## Failures

| event | effect on the file, audio or transcript |
|---|---|
| the recording is empty, corrupt, too short, too long, or of an unsupported codec | `failed` with the reason |
| the decoder process dies (crash, memory, CPU time, no answer) | tried again; `failed` at the third time |
| the worker dies | tried again when the lease runs out, or at once when a new worker starts; `failed` after 10 times |
| storage or the database does not answer | tried again, without limit |
| the object was replaced after it was confirmed | `failed` |

A webhook is queued in the transaction of the change that it reports. The worker delivers webhooks on threads of their
own, so a slow receiver does not delay other work. A receiver whose answer was lost in a crash is called again.
"""


def states_page() -> str:
    """Every machine of statuses, drawn, with its moves."""
    machines = "\n".join("\n".join(_machine(machine)) for machine in MACHINES)
    return GENERATED + STATES_INTRODUCTION + "\n" + machines + STATES_JOB + STATES_FAILURES


def _machine(machine: Machine) -> Iterator[str]:
    yield f"## {machine.name}\n\n```mermaid\nstateDiagram-v2"
    yield from (f"    [*] --> {status}" for status in machine.initial)
    yield from (f"    {move.leaving} --> {move.entering}" for move in machine.moves)
    yield from (f"    {status} --> [*]" for status in machine.ends)
    yield "```\n\n| from | to | when |\n|---|---|---|"
    yield from (f"| `{move.leaving}` | `{move.entering}` | {move.when} |" for move in machine.moves)
    yield ""


def manifest_page() -> str:
    """Every key of manifest.toml."""
    lines = [
        GENERATED + "# Keys of `manifest.toml`\n",
        "[models.md](models.md) describes how to make and add a model. A model whose `task` is `transcription` has the",
        "keys of the second part, see [speech.md](speech.md).",
    ]
    tables: dict[str, type[BaseModel]] = {
        "top level": manifest.Manifest,
        "[input]": manifest.Input,
        "[output]": manifest.Output,
        "[defaults]": manifest.Defaults,
        "[[labels]]": manifest.Label,
        "transcription: top level": speech_manifest.SpeechManifest,
        "transcription: [input]": speech_manifest.SpeechInput,
        "transcription: [decoding]": speech_manifest.Decoding,
        "transcription: [files.encoder], [files.decoder], [files.tokens], [files.voice_activity]": (
            speech_manifest.WeightFile
        ),
    }
    for title, table in tables.items():
        lines += [f"\n## `{title}`\n", "| key | type | default | meaning |", "|---|---|---|---|", *_keys(table)]
    return "\n".join(lines) + "\n"


def _keys(table: type[BaseModel]) -> Iterator[str]:
    properties = table.model_json_schema()["properties"]
    for name, field in table.model_fields.items():
        if not field.description or name == "labels":
            continue
        schema = properties[name]
        options = [schema, *schema.get("anyOf", [])]
        kind = next(
            ", ".join(map(str, o.get("enum", [o["const"]] if "const" in o else []))) or o.get("type")
            for o in options
            if "enum" in o or "type" in o
        )
        default = "required" if field.default is PydanticUndefined else f"`{json.dumps(field.default)}`"
        yield f"| `{name}` | {kind} | {default} | {field.description} |"


def openapi() -> dict[str, Any]:
    """The OpenAPI document, without a running box."""
    settings = Settings()
    box = Box(settings, db=None, objects=None, models=ModelStore(settings.model_store))  # type: ignore[arg-type]
    return create_app(box).api_doc


def api_page() -> str:
    """Every call of the API, from its OpenAPI document."""
    document = openapi()
    lines = [
        GENERATED + "# API\n",
        "Authenticate with the header `X-API-Key`. The appliance serves this reference at `/docs` and the OpenAPI",
        "document at `/api/v1/openapi.json`. Every other answer is a problem, see [errors.md](errors.md).\n",
        "| call | answer | what it does |",
        "|---|---|---|",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answers = [
                f"{status} {_schema_of(answer)}"
                for status, answer in operation["responses"].items()
                if status[0] == "2"
            ]
            lines.append(f"| `{method.upper()} {path}` | {', '.join(answers)} | {operation['summary']} |")
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += [f"\n## {name}\n", f"{schema.get('description', '')}\n", "| field | type | meaning |", "|---|---|---|"]
        for field, details in schema.get("properties", {}).items():
            lines.append(f"| `{field}` | {_type_of(details)} | {details.get('description', '')} |")
    return "\n".join(lines) + "\n"


ACCESS_INTRODUCTION = """# Which scope a call needs

A key has one or more scopes: `read`, `write` (which includes `read`), `admin` and `metrics`. A call with a key that has
not the scope of the call is answered with 403 and the code `scope_missing`. Calls marked *none* need no key. Every call
that takes a key takes the cookie of the [console](console.md)'s session in its place, with the scopes of the key that
signed in; a call that changes something then has to come from a page of the same origin.
[security.md](security.md) says what the scopes are for. `tests/contract/test_access.py` tries every call below without
a key, with wrong, revoked and expired keys, with a key of another tenant, and with a key of each scope; each as a key
and as a session.
"""


def access_page() -> str:
    """The scope that each call needs, from the OpenAPI document."""
    lines = [GENERATED + ACCESS_INTRODUCTION, "| call | scope | header with the key |", "|---|---|---|"]
    headers = {"api_key": "`X-API-Key`", "authorization": "`Authorization`", "session": "session"}
    for path, operations in openapi()["paths"].items():
        for method, operation in operations.items():
            needed = [item for requirement in operation.get("security", []) for item in requirement.items()]
            scopes = sorted({scope for _, scopes in needed for scope in scopes})
            sent = " or ".join(headers[scheme] for scheme, scopes in needed if scheme != "session" or not scopes)
            scope = f"`{scopes[0]}`" if scopes else "*none*"
            lines.append(f"| `{method.upper()} {path}` | {scope} | {sent} |")
    return "\n".join(lines) + "\n"


def hosted_services_page() -> str:
    """Every call of the hosted services, what the appliance does with it, and the pages that were read."""
    return GENERATED + compatibility_page()


def _schema_of(answer: dict[str, Any]) -> str:
    content: dict[str, Any] = next(iter(answer.get("content", {}).values()), {})
    return f"`{content.get('schema', {}).get('$ref', '').rpartition('/')[2]}`"


def _type_of(details: dict[str, Any]) -> str:
    if "$ref" in details:
        return details["$ref"].rpartition("/")[2]
    if "anyOf" in details:
        return " or ".join(map(_type_of, details["anyOf"]))
    if "enum" in details or "const" in details:
        return ", ".join(f"`{value}`" for value in details.get("enum", [details.get("const")]))
    if details.get("type") == "array":
        return f"list of {_type_of(details['items'])}"
    return details.get("type", "any")


PAGES = {
    "config/appliance.toml": settings_file,
    "docs/cli.md": cli_page,
    "docs/errors.md": errors_page,
    "docs/states.md": states_page,
    "docs/manifest.md": manifest_page,
    "docs/api.md": api_page,
    "docs/access.md": access_page,
    "docs/compatibility.md": hosted_services_page,
}


def main() -> int:
    """Write the pages; with ``--check`` name those that differ and exit 1."""
    stale = []
    for name, make in PAGES.items():
        path = ROOT / name
        page = make()
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(page, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != page:
            stale.append(name)
    for name in stale:
        print(f"{name} is not what the code says: run .venv/bin/python scripts/docs.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
