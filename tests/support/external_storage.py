"""A storage server of its own, over https with a certificate of a private CA, as a customer runs one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import urllib3

from tests.support.servers import running, running_storage

CA = Path(__file__).with_name("storage-ca.pem")
CERTIFICATE = CA.with_name("storage.pem")  # for 127.0.0.1, with its key


@contextlib.contextmanager
def external_storage(name: str, folder: Path) -> Iterator[dict[str, object]]:
    """Run MinIO or SeaweedFS in a folder. Yields the settings of an appliance that uses it."""
    folder.mkdir(parents=True, exist_ok=True)
    certificates = folder / "objects" / "minio-certificates"
    for old in certificates.glob("*.*"):  # from an earlier start in this folder
        old.unlink()
    with running_storage(name, folder) as storage:  # makes its bucket and its keys over http
        access, server = storage.access, storage.server
    command = server.command() or []
    if name == "minio":
        certificate, begin, key = CERTIFICATE.read_text().partition("-----BEGIN PRIVATE KEY-----")
        for file, content in (("public.crt", certificate), ("private.key", begin + key)):
            (certificates / file).write_text(content)
    else:
        command += [f"-s3.cert.file={CERTIFICATE}", f"-s3.key.file={CERTIFICATE}"]
    endpoint = access.endpoint.replace("http://", "https://")
    pool = urllib3.PoolManager(ca_certs=str(CA), timeout=2.0, retries=False)
    path = "/minio/health/cluster" if name == "minio" else "/healthz"

    def ready() -> bool:
        try:
            return pool.request("GET", endpoint + path).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    with running(command, server.environment(), folder / "https.log", ready, stop_seconds=server.stop_seconds):
        yield {
            "storage_server": "external",
            "storage_endpoint": endpoint,
            "storage_ca_file": CA,
            "storage_access_key": access.service.access_key,
            "storage_secret_key": access.service.secret_key,
            "storage_read_access_key": access.reader.access_key,
            "storage_read_secret_key": access.reader.secret_key,
        }
