"""Every call of the OpenAPI document × no key, wrong, revoked, expired, another tenant's, and a key of each scope.

Each call is made with the key in every header that it takes, and with the session of a browser that signed in with it.

A new call is tried without a change here, unless it has an id or a body that ``Belongings`` does not know yet.
"""

from __future__ import annotations

import functools
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from appliance.services.keys import SCOPES
from appliance.state.database import Database
from tests.contract.spec import Spec
from tests.contract.test_annotation_sets import add_audio, create_set, mark, new_dataset
from tests.contract.test_speech_batch import BatchClient
from tests.contract.test_speech_raw import RawClient
from tests.support.appliances import PATIENCE_SECONDS, Api, Appliance, wait_for
from tests.support.toy_recordings import loud_wav
from tests.support.trainings import add_training

OPEN = {("get", "/healthz"), ("get", "/readyz"), ("get", "/api/v1/status")}
SESSION = "/console/session"  # the calls to sign in and out, which tests/console tries
ADMIN = "/api/v1/admin"
VALUES = {
    "words": "loud",
    "label": "loud",
    "format": "csv",
    "start_ms": "0",
    "end_ms": "10",
    "level": "0",
    "index": "0",
}  # of what names nothing
ALLOWED = {"read": {"read"}, "write": {"read", "write"}, "admin": {"admin"}, "metrics": {"metrics"}}
HEADERS = {"api_key": "X-API-Key", "authorization": "Authorization", "session": "Cookie"}
UNKNOWN = str(uuid.uuid4())


@dataclass(frozen=True)
class Call:
    """An operation of the document, with the header that one of its security schemes reads."""

    method: str
    path: str
    header: str
    scope: str | None
    operation: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path} ({self.header})"

    @property
    def names(self) -> dict[str, list[str]]:
        """The names of the path's parameters, and of the query's that must be given."""
        parameters = self.operation.get("parameters", [])
        return {
            "path": [p["name"] for p in parameters if p["in"] == "path"],
            "query": [p["name"] for p in parameters if p["in"] == "query" and p.get("required")],
        }


