"""MinIO, the bundled storage server: one drive, loopback only, no console, no reports to its makers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from minio import MinioAdmin
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, S3Error
from minio.notificationconfig import NotificationConfig, PrefixFilterRule, QueueConfig

from appliance.config import Settings
from appliance.errors import StorageError, StorageUnavailable
from appliance.storage.access import IN_PARTS, SIGNING_HOST, UPLOADS, Credentials, StorageAccess
from appliance.storage.identities import check_owner, load_or_make_identities
from appliance.storage.local_server import all_healthy, child_environment, free_ports
from appliance.storage.seam import connection_pool, s3_client, translated

TARGET = "ARRIVALS"  # name of the webhook to which MinIO posts an event for each upload

# What its refusals say of a user or policy, and of the target of events, that it does not know.
_UNKNOWN = ("XMinioAdminNoSuch", "destination ARN does not exist")


class MinioServer:
    """MinIO with its objects in ``<data_dir>/objects/minio``. See StorageServer."""

    name = "minio"
    version_flag = "--version"
    signing_host = SIGNING_HOST
    stop_seconds = 10.0

    def __init__(self, settings: Settings, program: Path, ports: tuple[int, ...] = ()) -> None:
        self.notice: str | None = None
        self._settings = settings
        self.program: Path | None = program
        self._folder = settings.data_dir.absolute() / "objects" / "minio"
        check_owner(settings.data_dir, self.name)
        self._port, arrivals_port = ports or free_ports(2)
        self.arrivals_port: int | None = arrivals_port

    @cached_property
    def _identities(self) -> dict[str, Credentials]:
        names = ("root", "service", "uploader", "parts", "arrivals")
        return load_or_make_identities(self._settings.data_dir, self.name, names)

    @property
    def ports(self) -> tuple[int, ...]:
        """The loopback ports on which it listens."""
        return (self._port,)

    @property
    def endpoint(self) -> str:
        """Scheme, host and port of the S3 server."""
        return f"http://127.0.0.1:{self._port}"

    def command(self) -> list[str]:
        """Make the folders and return the command line."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Without --certs-dir MinIO makes ~/.minio for certificates, which it does not need behind the front door.
        certificates = self._folder.with_name("minio-certificates")
        certificates.mkdir(exist_ok=True)
        self._events.mkdir(exist_ok=True, mode=0o700)
        address = f"127.0.0.1:{self._port}"
        options = ["--quiet", "--anonymous", "--address", address, "--certs-dir", str(certificates)]
        return [str(self.program), "server", *options, str(self._folder)]

    def environment(self) -> dict[str, str]:
        """Return the whole environment, with the root credentials and the target of the upload events."""
        root = self._identities["root"]
        return child_environment(
            {
                "MINIO_ROOT_USER": root.access_key,
                "MINIO_ROOT_PASSWORD": root.secret_key,
                "MINIO_SITE_REGION": self._settings.storage_region,
                "MINIO_BROWSER": "off",
                "MINIO_UPDATE": "off",
                "MINIO_CALLHOME_ENABLE": "off",
                # MinIO's default of 30 seconds would end an upload whose link was down for as long.
                "MINIO_IDLE_TIMEOUT": "5m",
                **self._arrivals(),
            }
        )

    @property
    def _events(self) -> Path:
        return self._folder.with_name("minio-events")

    def _arrivals(self) -> dict[str, str]:
        """Return where to post upload events. They stay on disk until delivered, so each arrives at least once."""
        target = {
            "ENABLE": "on",
            "ENDPOINT": f"http://127.0.0.1:{self.arrivals_port}/arrivals",
            "AUTH_TOKEN": self._identities["arrivals"].secret_key,
            "QUEUE_DIR": str(self._events),
        }
        return {f"MINIO_NOTIFY_WEBHOOK_{name}_{TARGET}": value for name, value in target.items()}

    def ready(self) -> bool:
        """Return whether MinIO has a write quorum."""
        # "live" responds before MinIO is ready; "cluster" only once it has a write quorum.
        return all_healthy([f"{self.endpoint}/minio/health/cluster"])

    def prepare(self) -> StorageAccess:
        """Make the bucket, its events and the users."""
        root, service, uploader, parts = (self._identities[name] for name in ("root", "service", "uploader", "parts"))
        bucket, region = self._settings.storage_bucket, self._settings.storage_region
        pool = connection_pool()
        with translated(bucket):
            client = s3_client(self.endpoint, region, root, pool)
            if not client.bucket_exists(bucket):
                client.make_bucket(bucket, location=region)
            with _starting():
                client.set_bucket_notification(bucket, _put_events(region))
        host = urlsplit(self.endpoint).netloc
        provider = StaticProvider(root.access_key, root.secret_key)
        admin = MinioAdmin(endpoint=host, credentials=provider, region=region, secure=False, http_client=pool)
        objects = f"arn:aws:s3:::{bucket}/*"
        listing = _allow(["s3:ListBucket", "s3:ListBucketMultipartUploads"], f"arn:aws:s3:::{bucket}")
        multipart = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        whole = _allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject", *multipart], objects)
        uploads = _allow(["s3:PutObject"], f"arn:aws:s3:::{bucket}/{UPLOADS}*")
        figures = {"Effect": "Allow", "Action": ["admin:Prometheus"]}
        _make_user(admin, "appliance-service", service, [listing, whole, figures])
        _make_user(admin, "appliance-uploader", uploader, [uploads, _allow(["s3:GetObject"], objects)])
        in_parts = _allow(["s3:PutObject"], f"arn:aws:s3:::{bucket}/tenant-*/{IN_PARTS}*")
        _make_user(admin, "appliance-parts", parts, [in_parts])
        return StorageAccess(
            server=self.name,
            endpoint=self.endpoint,
            signing_host=self.signing_host,
            region=region,
            bucket=bucket,
            temporary=True,
            service=service,
            writer=uploader,
            reader=uploader,
            parts_writer=parts,
            arrivals_port=self.arrivals_port,
            arrivals_token=self._identities["arrivals"].secret_key,
        )


def _put_events(region: str) -> NotificationConfig:
    arn = f"arn:minio:sqs:{region}:{TARGET}:webhook"
    put = QueueConfig(["s3:ObjectCreated:Put"], queue=arn, prefix_filter_rule=PrefixFilterRule(UPLOADS))
    return NotificationConfig(queue_config_list=[put])


def _allow(actions: list[str], resource: str) -> dict:
    return {"Effect": "Allow", "Action": actions, "Resource": [resource]}


def _make_user(admin: MinioAdmin, policy_name: str, user: Credentials, statements: list[dict]) -> None:
    """Make a user that may do only what the statements allow. Every step may be repeated."""
    policy = {"Version": "2012-10-17", "Statement": statements}
    try:
        with translated(policy_name), _starting():
            admin.policy_add(policy_name, policy=policy)
            admin.user_add(user.access_key, user.secret_key)
            admin.policy_set(policy_name, user=user.access_key)
    except MinioAdminException as error:
        raise StorageError(f"MinIO refused to set up {policy_name}: {error}.") from error


@contextmanager
def _starting() -> Iterator[None]:
    """Raise StorageUnavailable for a refusal of what MinIO does not know yet.

    After it says that it is ready, it reads its users and policies once more, and forgets what was set meanwhile. It
    also loads the targets of events then.
    """
    try:
        yield
    except (MinioAdminException, S3Error) as error:
        if any(sign in str(error) for sign in _UNKNOWN):
            raise StorageUnavailable(f"MinIO is still starting: {error}.") from error
        raise
