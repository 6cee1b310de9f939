"""Settings: declared once, here; documented in ``config/appliance.toml``; overridden by ``APPLIANCE_…`` variables."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AnyHttpUrl, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from appliance.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
MEBIBYTE = 1024**2


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


class Settings(BaseSettings):
    """Every setting of the appliance. Units are in the names."""

    model_config = SettingsConfigDict(env_prefix="APPLIANCE_", extra="forbid", frozen=True)

    # Serving
    host: str = Field("127.0.0.1", description="Address the front door listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port of the front door; 0 picks a free one.")
    public_url: AnyHttpUrl | None = Field(
        None,
        description="Origin to put into upload and download URLs in place of the one the client used.",
        examples=["https://listen.example.com"],
    )
    cors_origins: list[str] = Field([], description="Origins whose pages may upload to and download from storage.")
    data_dir: Path = Field(Path("var"), description="Folder that holds all state: database, objects, secrets.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    api_threads: int = Field(16, ge=1, le=256, description="Requests that the API answers at once.")

    # Uploads
    max_upload_bytes: int = Field(500 * MEBIBYTE, ge=1, description="Largest file that may be uploaded.")
    max_batch_bytes: int = Field(
        5000 * MEBIBYTE, ge=1, description="Largest body of a batch upload; each of its files may be an upload's size."
    )
    streamed_uploads: int = Field(
        32, ge=1, le=1024, description="Uploads through the API that are taken in at once; one more is told to wait."
    )
    upload_expires_seconds: int = Field(
        3600, ge=1, le=7 * 86400, description="How long an upload form or a download URL is valid."
    )
    upload_grace_seconds: int = Field(
        900, ge=0, description="How long after its form expired an upload that began in time may take to finish."
    )

    # Object storage
    storage_server: Literal["auto", "minio", "seaweedfs", "external"] = Field(
        "auto", description="Server behind the S3 interface; auto is MinIO, or SeaweedFS where MinIO cannot be had."
    )
    storage_endpoint: AnyHttpUrl | None = Field(
        None, description="S3 endpoint, for storage_server = external.", examples=["http://s3.example.com:9000"]
    )
    storage_bucket: str = Field("audio", pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", description="Bucket of uploads.")
    storage_region: str = Field("us-east-1", description="Region that signatures name.")
    storage_access_key: str = Field("", description="Access key, for storage_server = external.")
    storage_secret_key: str = Field("", description="Secret key, for storage_server = external.", repr=False)

    # Models
    model_store: Path = Field(ROOT / "model_store", description="Folder with <name>/<version>/ of every model.")
    default_model: str = Field("artifacts", description="Model that `detect` uses when none is named.")
    embedding_model: str = Field(
        "spectrum", description="Model that embeds datasets: one for embedding, or one that also gives vectors."
    )
    transcription_model: str = Field(
        "moonshine-tiny-en", description="Model that transcribes where a request names none."
    )
    provider: Literal["auto", "cuda", "cpu"] = Field(
        "auto", description="Where models run: cuda refuses to start without a GPU, auto falls back to the CPU."
    )
    batch_size: int = Field(0, ge=0, le=4096, description="Windows scored at once; 0 chooses by the provider.")

    # Decoding
    decoders: int = Field(0, ge=0, le=256, description="Decoder processes; 0 is one for each core.")
    decoder_memory_bytes: int = Field(512 * MEBIBYTE, ge=256 * MEBIBYTE, description="Address space of a decoder.")
    decoder_cpu_seconds: int = Field(1800, ge=1, description="CPU time that one file may cost its decoder.")
    decoder_stall_seconds: int = Field(60, ge=1, description="Longest wait for the next block of audio.")
    max_duration_seconds: int = Field(12 * 3600, ge=1, description="Longest recording that is analysed.")

    # Webhooks
    webhook_networks: list[Annotated[str, AfterValidator(_network)]] = Field(
        ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
        description="Networks whose addresses callback URLs may lead to; the appliance's own ports are never called.",
    )
    webhook_timeout_seconds: float = Field(20.0, gt=0, description="How long a receiver may take, from first to last.")
    webhook_retry_seconds: list[float] = Field(
        [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400],
        description="Waits between the tries of a webhook; after the last one it is given up.",
    )
    webhook_threads: int = Field(4, ge=1, le=64, description="Webhooks that are delivered at once.")
    webhook_log_days: float = Field(30.0, gt=0, description="How long deliveries that reached their end are listed.")

    # Work
    lease_seconds: float = Field(30.0, ge=0.5, description="How long a worker may be silent before its file is free.")
    max_decoder_deaths: int = Field(3, ge=1, description="Decoder deaths after which a file is failed.")
    max_lost_leases: int = Field(10, ge=1, description="Lost leases after which a file is failed.")
    poll_seconds: float = Field(0.25, gt=0, description="How often an idle worker looks for work.")
    sweep_seconds: float = Field(30.0, gt=0, description="How often expired uploads and leases are looked for.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line first, then the environment, then the file."""
        file = Path(os.environ.get("APPLIANCE_CONFIG", ROOT / "config" / "appliance.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file)


def load_settings(**overrides: object) -> Settings:
    """Read the settings; ``overrides`` (None means not given) win over the environment and the file.

    Raises ConfigurationError naming the key that is wrong.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"Settings are wrong: {faults}.") from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The settings file cannot be read: {error}.") from error