class Belongings:
    """One object of each kind, all of the first tenant, or ids that nobody has."""

    def __init__(self, ids: dict[str, str]) -> None:
        self.ids = ids

    @property
    def owned(self) -> list[str]:
        """The ids of what belongs to one tenant."""
        return [value for name, value in self.ids.items() if name not in ("model_id", "key_id", "tenant_id")]

    def id_of(self, call: Call, name: str) -> str:
        """The id for a parameter. A name may mean different kinds on different routes."""
        if call.path.startswith("/transcribe") and name == "file_id":
            return self.ids["media_id"]
        if "annotation-sets" in call.path and name == "annotation_id":
            return self.ids["set_annotation_id"]
        if self.is_about_trained(call) and name == "model_id":
            return self.ids["trained_model_id"]
        return VALUES.get(name) or self.ids[name]

    def is_about_trained(self, call: Call) -> bool:
        """Whether a call is only for models that the tenant trained."""
        return call.path.startswith("/api/v1/models/") and call.method != "get"

    def names_one(self, call: Call) -> bool:
        """Whether a call names an object that belongs to a tenant."""
        sent = repr(self.options(call))
        if self.is_about_trained(call):
            return True
        return set(call.names["path"]) - {"model_id"} != set() or any(value in sent for value in self.owned)

    def options(self, call: Call) -> dict[str, Any]:
        """Query and body of a call, as ``requests`` takes them."""
        query = {name: self.id_of(call, name) for name in call.names["query"]}
        content = call.operation.get("requestBody", {}).get("content", {})
        if "multipart/form-data" in content:
            return {"params": query, "files": {"files": ("take.wav", loud_wav())}}
        if content and "application/json" not in content:
            return {"params": query, "data": b'{"artifact_type": "click", "start_ms": 0, "end_ms": 9}\n'}
        return {"params": query} | ({"json": self.body(call)} if content else {})

    def body(self, call: Call) -> Any:
        """A valid body of a call that names the objects. KeyError here means that a new call needs a line."""
        ids = self.ids
        file = {"filename": "a.wav", "content_type": "audio/wav"}
        span = {"artifact_type": "glitch", "start_ms": 0, "end_ms": 10}
        return {
            "CreateInferenceJob": {"model_id": "loud-frames"},
            "RequestUpload": file | {"file_size_bytes": 4},
            "ConfirmUpload": {"file_id": ids["file_id"]},
            "CreateDataset": {"name": "takes"},
            "ChangeDataset": {"name": "stolen"},
            "RequestAudioUpload": file | {"file_size": 4},
            "ConfirmAudioUpload": {"audio_id": ids["audio_id"]},
            "ChangeAudio": {"group": "a voice"},
            "CreateRecordingAnnotation": span,
            "ReviewStretch": {"labels": ["glitch"]},
            "CreateSetAnnotation": span | {"audio_file_id": ids["audio_id"]},
            "CreateSetAnnotations": {"annotations": [span | {"audio_file_id": ids["audio_id"]}]},
            "ChangeSetAnnotation": {"end_ms": 20},
            "AnnotateFromDetections": {
                "audio_file_id": ids["audio_id"],
                "job_id": ids["job_id"],
                "file_id": ids["file_id"],
            },
            "CreateTranscript": {"audio_url": ids["audio_url"]},
            "DeleteFiles": {"file_ids": [ids["media_id"]]},
            "CreateBatch": {"file_ids": [ids["media_id"]]},
            "GeneratePresignedUrl": {"contentType": "audio/wav"},
            "GetStatus": {"requestId": ids["transcriptionId"]},
            "PutReview": span | {"verdict": "confirmed"},
            "ReviewBatch": {"delete": [{"file_id": ids["file_id"], "id": "review-of-mine"}]},
            "Rules": {"rules": []},
            "AnnotateFromReviews": {"job_id": ids["job_id"]},
            "Redetect": {"threshold": 0.4},
            "CreateKey": {"name": f"key {uuid.uuid4()}"},
            "RotateKey": {"overlap_hours": 1},
            "Retention": {"results_days": 30},
            "CreateTrainingJob": {"name": "a", "dataset_ids": [ids["dataset_id"]], "labels": ["glitch"]},
            "PromoteModel": {"tenant": "default", "model_id": ids["trained_model_id"]},
            "CreateTenant": {"name": f"tenant {uuid.uuid4()}"},
        }[call.operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]

    def send(self, appliance: Appliance, call: Call, key: str | None) -> requests.Response:
        """Make the call on these objects."""
        path = call.path
        for name in call.names["path"]:
            path = path.replace(f"{{{name}}}", self.id_of(call, name))
        headers = {} if key is None else {call.header: key}
        if call.header == "Cookie":
            headers = {"Origin": appliance.url} | ({} if key is None else {"Cookie": cookie_of(appliance.url, key)})
        return requests.request(
            call.method, appliance.url + path, headers=headers, timeout=PATIENCE_SECONDS, **self.options(call)
        )


NOBODYS = Belongings(
    dict.fromkeys(
        [
            *(
                "job_id",
                "file_id",
                "dataset_id",
                "audio_id",
                "annotation_id",
                "stretch_id",
                "training_job_id",
                "set_id",
                "set_annotation_id",
            ),
            *(
                "transcript_id",
                "transcriptionId",
                "media_id",
                "batch_id",
                "batch_upload_id",
                "delivery_id",
                "review_id",
                "with",
            ),
        ],
        UNKNOWN,
    )
    | {
        "model_id": "none",
        "trained_model_id": "none@1.0.0",
        "key_id": "999999",
        "tenant_id": "999999",
        "audio_url": f"http://x/v2/upload/{UNKNOWN}",
    }
)


@pytest.fixture(scope="module")
def calls(spec: Spec) -> list[Call]:
    """Every operation. Fails if one declares no scope and is not among those that are open on purpose."""
    calls = []
    for path, operations in spec.document["paths"].items():
        for method, operation in operations.items():
            if path == SESSION:
                continue
            if (method, path) in OPEN:
                assert not operation.get("security")
                calls.append(Call(method, path, "X-API-Key", None, operation))
                continue
            needed = [item for requirement in operation.get("security", []) for item in requirement.items()]
            assert needed, f"{method} {path} declares no scope"
            assert "session" in dict(needed), f"{method} {path} takes no session"
            for scheme, scopes in needed:
                assert len(scopes) == 1, f"{method} {path} declares no scope"
                assert scopes[0] in SCOPES
                calls.append(Call(method, path, HEADERS[scheme], scopes[0], operation))
    assert len({call.path for call in calls}) > 40
    return calls


