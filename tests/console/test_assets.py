"""The page and its assets: what is sent, how it is cached, how large it is, and that it is made of what it says."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess

import pytest
import requests

from appliance.frontdoor.console_routes import ASSETS
from tests.support.appliances import ROOT, Appliance

SCRIPTS = sorted(ASSETS.rglob("*.js"))
OWN = [path for path in SCRIPTS if "vendor" not in path.parts]


@pytest.fixture(scope="module")
def build(appliance: Appliance) -> str:
    """The path below which the assets lie."""
    [build] = {*re.findall(r'"(/console/[0-9a-f]{16})/', requests.get(f"{appliance.url}/console/").text)}
    return str(build)


def test_the_page_is_never_stale_and_runs_only_its_own_scripts(appliance: Appliance) -> None:
    page = requests.get(f"{appliance.url}/console/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-cache"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy
    assert requests.get(f"{appliance.url}/console", allow_redirects=False).headers["Location"] == "/console/"
    assert requests.head(f"{appliance.url}/console/").status_code == 200
    assert requests.post(f"{appliance.url}/console/").status_code in (404, 405)


def test_every_asset_is_served_as_it_is_and_kept_for_good(appliance: Appliance, build: str) -> None:
    for path in (path for path in ASSETS.rglob("*.*") if path.suffix in (".js", ".css", ".svg")):
        response = requests.get(f"{appliance.url}{build}/{path.relative_to(ASSETS)}")
        assert (response.status_code, response.content) == (200, path.read_bytes())
        assert "immutable" in response.headers["Cache-Control"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if len(response.content) > 512:
            assert response.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    "path",
    ["shell.html", "vendor/lock.json", "js/", "", "../frontdoor/caddy.py", "%2e%2e/frontdoor/caddy.py", "js/none.js"],
)
def test_nothing_else_is_served(appliance: Appliance, build: str, path: str) -> None:
    request = requests.Request("GET", appliance.url).prepare()
    request.url = f"{appliance.url}{build}/{path}"
    with requests.Session() as session:
        assert session.send(request).status_code == 404


def test_assets_of_another_build_are_missing(appliance: Appliance) -> None:
    assert requests.get(f"{appliance.url}/console/{'0' * 16}/js/main.js").status_code == 404


def test_the_code_is_small() -> None:
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in SCRIPTS) <= 60_500
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in ASSETS.rglob("*.css")) <= 12_000
    lines = {path: path.read_text().count("\n") for path in OWN}
    assert sum(lines.values()) <= 3252
    assert max(lines.values()) <= 300, lines
    assert max(len(line) for path in OWN for line in path.read_text().splitlines()) <= 160


def test_no_script_names_another_host() -> None:
    for path in OWN:
        assert not re.search(r"https?://(?!www\.w3\.org/)", path.read_text()), path


def test_the_vendored_file_is_the_one_of_the_lock() -> None:
    lock = json.loads((ASSETS / "vendor/lock.json").read_text())
    assert hashlib.sha256((ASSETS / "vendor/lit.js").read_bytes()).hexdigest() == lock["sha256"]


def test_the_vendored_file_can_be_made_again() -> None:
    subprocess.run([ROOT / "scripts/vendor", "--check"], check=True, timeout=800)
