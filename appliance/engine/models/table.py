"""The base of every table of a manifest."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of a manifest. Unknown keys are rejected, so that a misspelt key is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def check_version(text: str) -> str:
    """Return ``text``. Raises ValueError if it is not a version (PEP 440)."""
    try:
        Version(text)
    except InvalidVersion as error:
        raise ValueError("must be a version such as 1.2.0") from error
    return text
