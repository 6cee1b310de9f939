"""Who signs in gets a cookie that stands for the key: as long as both live, and for pages of this origin only."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import requests

from appliance.services import keys
from appliance.services.sessions import IDLE_SECONDS, LONGEST_SECONDS
from appliance.state.database import Database
from tests.support.appliances import Appliance

SESSION = "/console/session"
JOBS = "/api/v1/inference-jobs"
UNSAFE = [("POST", JOBS), ("DELETE", f"{JOBS}/none"), ("DELETE", SESSION), ("PATCH", "/api/v1/datasets/none")]


@pytest.fixture
def client(appliance: Appliance) -> Iterator[requests.Session]:
    """A browser that is signed in with the first key."""
    with requests.Session() as session:
        assert sign_in(session, appliance, appliance.key).status_code == 201
        yield session


def sign_in(session: requests.Session, appliance: Appliance, key: str, **headers: str) -> requests.Response:
    return session.post(appliance.url + SESSION, json={"key": key}, headers={"Origin": appliance.url} | headers)


def change_session(appliance: Appliance, column: str, seconds: float) -> None:
    """Move a time of every session into the past."""
    with Database(appliance.data_dir / "appliance.db").transaction() as tx:
        tx.change(f"UPDATE console_sessions SET {column} = {column} - ?", [seconds])


def test_the_cookie_stands_for_the_key_with_its_scopes(appliance: Appliance) -> None:
    with requests.Session() as session:
        response = sign_in(
            session,
            appliance,
            keys.create_key(Database(appliance.data_dir / "appliance.db"), "reader", scopes=["read"]),
        )
        cookie = response.headers["Set-Cookie"]
        assert {part.strip() for part in cookie.split(";")[1:]} == {"HttpOnly", "SameSite=Strict", "Path=/"}
        assert response.json()["scopes"] == ["read"]
        assert session.get(appliance.url + SESSION).json() == response.json()
        assert session.get(appliance.url + JOBS).status_code == 200
        made = session.post(appliance.url + JOBS, json={"model_id": "loud-frames"}, headers={"Origin": appliance.url})
        assert (made.status_code, made.json()["code"]) == (403, "scope_missing")


def test_over_https_the_cookie_is_bound_to_the_host(appliance: Appliance) -> None:
    """A proxy that is trusted ends TLS; loopback is trusted."""
    with requests.Session() as session:
        response = sign_in(session, appliance, appliance.key, **{"X-Forwarded-Proto": "https"})
        cookie = response.headers["Set-Cookie"]
        assert cookie.startswith("__Host-console=")
        assert "Secure" in cookie


def test_only_the_hash_of_the_token_is_stored(appliance: Appliance, client: requests.Session) -> None:
    token = client.cookies["console"]
    assert len(token) >= 43
    files = appliance.data_dir.glob("appliance.db*")
    assert not any(token.encode() in file.read_bytes() for file in files)


@pytest.mark.parametrize("key", ["", "ak_wrong", "x" * 201, None, 5])
def test_a_bad_key_signs_nobody_in(appliance: Appliance, key: object) -> None:
    response = requests.post(appliance.url + SESSION, json={"key": key}, headers={"Origin": appliance.url})
    assert response.status_code == (401 if key == "ak_wrong" else 400)
    assert "Set-Cookie" not in response.headers


def test_signing_out_ends_the_session(appliance: Appliance, client: requests.Session) -> None:
    token = client.cookies["console"]
    assert client.delete(appliance.url + SESSION, headers={"Origin": appliance.url}).status_code == 204
    assert "console" not in client.cookies
    again = requests.get(appliance.url + JOBS, headers={"Cookie": f"console={token}"})
    assert (again.status_code, again.json()["code"]) == (401, "unauthorized")


def test_the_session_ends_with_its_key(appliance: Appliance) -> None:
    db, name = Database(appliance.data_dir / "appliance.db"), str(uuid.uuid4())
    key = keys.create_key(db, name)
    with requests.Session() as session:
        sign_in(session, appliance, key)
        assert session.get(appliance.url + JOBS).status_code == 200
        keys.revoke_key(db, keys.find_key(db, name).id, keep_administrator=False)
        assert session.get(appliance.url + JOBS).status_code == 401
        assert session.get(appliance.url + SESSION).status_code == 401


@pytest.mark.parametrize(("column", "seconds"), [("used_at", IDLE_SECONDS), ("created_at", LONGEST_SECONDS)])
def test_a_session_ends_after_its_time(
    appliance: Appliance, client: requests.Session, column: str, seconds: float
) -> None:
    change_session(appliance, column, seconds - 300)
    assert client.get(appliance.url + SESSION).status_code == 200
    change_session(appliance, column, seconds)
    assert "session is over" in client.get(appliance.url + SESSION).json()["detail"]


def test_use_keeps_a_session_alive(appliance: Appliance, client: requests.Session) -> None:
    for _ in range(3):
        change_session(appliance, "used_at", IDLE_SECONDS / 2)
        assert client.get(appliance.url + SESSION).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://attacker.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "127.0.0.1:PORT"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "OWN"},
        {"Sec-Fetch-Site": "same-site", "Origin": "OWN"},
        {"Sec-Fetch-Site": "none", "Origin": "OWN"},
        {"Sec-Fetch-Site": "", "Origin": "OWN"},
    ],
    ids=str,
)
def test_no_other_page_changes_anything(
    appliance: Appliance, client: requests.Session, headers: dict[str, str]
) -> None:
    port = appliance.url.rpartition(":")[2]
    sent = {name: value.replace("OWN", appliance.url).replace("PORT", port) for name, value in headers.items()}
    for method, path in UNSAFE:
        response = client.request(method, appliance.url + path, json={"model_id": "loud-frames"}, headers=sent)
        assert (response.status_code, response.json()["code"]) == (403, "forbidden"), (method, path)
    refused = requests.post(appliance.url + SESSION, json={"key": appliance.key}, headers=sent)
    assert refused.status_code == 403
    # With a key nothing changes: no browser sends one by itself.
    keyed = client.post(
        appliance.url + JOBS, json={"model_id": "loud-frames"}, headers=sent | {"X-API-Key": appliance.key}
    )
    assert keyed.status_code == 201


@pytest.mark.parametrize("headers", [{"Origin": "OWN"}, {"Sec-Fetch-Site": "same-origin", "Origin": "null"}], ids=str)
def test_a_page_of_this_origin_may_change_something(
    appliance: Appliance, client: requests.Session, headers: dict[str, str]
) -> None:
    sent = {name: value.replace("OWN", appliance.url) for name, value in headers.items()}
    made = client.post(appliance.url + JOBS, json={"model_id": "loud-frames"}, headers=sent)
    assert made.status_code == 201


def test_a_session_reads_the_details_of_readiness(appliance: Appliance, client: requests.Session) -> None:
    def details(response: requests.Response) -> set[bool]:
        return {check["detail"] is None for check in response.json()["checks"].values()}

    assert details(client.get(appliance.url + "/readyz")) != {True}
    assert details(requests.get(appliance.url + "/readyz")) == {True}
