"""HTTPS with a real Caddy: the own CA in a whole appliance, the operator's certificate at the front door alone."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.frontdoor.door import Tls
from appliance.services.box import Box
from appliance.services.health import Check, Health
from appliance.storage.local_server import free_ports
from appliance.supervisor import parts
from tests.support.appliances import PATIENCE_SECONDS, ROOT, Appliance, running_appliance
from tests.support.servers import RunningStorage, running_door
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
CERTIFICATE = ROOT / "tests" / "support" / "receiver.pem"  # with its key
EXPIRED = ROOT / "tests" / "support" / "expired.pem"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance with HTTPS by its own CA, and a port that redirects to it."""
    settings = {"tls": "internal", "tls_redirect_port": free_ports(1)[0]}
    with running_appliance(tmp_path_factory.mktemp("tls"), models, storage_server="minio", **settings) as running:
        yield running


@pytest.fixture
def plain(appliance: Appliance) -> str:
    """The origin for plain HTTP."""
    return f"http://127.0.0.1:{appliance.settings['APPLIANCE_TLS_REDIRECT_PORT']}"


@pytest.fixture
def ca(plain: str, tmp_path: Path) -> Path:
    """The root certificate, downloaded as a client does that does not trust it yet."""
    response = requests.get(f"{plain}/ca.crt", timeout=PATIENCE_SECONDS)
    assert response.headers["Content-Type"] == "application/x-x509-ca-cert"
    file = tmp_path / "ca.crt"
    file.write_bytes(response.content)
    return file


def test_a_recording_is_sent_by_https_and_all_urls_follow(
    appliance: Appliance, ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert appliance.url.startswith("https://")
    api = appliance.api
    with pytest.raises(requests.exceptions.SSLError):
        api.session.get(f"{appliance.url}/healthz", timeout=PATIENCE_SECONDS)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca))
    job_id = api.make_job()
    form = api.request_upload(job_id, len(loud_wav()))
    assert form["upload_url"].startswith(f"{appliance.url}/")
    file_id = api.send(job_id, loud_wav())
    assert api.finished_file(job_id, file_id)["detections"] == LOUD_DETECTIONS
    body = {"fileName": "a.wav", "contentType": "audio/wav"}
    assert api.post("/api/generate-presigned-url", body)["presignedUrl"].startswith(f"{appliance.url}/")


def test_the_certificate_names_this_machine_and_a_client_that_names_no_host_is_answered(
    appliance: Appliance, ca: Path
) -> None:
    url = urlsplit(appliance.url)
    for name in ("localhost", socket.gethostname()):
        context = ssl.create_default_context(cafile=str(ca))
        with (
            socket.create_connection((url.hostname, url.port), PATIENCE_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=name) as secured,
        ):
            assert secured.version() in ("TLSv1.2", "TLSv1.3")


def test_clients_may_use_http_2(appliance: Appliance, ca: Path) -> None:
    command = ["curl", "-sS", "--cacert", str(ca), "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
    result = subprocess.run([*command, f"{appliance.url}/healthz"], capture_output=True, text=True, check=True)
    assert result.stdout == "2 200"


def test_plain_http_is_redirected(appliance: Appliance, plain: str) -> None:
    answer = requests.post(f"{plain}/api/v1/inference-jobs?a=b", timeout=PATIENCE_SECONDS, allow_redirects=False)
    assert answer.status_code == 308  # the method and the body stay
    assert answer.headers["Location"] == f"{appliance.url}/api/v1/inference-jobs?a=b"


def test_only_the_root_certificate_is_offered(appliance: Appliance, plain: str, ca: Path) -> None:
    folder = appliance.data_dir / "frontdoor" / "data" / "pki" / "authorities" / "local"
    key = (folder / "root.key").read_bytes()
    assert ca.read_bytes() == (folder / "root.crt").read_bytes()
    for path in ("/root.key", "/ca.crt/../root.key", "/ca.crt/root.key", "/ca.key", "/%2e/root.key"):
        for origin in (appliance.url, plain):
            answer = requests.get(origin + path, verify=False, timeout=PATIENCE_SECONDS, allow_redirects=False)
            assert answer.status_code != 200
            assert key not in answer.content


def test_doctor_says_how_to_trust_the_ca(appliance: Appliance, ca: Path, one_model: Path) -> None:
    port, folder = str(urlsplit(appliance.url).port), str(appliance.data_dir)
    command = [sys.executable, "-m", "appliance.cli", "doctor", "--data-dir", folder, "--port", port]
    env = appliance.settings | {"APPLIANCE_MODEL_STORE": str(one_model)}
    result = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(ca.read_text())).hexdigest() in result.stdout
    assert "update-ca-certificates" in result.stdout
    assert f"ok   serving      {appliance.url}" in result.stdout
    assert "ok   certificate  expires in 1" in result.stdout


def test_the_certificate_of_the_operator_is_used_whatever_name_a_client_uses(
    minio_storage: RunningStorage, tmp_path: Path
) -> None:
    with running_door(minio_storage, tmp_path, tls=Tls((CERTIFICATE, CERTIFICATE), (), 0)) as door:
        url = urlsplit(door.origin)
        sent = ssl.get_server_certificate((str(url.hostname), url.port or 0))
        assert sent.strip() in CERTIFICATE.read_text()
        assert (
            requests.get(f"{door.origin}/ca.crt", verify=False, timeout=PATIENCE_SECONDS).status_code == 200
        )  # the echo's answer


def certificate(port: int | None, tls: str) -> Check:
    """What the status says of the certificate that is shown at a port."""
    nothing: Any = None
    return Health(Box(Settings(port=port or 0, tls=tls), nothing, nothing, nothing))._certificate()


def test_the_status_warns_when_a_certificate_should_have_been_replaced(
    appliance: Appliance, minio_storage: RunningStorage, tmp_path: Path
) -> None:
    own = certificate(urlsplit(appliance.url).port, "internal")
    assert re.fullmatch("expires in 1[12] hours", own.detail)
    assert not own.is_warning  # it is renewed by itself
    leaves = appliance.data_dir / "frontdoor" / "data" / "certificates" / "local"
    leaf = next(leaves.glob("*/localhost.crt"))
    for files, says, is_warning in (
        ((CERTIFICATE, CERTIFICATE), "expires in [0-9]+ days", False),
        ((leaf, leaf.with_suffix(".key")), "expires in 1[12] hours", True),  # as if the operator had made it
        ((EXPIRED, EXPIRED), "has expired", True),
    ):
        folder = tmp_path / files[0].stem
        folder.mkdir()
        with running_door(minio_storage, folder, tls=Tls(files, (), 0)) as door:
            check = certificate(urlsplit(door.origin).port, "certificate")
        assert re.fullmatch(says, check.detail)
        assert (check.ok, check.is_warning) == (True, is_warning)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "needs tls_certificate and tls_key"),
        ({"tls_certificate": "/nowhere.pem", "tls_key": CERTIFICATE}, "cannot be used"),
        ({"tls_certificate": CERTIFICATE, "tls_key": ROOT / "README.md"}, "cannot be used"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(settings: dict, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        parts._tls(Settings(data_dir=tmp_path, tls="certificate", **settings))
