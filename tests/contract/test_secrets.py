"""No secret is in a log, in an error, in a process list, or in a file that has no business with it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.contract.test_speech_raw import RawClient
from tests.support.appliances import Api, Appliance, descendants, files_below, post_form, wait_for
from tests.support.toy_recordings import loud_wav

SHORTEST = 16  # characters; a shorter value may be in a log by chance
PUBLIC = (".access_key", ".endpoint", ".signing_host", ".ca_file")
FORM_SECRETS = ("policy", "x-amz-signature", "x-amz-security-token")
URL_SECRETS = ("X-Amz-Signature", "X-Amz-Security-Token")


def named_texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every string in a JSON value, with the keys that lead to it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from named_texts(item, f"{name}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from named_texts(item, name)
    elif isinstance(value, str):
        yield name, value


def secrets_of_url(url: str) -> list[str]:
    query = parse_qs(urlsplit(url).query)
    return [value for name in URL_SECRETS for value in query.get(name, [])]


@pytest.fixture(scope="module")
def secrets(appliance: Appliance) -> dict[str, str]:
    """Secrets by their name, all of which were used in good and in refused calls."""
    api = appliance.api_of("secret-bearer", "default")
    key = api.key or ""
    raw = RawClient(appliance.url, key)
    wrong = "ak_wrong-but-still-somebodys-secret"
    header_value = "Bearer the-receivers-own-secret"
    webhook = api.get("/api/v1/webhooks/secret")["secret"]
    rotated = api.post("/api/v1/webhooks/secret/rotate", None)["secret"]
    job_id = api.make_job()
    form = api.request_upload(job_id, len(loud_wav()))
    post_form(form, loud_wav())
    post_form(form, loud_wav()[:-1], 400)
    api.confirm(job_id, form["file_id"])
    download = api.get(f"/api/v1/inference-jobs/{job_id}/files/{form['file_id']}/download-url")["url"]
    put = api.post("/api/generate-presigned-url", {"contentType": "audio/wav"})["presignedUrl"]
    assert requests.get(download).ok
    assert requests.get(f"{download}x").status_code == 403
    assert requests.put(put, data=loud_wav(), headers={"Content-Type": "audio/wav"}).ok
    assert requests.put(download, data=b"x").status_code == 403
    raw.request_transcript(raw.upload(loud_wav()))
    for base in (appliance.key, key, wrong):
        for response in (
            Api(appliance.url, base).response("GET", "/api/v1/inference-jobs/none"),
            Api(appliance.url, base).response("POST", "/api/v1/inference-jobs", data=base),
            Api(appliance.url, base).response("POST", "/api/v1/admin/keys", json={"name": "a"}),
            Api(appliance.url, None).response("GET", f"/api/v1/inference-jobs?key={base}"),
            RawClient(appliance.url, base).response("GET", "/transcript/none"),
            RawClient(appliance.url, base).response(
                "POST",
                "/transcript",
                json={
                    "audio_url": f"{appliance.url}/v2/upload/none",
                    "webhook_url": "http://127.0.0.1:9/",
                    "webhook_auth_header_name": "Authorization",
                    "webhook_auth_header_value": header_value,
                },
            ),
        ):
            assert 400 <= response.status_code < 500, response.text
            assert base not in response.text
            assert header_value not in response.text
    named = {"first key": appliance.key, "key": key, "wrong key": wrong, "webhook": webhook, "rotated": rotated}
    named |= {"receiver": header_value.removeprefix("Bearer ")}
    fields = form["upload_fields"]
    named |= {f"form: {name}": fields[name] for name in FORM_SECRETS if name in fields}
    for name, url in (("download", download), ("put", put)):
        named |= {f"{name}: {number}": secret for number, secret in enumerate(secrets_of_url(url))}
    return named | dict(storage_secrets(appliance.data_dir))


def storage_secrets(data_dir: Path) -> Iterator[tuple[str, str]]:
    """Keys, passwords and tokens of storage, by file. The access keys are no secrets: every form shows one."""
    for file in sorted((data_dir / "secrets").iterdir()):
        for name, text in named_texts(json.loads(file.read_text())):
            if len(text) >= SHORTEST and not name.endswith(PUBLIC):
                yield f"{file.name}{name}", text


def test_no_log_has_a_secret(appliance: Appliance, secrets: dict[str, str]) -> None:
    def logged() -> str:
        return "".join(path.read_text(errors="replace") for path in files_below(appliance.data_dir / "logs"))

    wait_for(lambda: "/api/v1/inference-jobs/none" in logged())  # the calls were logged, a little late
    text = logged()
    assert {path.name for path in files_below(appliance.data_dir / "logs")} >= {"frontdoor.log", "worker.log"}
    assert [name for name, secret in secrets.items() if secret in text] == []
    printed = appliance.output.read_text()  # `up` prints the first key once, on purpose
    assert [name for name, secret in secrets.items() if secret in printed] == ["first key"]
    assert printed.count(appliance.key) == 1


def test_no_process_list_has_a_secret(appliance: Appliance, secrets: dict[str, str]) -> None:
    pids = [appliance.process.pid, *descendants(appliance.process.pid)]
    lines = []
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            lines.append(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace"))
    assert len(lines) >= 5
    assert [name for name, secret in secrets.items() if secret in "\n".join(lines)] == []


def test_only_the_files_for_it_have_a_secret(appliance: Appliance, secrets: dict[str, str]) -> None:
    """Those in ``secrets/``, MinIO's users, and the database for what signs webhooks. Of keys, hashes are stored."""
    keys = {name: secrets[name] for name in ("first key", "key", "wrong key")}
    for path in files_below(appliance.data_dir):
        its_own = path.parent.name == "secrets" or ".minio.sys/config/iam/" in str(path)
        if path == appliance.output or its_own or path.is_socket():
            continue
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # it was there for a moment
            continue
        sought = keys if path.name.startswith("appliance.db") else secrets
        assert [name for name, secret in sought.items() if secret.encode() in content] == [], path
