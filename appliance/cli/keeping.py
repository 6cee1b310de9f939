"""What ``backup``, ``restore`` and ``verify`` share: the box of a data folder, whether the appliance runs or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from appliance.config import Settings
from appliance.errors import ConfigurationError, DataFolderInUse
from appliance.services.box import Box, open_box
from appliance.supervisor.folders import lock_folder, make_folders
from appliance.supervisor.storage_alone import storage_running


@dataclass(frozen=True)
class Opened:
    """A box, and whether an appliance runs on it."""

    box: Box
    is_running: bool


@contextmanager
def opened(settings: Settings) -> Iterator[Opened]:
    """Open the box of a data folder. If no appliance runs there, its storage is started meanwhile."""
    if not (settings.data_dir / "appliance.db").is_file():
        raise ConfigurationError(f"There is no appliance in {settings.data_dir}.")
    make_folders(settings.data_dir)
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_folder(settings.data_dir))
        except DataFolderInUse:
            yield Opened(open_box(settings), is_running=True)
            return
        stack.enter_context(storage_running(settings))
        box = open_box(settings)
        box.db.migrate()
        yield Opened(box, is_running=False)
