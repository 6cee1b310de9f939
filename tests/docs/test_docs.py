"""The settings file and the links in the documents are correct."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance import ROOT, errors
from appliance.config import Settings, load_settings


def test_every_setting_can_be_uncommented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "config" / "appliance.toml").read_text()
    lines = [re.sub(r"^# (Not set by default\. )?(\w+ = )", r"\2", line) for line in text.splitlines()]
    path = tmp_path / "appliance.toml"
    path.write_text("\n".join(lines))
    monkeypatch.setenv("APPLIANCE_CONFIG", str(path))
    monkeypatch.chdir(ROOT)
    loaded, default = load_settings(), Settings.model_construct()
    optional = {name for name, field in Settings.model_fields.items() if field.default is None}
    assert optional
    for name in Settings.model_fields:
        if name in optional:
            assert getattr(loaded, name) is not None, name
        elif name == "model_store":
            assert loaded.model_store.resolve() == default.model_store.resolve()
        else:
            assert getattr(loaded, name) == getattr(default, name), name


def test_a_wrong_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "appliance.toml"
    monkeypatch.setenv("APPLIANCE_CONFIG", str(path))
    for line, words in (("prot = 80", "prot"), ("port = 'x'", "port"), ("lease_seconds = 0", "lease_seconds")):
        path.write_text(line)
        with pytest.raises(errors.ConfigurationError, match=words):
            load_settings()
    path.write_text("= nothing")
    with pytest.raises(errors.ConfigurationError, match="cannot be read"):
        load_settings()


def test_relative_links_resolve() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