@pytest.fixture(scope="module")
def admin(appliance: Appliance) -> Api:
    """The API with a key that has the scope admin alone."""
    return Api(appliance.url, new_key(appliance, "admin"))


def new_key(appliance: Appliance, *scopes: str, tenant: str = "default") -> str:
    options = [option for scope in scopes for option in ("--scope", scope)]
    return appliance.command(
        "keys", "create", str(uuid.uuid4()), "--tenant", tenant, *options, "--data-dir", str(appliance.data_dir)
    )


@functools.cache
def cookie_of(url: str, key: str) -> str:
    """The cookie of a session of this key, or one that nobody got if the key lets nobody in."""
    response = requests.post(url + SESSION, json={"key": key}, headers={"Origin": url}, timeout=PATIENCE_SECONDS)
    return f"console={response.cookies.get('console', 'invented')}"


@pytest.fixture(scope="module")
def mine(appliance: Appliance) -> Belongings:
    """One object of each kind, of the first tenant."""
    api, key = appliance.api, appliance.key
    job_id = api.make_job()
    dataset = new_dataset(api)
    audio_id = add_audio(api, dataset, loud_wav())
    span = {"artifact_type": "glitch", "start_ms": 0, "end_ms": 10}
    drafted = create_set(api, dataset)["id"]
    in_set = api.post(f"{dataset}/annotation-sets/{drafted}/annotations", mark(audio_id), 201)["id"]
    raw, batches = RawClient(appliance.url, key), BatchClient(appliance.url, key)
    audio_url = raw.upload(loud_wav())
    receipt = batches.upload(("a.wav", loud_wav()))
    batch = batches.call("POST", "/batch", 202, json={"batch_upload_id": receipt["batch_upload_id"]})
    presigned = api.post("/api/generate-presigned-url", {"contentType": "audio/wav"})
    training_job_id = add_training(appliance.data_dir, 1, "secret-sounds")
    delivery_id = str(uuid.uuid4())
    with Database(appliance.data_dir / "appliance.db").transaction() as tx:
        tx.insert(
            "webhook_deliveries",
            ("created_at",),
            id=delivery_id,
            tenant_id=1,
            url="http://127.0.0.1:9/",
            event_type="job.completed",
            payload="{}",
            status="failed",
        )
    return Belongings(
        {
            "job_id": job_id,
            "file_id": api.send(job_id, loud_wav()),
            "dataset_id": dataset.rpartition("/")[2],
            "audio_id": audio_id,
            "review_id": "review-of-mine",
            "with": api.make_job(),
            "annotation_id": api.post(f"{dataset}/audio/{audio_id}/annotations", span, 201)["id"],
            "stretch_id": api.post(f"{dataset}/audio/{audio_id}/reviews", {"labels": ["glitch"]}, 201)["id"],
            "set_id": drafted,
            "set_annotation_id": in_set,
            "audio_url": audio_url,
            "transcript_id": raw.request_transcript(audio_url)["id"],
            "batch_upload_id": receipt["batch_upload_id"],
            "media_id": receipt["files"][0]["file_id"],
            "batch_id": batch["batch_id"],
            "transcriptionId": presigned["transcriptionId"],
            "delivery_id": delivery_id,
            "model_id": "loud-frames",
            "training_job_id": training_job_id,
            "trained_model_id": "secret-sounds@1.0.0",
            "key_id": "999999",
            "tenant_id": "999999",
        }
    )


@pytest.fixture(scope="module")
def refused_keys(appliance: Appliance) -> dict[str, str | None]:
    """Keys with every scope that are no longer live, a wrong one, and none."""
    revoked, expired = new_key(appliance, *SCOPES), new_key(appliance, *SCOPES)
    assert "invented" not in cookie_of(appliance.url, revoked) + cookie_of(
        appliance.url, expired
    )  # while they are live
    with Database(appliance.data_dir / "appliance.db").transaction() as tx:
        newest = [row["id"] for row in tx.all("SELECT id FROM api_keys ORDER BY id DESC LIMIT 2")]
        tx.change("UPDATE api_keys SET expires_at = unixepoch('subsec') - 1 WHERE id = ?", [newest[0]])
        tx.change("UPDATE api_keys SET revoked_at = unixepoch('subsec') WHERE id = ?", [newest[1]])
    return {"none": None, "wrong": f"{appliance.key}x", "revoked": revoked, "expired": expired}


