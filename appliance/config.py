"""The settings. ``config/appliance.toml`` is made from this module; ``APPLIANCE_…`` variables override the file."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AnyHttpUrl, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from appliance import ROOT
from appliance.errors import ConfigurationError

MEBIBYTE = 1024**2


HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


def _network_or_name(text: str) -> str:
    try:
        return _network(text)
    except ValueError as error:
        name = text.lower().rstrip(".")
        if HOST_NAME.fullmatch(name) and not re.fullmatch(r"[0-9.]+", name):
            return name
        raise ValueError("is neither a host name nor a network") from error


def _address_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not an address and a port, as 10.9.0.1:6379")
    if ipaddress.ip_address(host.strip("[]")).is_unspecified:
        raise ValueError(f"{text!r} is every address of this machine; name the one at which nodes join")
    return text


def _origin(text: str) -> str:
    # A browser sends the origin in lower case and without a path, and the front door compares whole strings.
    if text != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#@*\s]+", text.lower()):
        raise ValueError(
            f"{text!r} is not an origin; write scheme, host and port alone, as https://pages.example, or *"
        )
    return text.lower()


class Settings(BaseSettings):
    """Every setting of the appliance. Units are in the names."""

    model_config = SettingsConfigDict(env_prefix="APPLIANCE_", extra="forbid", frozen=True)

    # Serving
    host: str = Field("127.0.0.1", description="Address on which the front door listens.")
    port: int = Field(8080, ge=0, le=65535, description="Port of the front door; 0 chooses a free one.")
    tls: Literal["off", "internal", "certificate"] = Field(
        "off",
        description="Whether the front door serves HTTPS: with a certificate of its own CA (internal), or with the one "
        "in tls_certificate and tls_key.",
    )
    tls_certificate: Path | None = Field(
        None, description="Certificate with its chain, in PEM.", examples=["/etc/appliance/tls/certificate.pem"]
    )
    tls_key: Path | None = Field(
        None, description="Key of the certificate, in PEM.", examples=["/etc/appliance/tls/key.pem"]
    )
    tls_names: list[str] = Field(
        [],
        description="Names and addresses in the certificate of the own CA; if none is listed, those of this machine.",
        examples=[["listen.example.com", "192.168.7.5"]],
    )
    tls_redirect_port: int = Field(
        0, ge=0, le=65535, description="Port on which plain HTTP is redirected to HTTPS; 0 is none."
    )
    public_url: AnyHttpUrl | None = Field(
        None,
        description="Origin of upload and download URLs, if it is not the one that the client used.",
        examples=["https://listen.example.com"],
    )
    cors_origins: list[Annotated[str, AfterValidator(_origin)]] = Field(
        [],
        description='Origins whose web pages may call the API and storage, such as https://pages.example; "*" is all.',
    )
    trusted_proxies: list[Annotated[str, AfterValidator(_network)]] = Field(
        ["127.0.0.0/8", "::1/128"],
        description="Networks of proxies that stand before the front door: their X-Forwarded-For and X-Forwarded-Proto "
        "are believed.",
        examples=[["127.0.0.0/8", "192.168.7.2/32"]],
    )
    data_dir: Path = Field(Path("var"), description="Folder that holds all state: database, objects, secrets.")
    least_free_bytes: int = Field(
        2 * 1024**3,
        ge=0,
        description="Space that stays free on the disk: below it the appliance is not ready, and uploads get a 507.",
    )
    warn_free_bytes: int = Field(
        10 * 1024**3, ge=0, description="Free space on the disk below which the status warns; uploads still work."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    api_threads: int = Field(16, ge=1, le=256, description="Number of requests that the API handles at the same time.")

    # Uploads
    max_upload_bytes: int = Field(500 * MEBIBYTE, ge=1, description="Largest file that may be uploaded.")
    max_multipart_bytes: int = Field(
        500 * MEBIBYTE,
        ge=1,
        le=5 * 1024**4,
        description="Largest file that may be uploaded in parts, of which each has up to max_upload_bytes.",
    )
    max_batch_bytes: int = Field(
        5000 * MEBIBYTE,
        ge=1,
        description="Largest size of a batch upload; each file in it may have up to max_upload_bytes.",
    )
    streamed_uploads: int = Field(
        32,
        ge=1,
        le=1024,
        description="Uploads through the API at the same time; a tenant that holds as many as are free gets a 429.",
    )
    unused_upload_days: float = Field(
        2.0, gt=0, description="Days after which an upload to /v2/upload is deleted if no transcript ever used it."
    )
    upload_expires_seconds: int = Field(
        3600, ge=1, le=7 * 86400, description="How long an upload form or a download URL is valid."
    )
    upload_grace_seconds: int = Field(
        900, ge=0, description="How long an upload that began in time may go on after its form expired."
    )

    # Quotas
    tenant_stored_bytes: int = Field(
        0,
        ge=0,
        description="Bytes that a tenant may have stored, uploads and copies made of them; 0 is no limit.",
    )
    tenant_daily_audio_seconds: float = Field(
        0.0, ge=0, description="Seconds of audio that a tenant may have analyzed on one day, in UTC; 0 is no limit."
    )
    tenant_active_files: int = Field(
        100_000, ge=0, description="Files of a tenant that wait for their upload or for work; 0 is no limit."
    )
    tenant_pending_uploads: int = Field(
        20_000, ge=0, description="Uploads that a tenant may have requested and not finished; 0 is no limit."
    )

    # Retention
    retention_originals_days: float = Field(
        0.0,
        ge=0,
        description="Days after its end at which a recording is deleted, unless it is in a dataset; 0 keeps it.",
    )
    retention_results_days: float = Field(
        0.0,
        ge=0,
        description="Days after its end at which a job, or a recording with its transcripts, is deleted; 0 keeps it.",
    )
    keep_scores: bool = Field(
        True,
        description="Keep the model's scores of each file of a job, 4 MB for an hour with 6 labels in frames of 10 ms: "
        "detection with other settings then needs no new analysis.",
    )
    retention_scores_days: float = Field(
        0.0, ge=0, description="Days after its last change at which a file's scores are deleted; 0 keeps them."
    )

    training_clean_minutes: float = Field(
        30.0,
        ge=0,
        description="Minutes of reviewed audio without a label that a training of it needs, to tell it from the rest.",
    )
    training_seconds: float = Field(7200.0, gt=0, description="How long one training may take.")
    training_memory_bytes: int = Field(
        2 * 1024**3, ge=256 * 1024**2, description="How much memory the process of a training may allocate."
    )
    training_cache_bytes: int = Field(
        20 * 1024**3, ge=0, description="Size of the cache of features of recordings, 350 MB for an hour of audio."
    )

    audit_days: float = Field(365.0, gt=0, description="How long the audit log keeps who did what.")

    # Object storage
    storage_server: Literal["auto", "minio", "seaweedfs", "external"] = Field(
        "auto", description="Server behind the S3 interface; auto is MinIO, or SeaweedFS if MinIO is not installed."
    )
    storage_endpoint: AnyHttpUrl | None = Field(
        None,
        description="S3 endpoint, if storage_server is external, and of the buckets that `bulk` names.",
        examples=["https://s3.example.com:9000"],
    )
    storage_ca_file: Path | None = Field(
        None,
        description="Certificates in PEM of the CAs that sign the endpoint's certificate, if no public CA does.",
        examples=["/etc/appliance/tls/storage-ca.pem"],
    )
    storage_bucket: str = Field("audio", pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", description="Bucket of uploads.")
    storage_region: str = Field("us-east-1", description="Region in the signatures of S3 requests.")
    storage_access_key: str = Field("", description="Access key to storage_endpoint.")
    storage_secret_key: str = Field("", description="Secret key to storage_endpoint.", repr=False)
    storage_read_access_key: str = Field(
        "",
        description="Access key with which recordings are only read: by download URLs, by the nodes of a cluster and "
        "by `bulk`. If it is empty, they use storage_access_key.",
    )
    storage_read_secret_key: str = Field("", description="Secret key of storage_read_access_key.", repr=False)

    # Models
    model_store: Path = Field(
        ROOT / "model_store", description="Folder of the models, with a folder <name>/<version>/ for each."
    )
    default_model: str = Field("artifacts", description="Model that `detect` uses if none is named.")
    embedding_model: str = Field(
        "spectrum",
        description="Model that embeds datasets: an embedding model, or one that also gives vectors.",
    )
    sound_model: str = Field(
        "sound",
        description="Model of the learned search for similar recordings, beside embedding_model; empty for none.",
    )
    transcription_model: str = Field("moonshine-tiny-en", description="Model that transcribes if a request names none.")
    provider: Literal["auto", "cuda", "cpu"] = Field(
        "auto",
        description="Where models run; cuda refuses to start without a GPU, auto falls back to the CPU.",
    )
    max_model_bytes: int = Field(1024 * MEBIBYTE, ge=1, description="Largest file of a model.")
    model_check_memory_bytes: int = Field(
        4096 * MEBIBYTE, ge=512 * MEBIBYTE, description="Largest address space of the process that checks a model."
    )
    model_check_seconds: int = Field(
        120, ge=1, description="How long the check of a model may take, in time and in CPU time."
    )
    batch_size: int = Field(
        0, ge=0, le=4096, description="Windows that are scored in one batch; 0 chooses by the provider."
    )
    scoring_calls: int = Field(
        0,
        ge=0,
        le=256,
        description="Batches that are scored at the same time; 0 chooses: on a GPU 1. If this and scoring_threads are "
        "both 0, a worker on the CPU measures at its first start what is fastest.",
    )
    scoring_threads: int = Field(0, ge=0, le=256, description="Threads that score one batch on the CPU; 0 chooses.")

    gpu_precision: Literal["float32", "tf32", "float16"] = Field(
        "float32",
        description="Precision of convolutions and matrix products on a GPU; float32 gives what the CPU gives.",
    )
    cuda_graphs: bool = Field(
        False,
        description="Whether a GPU starts the kernels of a batch together; the model must not use If, Loop or Scan.",
    )

    # Decoding
    decoders: int = Field(0, ge=0, le=256, description="Number of decoder processes; 0 is one for each core.")
    decoder_memory_bytes: int = Field(
        512 * MEBIBYTE, ge=256 * MEBIBYTE, description="Largest address space of a decoder process."
    )
    decoder_cpu_seconds: int = Field(1800, ge=1, description="CPU time that a decoder process may use for one file.")
    decoder_stall_seconds: int = Field(
        60, ge=1, description="Longest wait for the next block of audio from a decoder process."
    )
    max_duration_seconds: int = Field(12 * 3600, ge=1, description="Longest recording that is analysed.")

    # Looking and listening
    waveform_seconds: float = Field(
        60.0,
        ge=0,
        description="Recordings of at least this length get their waveform while they are analyzed; that of others is "
        "made when somebody first looks at them.",
    )
    tile_cache_bytes: int = Field(
        1024 * MEBIBYTE,
        ge=16 * MEBIBYTE,
        description="Largest size of the pictures of spectrograms that stay on the disk; the least recently used go.",
    )

    # Webhooks
    webhook_networks: list[Annotated[str, AfterValidator(_network)]] = Field(
        ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
        description="Networks that callback URLs may lead to; the appliance's own ports are never called.",
    )
    webhook_timeout_seconds: float = Field(
        20.0, gt=0, description="How long one attempt to deliver a webhook may take in all."
    )
    webhook_retry_seconds: list[float] = Field(
        [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400],
        description="Waits between the attempts to deliver a webhook; after the last attempt it is given up.",
    )
    webhook_threads: int = Field(
        8,
        ge=1,
        le=64,
        description="Number of webhooks that are delivered at the same time; a tenant gets at most half of them.",
    )
    webhook_log_days: float = Field(
        30.0, gt=0, description="How long deliveries stay in the list after they succeeded or were given up."
    )

    # Cluster
    executor: Literal["local", "ray"] = Field(
        "local",
        description="Where files of jobs are analyzed: by this machine, or by the nodes of a Ray cluster of which it "
        "is the head.",
    )
    cluster_listen: Annotated[str, AfterValidator(_address_and_port)] = Field(
        "127.0.0.1:6379",
        description="Address and port at which nodes join, if executor is ray. Only nodes may reach it: Ray opens "
        "further ports of that address.",
        examples=["10.9.0.1:6379"],
    )
    engine_deadline_seconds: float = Field(
        30.0, ge=2, description="How long an engine on a node may give no sign of life before its files go elsewhere."
    )
    max_lost_engines: int = Field(
        3, ge=1, description="Number of engines that a file may be in when they are lost; then it fails."
    )

    # Fetching
    fetch_hosts: list[Annotated[str, AfterValidator(_network_or_name)]] = Field(
        [],
        description="Hosts and networks from which recordings are fetched if a client names a URL; none by default.",
        examples=[["nas.example.com", "192.168.7.0/24"]],
    )
    fetch_timeout_seconds: float = Field(3600.0, gt=0, description="How long fetching one recording may take in all.")
    fetch_threads: int = Field(
        4,
        ge=1,
        le=64,
        description="Number of recordings that are fetched at the same time; a tenant gets at most half of them.",
    )

    # Work
    storage_threads: int = Field(
        2,
        ge=1,
        le=64,
        description="Number of uploads that the worker stores, and of deletions, at the same time as inference.",
    )
    lease_seconds: float = Field(
        30.0, ge=0.5, description="How long a worker may be silent before another worker may claim its file."
    )
    hang_seconds: float = Field(
        120.0,
        ge=2,
        description="How long a process of the appliance may give no sign of life before it is killed and restarted.",
    )
    max_decoder_deaths: int = Field(3, ge=1, description="Number of decoder deaths after which a file fails.")
    max_lost_leases: int = Field(10, ge=1, description="Number of lost leases after which a file fails.")
    poll_seconds: float = Field(
        0.25, gt=0, description="Longest time between two looks of an idle worker into the queue. It notices changes."
    )
    sweep_seconds: float = Field(30.0, gt=0, description="Time between two searches for expired uploads and leases.")

    @property
    def own_host(self) -> str:
        """The host at which this machine reaches the front door."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def looks(self) -> bool:
        """Whether a recording may be long enough to get its waveform while it is analyzed."""
        return self.waveform_seconds <= self.max_duration_seconds

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in order: the command line, the environment, the file."""
        file = Path(os.environ.get("APPLIANCE_CONFIG", ROOT / "config" / "appliance.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)


def load_settings(**overrides: object) -> Settings:
    """Read the settings. ``overrides`` that are not None win over the environment and the file.

    Raises ConfigurationError naming the setting that is wrong.
    """
    values = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"Settings are wrong: {faults}.") from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The settings file cannot be read: {error}.") from error
