"""An S3 server that the customer already runs: nothing is started, and its bucket and keys are the configured ones."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from appliance.config import Settings
from appliance.errors import ConfigurationError, StorageError
from appliance.storage.access import Credentials, StorageAccess, read_keys
from appliance.storage.grants import assume_role
from appliance.storage.local_server import child_environment
from appliance.storage.seam import check_ca_file, connection_pool, s3_client, translated


class ExternalServer:
    """The S3 server at ``storage_endpoint``, addressed by paths (``/bucket/key``). See StorageServer."""

    name = "external"
    version_flag = ""  # there is no program
    stop_seconds = 0.0
    ports: tuple[int, ...] = ()

    def __init__(self, settings: Settings) -> None:
        if not (settings.storage_endpoint and settings.storage_access_key and settings.storage_secret_key):
            raise ConfigurationError(
                "storage_server = external needs storage_endpoint, storage_access_key and storage_secret_key."
            )
        self.arrivals_port: int | None = None
        self.notice: str | None = None
        self.program: Path | None = None
        self._settings = settings
        url = urlsplit(str(settings.storage_endpoint))
        default = {"http": 80, "https": 443}[url.scheme]
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
        self.signing_host = host if url.port in (None, default) else f"{host}:{url.port}"
        self.endpoint = f"{url.scheme}://{self.signing_host}"
        self._keys = Credentials(settings.storage_access_key, settings.storage_secret_key)
        self._reader = read_keys(settings)
        self._ca_file = str(settings.storage_ca_file.absolute()) if settings.storage_ca_file else None
        if self._ca_file:
            check_ca_file(self._ca_file)

    def command(self) -> None:
        """Return None: nothing is started."""
        return

    def environment(self) -> dict[str, str]:
        """Return the environment without secrets; no process uses it."""
        return child_environment({})

    def ready(self) -> bool:
        """Return whether the bucket exists."""
        try:
            return self._bucket_exists(self._pool(2.0, 0))
        except StorageError:
            return False

    def prepare(self) -> StorageAccess:
        """Find out whether the server gives temporary credentials.

        Raises StorageError if the bucket does not exist.
        """
        bucket = self._settings.storage_bucket
        if not self._bucket_exists(self._pool(10.0, 2)):
            raise StorageError(f"There is no bucket {bucket} at {self.endpoint}. Create it, or set storage_bucket.")
        access = self._access(temporary=True)
        try:
            assume_role(access, self._keys, "s3:GetObject", f"arn:aws:s3:::{bucket}/probe", 900, self._pool(10.0, 2))
        except StorageError:
            access = self._access(temporary=False)
            self.notice = f"{self.endpoint} gives no temporary credentials, so the configured key signs forms and URLs."
        return access

    def _pool(self, read_seconds: float, retries: int) -> urllib3.PoolManager:
        return connection_pool(self._ca_file, read_seconds=read_seconds, retries=retries)

    def _bucket_exists(self, pool: urllib3.PoolManager) -> bool:
        client = s3_client(self.endpoint, self._settings.storage_region, self._keys, pool)
        with translated(self._settings.storage_bucket):
            return client.bucket_exists(self._settings.storage_bucket)

    def _access(self, *, temporary: bool) -> StorageAccess:
        return StorageAccess(
            server=self.name,
            endpoint=self.endpoint,
            signing_host=self.signing_host,
            region=self._settings.storage_region,
            bucket=self._settings.storage_bucket,
            temporary=temporary,
            service=self._keys,
            writer=self._keys,
            reader=self._reader,
            ca_file=self._ca_file,
        )