def sentence_of(response: requests.Response) -> str:
    """What an error says, in either form."""
    body = response.json()
    return str(body.get("error") or body["detail"])


def test_a_key_that_is_not_live_opens_nothing(
    appliance: Appliance, calls: list[Call], mine: Belongings, refused_keys: dict[str, str | None]
) -> None:
    for call in calls:
        for name, key in refused_keys.items():
            response = mine.send(appliance, call, key)
            assert response.status_code == (200 if call.scope is None else 401), f"{call}, {name}: {response.text}"
            if name == "expired" and call.scope is not None:
                assert "expired at 20" in sentence_of(response)


@pytest.mark.parametrize("held", SCOPES)
def test_a_key_opens_the_calls_of_its_scope_and_no_others(
    appliance: Appliance, calls: list[Call], mine: Belongings, held: str
) -> None:
    key = new_key(appliance, held, tenant="scopes")
    for call in calls:
        if call.scope is None:
            continue
        if call.scope in ALLOWED[held]:
            response = NOBODYS.send(appliance, call, key)
            assert response.status_code != 401, f"{call}: {response.text}"
            assert response.status_code < 500, f"{call}: {response.text}"
            assert "has not the scope" not in response.text, f"{call}: {response.text}"
            continue
        response = mine.send(appliance, call, key)
        assert response.status_code == 403, f"{call}: {response.text}"
        assert f"the scope {call.scope}" in sentence_of(response)
        assert "error" in response.json() or response.json()["code"] == "scope_missing"


def test_another_tenant_sees_and_changes_nothing(appliance: Appliance, calls: list[Call], mine: Belongings) -> None:
    key = new_key(appliance, "read", "write", tenant="stranger")
    for call in calls:
        if call.scope is None:
            continue
        response = mine.send(appliance, call, key)
        if call.scope in ("admin", "metrics"):
            assert response.status_code == 403, f"{call}: {response.text}"
        elif mine.names_one(call):
            # The hosted service of the raw route answers 403 to the URL of somebody else's upload.
            assert response.status_code == (403 if call.path == "/v2/transcript" else 404), f"{call}: {response.text}"
        else:
            assert response.status_code < 300, f"{call}: {response.text}"
            assert not [value for value in mine.owned if value in response.text], call
    for call in calls:  # all of it is still there, and its owner sees it
        if call.method == "get" and call.scope == "read":
            response = mine.send(appliance, call, appliance.key)
            # 409: its work has not ended. 503: it is being made.
            assert response.status_code in (200, 409, 503), f"{call}: {response.text}"


def test_an_administrator_manages_keys(appliance: Appliance, admin: Api) -> None:
    name = f"robot {uuid.uuid4()}"
    made = admin.post(f"{ADMIN}/keys", {"name": name, "tenant": "robots", "scopes": ["read"], "expires_days": 1}, 201)
    assert (made["scopes"], made["tenant"], made["last_used_at"]) == (["read"], "robots", None)
    assert made["expires_at"] > made["created_at"]
    robot = Api(appliance.url, made["key"])
    robot.get("/api/v1/inference-jobs")
    assert robot.post("/api/v1/inference-jobs", {"model_id": "loud-frames"}, 403)["code"] == "scope_missing"
    listed = admin.get(f"{ADMIN}/keys")
    assert made["key"] not in str(listed)
    assert [key["id"] for key in listed["keys"] if key["name"] == name] == [made["id"]]
    assert admin.post(f"{ADMIN}/keys", {"name": name}, 409)["code"] == "conflict"
    assert admin.response("DELETE", f"{ADMIN}/keys/{made['id']}").status_code == 204
    log = appliance.data_dir / "logs" / "api.log"

    def is_noted(what: str) -> bool:
        lines = [line for line in log.read_text().splitlines() if "an administrator made a change" in line]
        return any(what in line for line in lines)

    for what in (f"DELETE {ADMIN}/keys/{made['id']}", f'"made": {made["id"]}'):
        wait_for(lambda: is_noted(what))  # the log is a little late  # noqa: B023
    assert made["key"] not in log.read_text()
    robot.get("/api/v1/inference-jobs", 401)
    admin.call("DELETE", f"{ADMIN}/keys/{made['id']}", 404)


