"""Every operation of MinIO, tried through the front door with the credentials of a presigned form and a presigned URL.

The credentials are the real ones with their secret, which a client never sees: each request is signed correctly, in
the query as a presigned URL and in the Authorization header. Only what a client is meant to do may pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import pytest
import requests
from minio.credentials import Credentials as Signer
from minio.signer import presign_v4, sign_v4_s3

from appliance.storage.access import Credentials
from appliance.storage.grants import Grants
from appliance.storage.seam import connection_pool
from tests.frontdoor.test_refusals import send
from tests.frontdoor.test_uploads import form_of, new_key, url_of
from tests.support.servers import RunningDoor

REFUSED_BY_THE_DOOR = "Storage accepts only upload forms and presigned URLs."
BUCKET = (
    *("acl", "accelerate", "analytics", "cors", "encryption", "events=s3:ObjectCreated:*", "intelligent-tiering"),
    *("inventory", "lifecycle", "list-type=2", "list-type=2&metadata=true", "location", "logging", "metrics"),
    *("notification", "object-lock", "ownershipControls", "policy", "policyStatus", "prefix=incoming/"),
    *("publicAccessBlock", "replication", "replication-check", "replication-metrics", "replication-reset"),
    *("requestPayment", "tagging", "uploads", "versioning", "versions", "website"),
)
PART = "partNumber=1&uploadId=a"
OBJECT = (
    *("acl", "attributes", "lambdaArn=a", "legal-hold", "partNumber=1", PART, "restore"),
    *("retention", "select&select-type=2", "tagging", "torrent", "uploadId=a", "uploads", "versionId=null"),
    "x-minio-extract=true",
)
ADMIN = (
    *("add-user", "accountinfo", "config", "datausageinfo", "export-iam", "info", "list-users", "set-user-status"),
    *(
        "add-service-account",
        "heal/",
        "import-bucket-metadata",
        "kms/status",
        "policy",
        "profile",
        "service",
        "speedtest",
    ),
    *("storageinfo", "top/locks", "trace", "update"),
)
STS = (
    *("AssumeRole", "AssumeRoleWithCertificate", "AssumeRoleWithClientGrants", "AssumeRoleWithCustomToken"),
    *("AssumeRoleWithLDAPIdentity", "AssumeRoleWithWebIdentity"),
)
ELSEWHERE = [
    *(("GET", path) for path in ("/", "/?events", "/other", "/other/key", "/.minio.sys/config/config.json")),
    *(("PUT", path) for path in ("/other", "/other/key")),
    *(("POST", f"/?Action={action}&Version=2011-06-15&DurationSeconds=900") for action in STS),
    *((method, f"/minio/admin/v3/{name}") for name in ADMIN for method in ("GET", "PUT", "POST", "DELETE")),
    *(("GET", f"/minio/health/{name}") for name in ("live", "ready", "cluster", "cluster/read")),
    *(("GET", f"/minio/v2/metrics/{name}") for name in ("cluster", "node", "bucket", "resource")),
    *(("GET", path) for path in ("/minio/metrics/v3", "/minio/prometheus/metrics", "/minio/kms/v1/status")),
    *(("GET", f"/minio/{name}") for name in ("grid/v1", "grid/lock/v1", "console/", "login")),
    *(("POST", f"/minio/{name}/v1") for name in ("bootstrap", "peer", "storage", "lock", "webrpc")),
]


@pytest.fixture(scope="module")
def key(minio_door: RunningDoor) -> str:
    """An object of three bytes."""
    key = new_key()
    minio_door.storage.store.put(key, b"abc", content_type="audio/wav")
    return key


@pytest.fixture(scope="module", params=["form", "url"])
def credentials(request: pytest.FixtureRequest, minio_door: RunningDoor, key: str) -> Credentials:
    """The credentials that sign a form for the object, and those that sign a URL for it."""
    grants = Grants(minio_door.storage.access, connection_pool())
    return grants.for_upload(key, 600) if request.param == "form" else grants.for_download(key, 600)


def in_the_query(door: RunningDoor, credentials: Credentials, method: str, target: str) -> str:
    """The target with a correct signature as a presigned URL has it."""
    access = door.storage.access
    token = f"X-Amz-Security-Token={quote(credentials.session_token or '', safe='')}"
    url = urlsplit(f"http://{access.signing_host}{target}{'&' if '?' in target else '?'}{token}")
    signer = Signer(credentials.access_key, credentials.secret_key)
    signed = presign_v4(
        method=method, url=url, region=access.region, credentials=signer, date=datetime.now(UTC), expires=600
    )
    return f"{signed.path}?{signed.query}"


def in_a_header(door: RunningDoor, credentials: Credentials, method: str, target: str) -> dict[str, str]:
    """Headers with a correct signature, as clients of S3 send them."""
    access, now = door.storage.access, datetime.now(UTC)
    empty = hashlib.sha256(b"").hexdigest()
    headers = {
        "Host": access.signing_host,
        "x-amz-content-sha256": empty,
        "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        "x-amz-security-token": credentials.session_token or "",
    }
    signed = sign_v4_s3(
        method=method,
        url=urlsplit(f"http://{access.signing_host}{target}"),
        region=access.region,
        headers=dict(headers),
        credentials=Signer(credentials.access_key, credentials.secret_key),
        content_sha256=empty,
        date=now,
    )
    return {name: str(value) for name, value in (headers | signed).items() if name != "Host"}


def direct(door: RunningDoor, method: str, target: str, headers: dict[str, str]) -> int:
    """The status of a request to storage itself, past the front door."""
    headers = headers | {"Host": door.storage.access.signing_host}
    return requests.request(method, door.storage.access.endpoint + target, headers=headers).status_code


def operations(key: str) -> Iterator[tuple[str, str]]:
    """Every operation on the bucket and on the object but GET, HEAD and PUT of the object itself, and PUT of a part."""
    yield from ((method, "/audio") for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"))
    yield from ((method, f"/audio?{name}") for name in BUCKET for method in ("GET", "HEAD", "PUT", "POST", "DELETE"))
    yield ("POST", "/audio?delete")
    yield from ((method, f"/audio/{key}") for method in ("POST", "DELETE", "PATCH"))
    yield from (
        (method, f"/audio/{key}?{name}")
        for name in OBJECT
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE")
        if (method, name) != ("PUT", PART)
    )


def test_no_other_operation_on_the_bucket_or_the_object_passes(
    minio_door: RunningDoor, credentials: Credentials, key: str
) -> None:
    presigned = urlsplit(url_of(minio_door, key)).query
    for method, target in operations(key):
        joined = f"{target}{'&' if '?' in target else '?'}{presigned}"
        attempts: list[tuple[str, dict[str, str]]] = [
            (in_the_query(minio_door, credentials, method, target), {}),
            (target, in_a_header(minio_door, credentials, method, target)),
            (joined, {}),
        ]
        for sent, headers in attempts:
            status, _, body = send(minio_door, method, sent, headers)
            assert status == 403, (method, sent, status, body)
            assert method == "HEAD" or REFUSED_BY_THE_DOOR.encode() in body, (method, sent, body)
    assert minio_door.storage.store.stat(key).size_bytes == 3


def test_a_part_of_an_upload_that_nobody_began_is_refused_by_storage(
    minio_door: RunningDoor, credentials: Credentials, key: str
) -> None:
    target = in_the_query(minio_door, credentials, "PUT", f"/audio/{key}?{PART}")
    status, _, body = send(minio_door, "PUT", target, body=b"mine")
    assert status in (403, 404), body
    assert minio_door.storage.store.stat(key).size_bytes == 3


def test_nothing_outside_the_bucket_reaches_storage(minio_door: RunningDoor, credentials: Credentials) -> None:
    """The API gets these requests, which in these tests answers with the request that it received."""
    for method, target in ELSEWHERE:
        for sent, headers in (
            (in_the_query(minio_door, credentials, method, target), {}),
            (target, in_a_header(minio_door, credentials, method, target)),
        ):
            status, _, body = send(minio_door, method, sent, headers)
            assert (status, b"RAW_URI" in body) == (200, True), (method, sent, status, body)


def test_the_object_is_reached_only_as_intended(minio_door: RunningDoor, key: str) -> None:
    """Each of the two may do its own thing, and only to its own object; no Authorization header is of use."""
    grants, other = Grants(minio_door.storage.access, connection_pool()), new_key()
    minio_door.storage.store.put(other, b"abc", content_type="audio/wav")
    upload, download = grants.for_upload(key, 600), grants.for_download(key, 600)
    for granted, method in ((upload, "PUT"), (download, "GET"), (download, "HEAD")):
        for credentials in (upload, download):
            for path in (f"/audio/{key}", f"/audio/{other}"):
                target = in_the_query(minio_door, credentials, method, path)
                status, _, body = send(minio_door, method, target, body=b"abc" if method == "PUT" else b"")
                intended = credentials is granted and path.endswith(key)
                assert status == (200 if intended else 403), (method, path, status, body)
                headers = in_a_header(minio_door, credentials, method, path)
                if method != "PUT":  # storage itself would take the header
                    assert direct(minio_door, method, path, headers) == (200 if intended else 403)
                assert send(minio_door, method, path, headers)[0] == 403


def test_a_form_copies_nothing(minio_door: RunningDoor, key: str) -> None:
    """A PUT with X-Amz-Copy-Source would read another object: the header is not passed on."""
    target = new_key()
    upload = Grants(minio_door.storage.access, connection_pool()).for_upload(target, 600)
    sent = in_the_query(minio_door, upload, "PUT", f"/audio/{target}")
    status, _, _ = send(minio_door, "PUT", sent, {"X-Amz-Copy-Source": f"/audio/{key}"}, b"mine")
    assert status == 200
    assert minio_door.storage.store.stat(target).size_bytes == len(b"mine")


def test_a_form_is_for_its_bucket_alone(minio_door: RunningDoor) -> None:
    form = form_of(minio_door, new_key())
    for path in ("/audio/other", "/other", "/", "/minio/admin/v3/info", "/audio?uploads", "/audio?policy"):
        response = requests.post(minio_door.origin + path, data=form.fields, files={"file": b"RIFF"})
        assert response.status_code == 403 or "RAW_URI" in response.text, (path, response.text)
    assert requests.post(form.url, data=form.fields, files={"file": b"RIFF"}).status_code == 204
