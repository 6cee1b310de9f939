"""What every table of a manifest is."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of the manifest: unknown keys are refused, so that a misspelt one is never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def check_version(text: str) -> str:
    """The text, where it is a version; else ValueError."""
    try:
        Version(text)
    except InvalidVersion as error:
        raise ValueError("must be a version such as 1.2.0") from error
    return text
