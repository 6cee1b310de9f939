"""``appliance doctor``: checks what the appliance needs and what is running, and says how to fix what is wrong."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import click
import urllib3

from appliance.config import Settings, load_settings
from appliance.engine.confinement.confine import MEANS, missing_confinement
from appliance.engine.models.calibration import kept_calibration, parallel_of
from appliance.engine.models.gpus import list_gpus
from appliance.engine.models.runtime import choose_provider, why_no_cuda
from appliance.engine.models.store import ModelStore
from appliance.engine.registration import CheckLimits, check_model
from appliance.errors import ApplianceError, StateError
from appliance.frontdoor.caddy import find_caddy
from appliance.frontdoor.tls import CA_PATH, root_certificate
from appliance.services import cluster, quotas, tenants
from appliance.services.box import open_box
from appliance.services.health import Health
from appliance.state import inference_files
from appliance.state.database import Database, check_sqlite
from appliance.storage.servers import choose_server
from appliance.supervisor.folders import is_served
from appliance.supervisor.parts import answer_of, origin_of
from appliance.supervisor.ports import is_free

# What a decoder process could do without each means, if a crafted recording took it over, and how to get the means.
UNCONFINED = {
    "seccomp": (
        "reach local services through UNIX sockets, and signal processes",
        "Use an x86_64 kernel with CONFIG_SECCOMP_FILTER. In a container, allow the system call seccomp.",
    ),
    "Landlock": (
        "read and change the appliance's files, if seccomp is missing too",
        "Use a kernel from 5.13 on with CONFIG_SECURITY_LANDLOCK and landlock in its parameter lsm=. "
        "In a container, allow the landlock system calls.",
    ),
    "network namespace": ("reach the network, if seccomp is missing too", None),
    "no_new_privs": (
        "gain privileges by starting a program, if seccomp is missing too",
        "In a container, allow the system call prctl.",
    ),
}

NEARLY = 0.8  # the share of a quota from which on its use is shown


@dataclass(frozen=True)
class Finding:
    """One line: what was checked, the result, and how to fix it if it is not ok."""

    name: str
    result: str
    fix: str | None = None


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder that holds all state.  [default: var]")
@click.option("--host", help="Address on which `up` will listen.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port on which `up` will listen.  [default: 8080]")
def doctor(data_dir: Path | None, host: str | None, port: int | None) -> None:
    """Check this machine and the appliance on it. The exit code is 1 if something must be fixed."""
    settings = load_settings(data_dir=data_dir, host=host, port=port)
    broken = False
    for check in (
        _python,
        _database,
        _decoders,
        _provider,
        _cores,
        _storage,
        _caddy,
        _models,
        _disk,
        _retention,
        _quotas,
        _uploads,
        _cluster,
        _serving,
        _tls,
    ):
        for finding in _guarded(check, settings):
            broken = broken or finding.fix is not None
            click.echo(f"{'ok ' if finding.fix is None else 'FIX'}  {finding.name:<12} {finding.result}")
            if finding.fix:
                click.echo(f"{'':17} {finding.fix}")
    raise SystemExit(1 if broken else 0)


def _guarded(check: Callable[[Settings], Iterator[Finding]], settings: Settings) -> Iterator[Finding]:
    try:
        yield from check(settings)
    except (ApplianceError, OSError, subprocess.SubprocessError, urllib3.exceptions.HTTPError) as error:
        yield Finding(check.__name__.strip("_"), "does not work", str(error))


def _python(settings: Settings) -> Iterator[Finding]:
    packages = ("flask", "gunicorn", "minio", "numpy", "soundfile", "av", "soxr", "sqlite-utils")
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores")
    yield Finding("packages", ", ".join(f"{name} {version(name)}" for name in packages))


def _database(settings: Settings) -> Iterator[Finding]:
    yield Finding("database", f"SQLite {check_sqlite()}")
    database = Database.of(settings)
    if database.path.exists():
        database.check()
        yield Finding("database", f"{database.path} is whole")


def _decoders(settings: Settings) -> Iterator[Finding]:
    missing = missing_confinement()
    for name, reason in missing.items():
        risk, fix = UNCONFINED[name]
        yield Finding("decoders", f"no {name} ({reason}): a crafted recording could make a decoder {risk}", fix)
    used = [name for name in MEANS if name not in missing]
    yield Finding("decoders", f"confined by {', '.join(used) or 'nothing but limits on resources'}")


def _provider(settings: Settings) -> Iterator[Finding]:
    runtime = f"onnxruntime {version('onnxruntime-gpu')}"
    if choose_provider(settings.provider) == "cuda":
        yield Finding("provider", f"cuda, {runtime}; GPUs, each with a worker: {len(list_gpus())}")
    else:
        reason = "as set" if settings.provider == "cpu" else f"CUDA is not used: {why_no_cuda()}"
        yield Finding("provider", f"cpu, {runtime}; {reason}")


def _cores(settings: Settings) -> Iterator[Finding]:
    if choose_provider(settings.provider) == "cuda":
        return
    model = ModelStore(settings.model_store).resolve(settings.default_model)
    chosen = parallel_of(settings, model)
    kept = kept_calibration(settings.data_dir, model, settings.batch_size)
    if settings.scoring_calls or settings.scoring_threads:
        reason = "as set"
    elif kept:
        speeds = [f"{choice.calls} × {choice.threads}: {speed:g}" for choice, speed in kept.windows_per_second.items()]
        reason = f"windows per second, measured by calls × threads: {', '.join(speeds)}"
    else:
        reason = "by default; the worker measures it at its first start"
    yield Finding("cores", f"scoring calls at once: {chosen.calls}, threads of each: {chosen.threads}; {reason}")


def _storage(settings: Settings) -> Iterator[Finding]:
    server = choose_server(settings)
    if server.program:
        version_of = _version_of(server.program, server.version_flag)
        yield Finding("storage", f"{server.name}: {version_of} ({server.program})")
    else:
        yield Finding("storage", f"{server.name} at {server.endpoint}")
    if server.notice:
        yield Finding("storage", server.notice)


def _caddy(settings: Settings) -> Iterator[Finding]:
    yield Finding("front door", f"Caddy {_version_of(find_caddy(), 'version')}")


def _models(settings: Settings) -> Iterator[Finding]:
    store = ModelStore(settings.model_store)
    for fault in store.faults():
        yield Finding("model", "cannot be read", fault)
    for model in store.models():
        try:
            check_model(model, CheckLimits.from_settings(settings))
            yield Finding("model", model.manifest.id)
        except ApplianceError as error:
            yield Finding("model", model.manifest.id, str(error))
    store.resolve(settings.default_model)


def _disk(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    fix = None if free >= settings.least_free_bytes else "Free some space: recordings are stored here."
    yield Finding("disk", f"{free / 1024**3:.1f} GiB free for {settings.data_dir.absolute()}", fix)
    if not os.access(folder, os.W_OK):
        yield Finding(
            "disk",
            f"{folder} is not writable",
            "Give this user write access to the folder, or choose another with --data-dir.",
        )


def _retention(settings: Settings) -> Iterator[Finding]:
    kept = {"originals": settings.retention_originals_days, "results": settings.retention_results_days}
    parts = [f"{name} {f'for {days:g} days' if days else 'until they are deleted'}" for name, days in kept.items()]
    parts.append(f"unused raw uploads for {settings.unused_upload_days:g} days")
    yield Finding("retention", f"keeps {', '.join(parts)}")


def _quotas(settings: Settings) -> Iterator[Finding]:
    names = [name for name in Settings.model_fields if name.startswith("tenant_")]
    parts = [f"{name} {getattr(settings, name) or 'no limit'}" for name in names]
    yield Finding("quotas", f"of each tenant: {', '.join(parts)}")
    database = Database.of(settings)
    if not database.path.exists():
        return
    try:
        uses = [
            (tenant.name, limit)
            for tenant in tenants.list_tenants(database)
            for limit in quotas.limits(settings, database, tenant.id)
        ]
    except StateError:
        yield Finding("quotas", "the next `up` brings the database up to date; then their use is shown")
        return
    for name, limit in uses:
        if limit.allowed is not None and limit.used >= NEARLY * limit.allowed:
            yield Finding("quotas", f"{name} uses {limit.used:.0f} of {limit.allowed:.0f} ({limit.name})")


def _uploads(settings: Settings) -> Iterator[Finding]:
    database = Database.of(settings)
    if not database.path.exists():
        return
    with suppress(StateError):  # the database of an older release; `quotas` says so
        count, size_bytes = inference_files.count_open_parts(database)
        ends = f"each ends {settings.upload_expires_seconds / 60:.0f} min after its client last asked for URLs"
        yield Finding("uploads", f"in parts: {count} open, of {size_bytes / 1e6:.0f} MB in all; {ends}")


def _cluster(settings: Settings) -> Iterator[Finding]:
    if settings.executor == "local":
        return
    try:
        cluster.check_box(settings)
    except ApplianceError as error:
        yield Finding("cluster", "this box cannot be its head", str(error))
        return
    host = settings.cluster_listen.rpartition(":")[0].strip("[]")
    yield Finding("cluster", f"nodes join at {settings.cluster_listen} and must have {cluster.versions()}")
    yield Finding(
        "cluster",
        f"only nodes may reach {host}, at any port: Ray listens on every address of a machine. On the box and on each "
        "node, with the network of the nodes for NODES and that of everybody else's interface for LAN: "
        "nft add rule inet filter input iifname LAN ip saddr != NODES tcp dport 1024-65535 drop, "
        "after the rules that let clients in",
    )


def _serving(settings: Settings) -> Iterator[Finding]:
    origin = origin_of(settings)
    if is_served(settings.data_dir):
        for name, check in Health(open_box(settings)).check_all().items():
            is_right = check.ok and not check.is_warning
            yield Finding(name, check.detail, None if is_right else _fix(name, settings))
        answer_of(settings, "/healthz", 10.0)
        yield Finding("serving", origin)
    elif is_free(settings.host, settings.port):
        yield Finding("port", f"{origin} is free; the appliance is not running")
    else:
        yield Finding(
            "port", f"{origin} is in use", "Stop the process that listens there, or choose another port with --port."
        )


def _fix(name: str, settings: Settings) -> str:
    if name == "certificate" and settings.tls == "certificate":
        return f"Replace {settings.tls_certificate} and {settings.tls_key}, then restart the front door."
    return f"See the logs in {settings.data_dir.absolute() / 'logs'}."


def _tls(settings: Settings) -> Iterator[Finding]:
    if settings.tls == "off":
        yield Finding("tls", "off: keys and recordings cross the network in clear")
    elif settings.tls == "certificate":
        yield Finding("tls", f"with the certificate {settings.tls_certificate}")
    else:
        root = root_certificate(settings.data_dir / "frontdoor")
        if not root.exists():
            yield Finding("tls", "with a certificate of its own CA, which it makes at the first start")
            return
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(root.read_text())).hexdigest()
        yield Finding("tls", f"with a certificate of its own CA; SHA-256 of the CA's certificate: {digest}")
        yield Finding(
            "tls",
            f"a client trusts it after it installed {CA_PATH} of this origin: compare the SHA-256 (openssl x509 -in "
            "ca.crt -noout -fingerprint -sha256); curl takes --cacert ca.crt; Debian: copy it to "
            "/usr/local/share/ca-certificates, then update-ca-certificates; browsers: import it as an authority",
        )


def _version_of(program: Path, flag: str) -> str:
    output = subprocess.run([program, flag], capture_output=True, text=True, timeout=20, check=True)
    return output.stdout.strip().splitlines()[0]