def test_an_administrator_manages_tenants(appliance: Appliance, admin: Api) -> None:
    tenant = admin.post(f"{ADMIN}/tenants", {"name": f"tenant {uuid.uuid4()}"}, 201)
    assert tenant in admin.get(f"{ADMIN}/tenants")["tenants"]
    admin.post(f"{ADMIN}/tenants", {"name": tenant["name"]}, 409)
    key = admin.post(f"{ADMIN}/keys", {"name": str(uuid.uuid4()), "tenant": tenant["name"]}, 201)["key"]
    client, raw = Api(appliance.url, key), RawClient(appliance.url, key)
    client.get("/api/v1/inference-jobs")
    assert admin.post(f"{ADMIN}/tenants/{tenant['id']}/disable", None)["disabled_at"]
    assert client.get("/api/v1/inference-jobs", 403)["code"] == "tenant_disabled"
    assert "disabled" in raw.call("GET", "/transcript", 403)["error"]
    assert admin.post(f"{ADMIN}/tenants/{tenant['id']}/enable", None)["disabled_at"] is None
    client.get("/api/v1/inference-jobs")


def test_a_rotated_key_works_beside_the_old_one_and_the_audit_log_says_who_did_it(
    appliance: Appliance, admin: Api
) -> None:
    made = admin.post(f"{ADMIN}/keys", {"name": f"robot {uuid.uuid4()}", "scopes": ["read"]}, 201)
    rotation = admin.response("POST", f"{ADMIN}/keys/{made['id']}/rotate", json={}, headers={"X-Request-ID": "turn-1"})
    new = rotation.json()
    assert (rotation.status_code, new["name"], new["scopes"]) == (201, made["name"], ["read"])
    for secret in (made["key"], new["key"]):
        Api(appliance.url, secret).get("/api/v1/inference-jobs")
    newest = admin.get(f"{ADMIN}/audit", params={"limit": 1})["entries"][0]
    assert (newest["action"], newest["request_id"]) == ("key rotated", "turn-1")
    assert newest["actor"].startswith("key ")
    table = appliance.command("audit", "--limit", "1", "--data-dir", str(appliance.data_dir))
    assert made["name"] in table


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["root"]}, "scopes"),
        ({"name": "a", "expires_days": 0}, "expires_days"),
        ({"name": "a", "expires_days": 1e300}, "expires_days"),
        ({"name": "a", "tenant": ""}, "tenant"),
        ({"name": "a", "key": "ak_mine"}, "key"),
    ],
)
def test_a_bad_key_is_refused_by_its_field(admin: Api, body: dict[str, Any], field: str) -> None:
    assert field in admin.post(f"{ADMIN}/keys", body, 400)["detail"]


def test_the_last_use_of_a_key_is_shown(appliance: Appliance, admin: Api) -> None:
    name = str(uuid.uuid4())
    key = admin.post(f"{ADMIN}/keys", {"name": name}, 201)["key"]
    Api(appliance.url, key).get("/api/v1/models")
    wait_for(lambda: [k["last_used_at"] for k in admin.get(f"{ADMIN}/keys")["keys"] if k["name"] == name] != [None])


def test_the_last_administrator_cannot_lock_itself_out(appliance: Appliance, admin: Api) -> None:
    """The second key is the last live one; no other test of this session needs the first."""
    name = str(uuid.uuid4())
    key = admin.post(f"{ADMIN}/keys", {"name": name, "scopes": ["admin"]}, 201)
    last = Api(appliance.url, key["key"])
    for other in last.get(f"{ADMIN}/keys")["keys"]:
        if "admin" in other["scopes"] and other["revoked_at"] is None and other["id"] != key["id"]:
            assert last.response("DELETE", f"{ADMIN}/keys/{other['id']}").status_code == 204
    assert "the last key" in last.call("DELETE", f"{ADMIN}/keys/{key['id']}", 409)["detail"]
    default = next(t for t in last.get(f"{ADMIN}/tenants")["tenants"] if t["name"] == "default")
    assert "the scope admin" in last.post(f"{ADMIN}/tenants/{default['id']}/disable", None, 409)["detail"]
    appliance.command("keys", "revoke", name, "--data-dir", str(appliance.data_dir))
    last.get(f"{ADMIN}/keys", 401)
