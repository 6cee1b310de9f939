"""Object storage without the rest of the appliance, for commands on a stopped appliance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from appliance.config import Settings
from appliance.errors import StorageError
from appliance.storage.access import kept_ports, load_access, save_access
from appliance.storage.objects import ObjectStore
from appliance.storage.servers import choose_server, prepare
from appliance.supervisor import parts
from appliance.supervisor.child import Child
from appliance.supervisor.ports import is_free


@contextmanager
def storage_running(settings: Settings) -> Iterator[None]:
    """Run the storage of a data folder that this process holds, unless it runs already, as a unit of its own does.

    Raises StorageUnavailable, ConfigurationError.
    """
    if _answers(settings):
        yield
        return
    kept = kept_ports(settings.data_dir)  # those that the services of systemd know
    server = choose_server(settings, kept if all(is_free("127.0.0.1", port) for port in kept) else ())
    part = parts.storage(server)
    if part is None:
        save_access(settings.data_dir, prepare(server, parts.START_SECONDS))
        yield
        return
    child = Child(part.name, part.command, part.environment, settings.data_dir / "logs")
    child.start()
    try:
        save_access(settings.data_dir, prepare(server, parts.START_SECONDS))
        yield
    finally:
        child.stop(part.patience_seconds)


def _answers(settings: Settings) -> bool:
    try:
        return ObjectStore(load_access(settings.data_dir)).ready()
    except StorageError:
        return False
