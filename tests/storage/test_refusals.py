"""What a server refuses only for now: it has another time, as a clock was set, or it has not loaded its users yet."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import minio.time
import pytest
from minio.error import MinioAdminException, S3Error

from appliance.errors import StorageError, StorageUnavailable
from appliance.storage import minio_server
from appliance.storage.access import Credentials
from appliance.storage.grants import assume_role
from appliance.storage.seam import connection_pool
from tests.support.servers import RunningStorage


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_was_set_makes_storage_unavailable_and_fails_no_file(
    storage: RunningStorage, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    store = storage.store
    store.put("clocks/a", io.BytesIO(b"bytes"), size_bytes=5, content_type="audio/wav")
    info = store.stat("clocks/a")
    monkeypatch.setattr(minio.time, "utcnow", lambda: datetime.now(UTC) + timedelta(days=days))
    with pytest.raises(StorageUnavailable):
        store.fetch("clocks/a", info.etag, io.BytesIO())
    with pytest.raises(StorageUnavailable):
        store.stat("clocks/a")
    with pytest.raises(StorageUnavailable):
        store.put("clocks/a", io.BytesIO(b"bytes"), size_bytes=5, content_type="audio/wav")
    assert not store.ready()


def test_a_user_that_is_not_known_yet_makes_storage_unavailable(minio_storage: RunningStorage) -> None:
    """MinIO answers so for a moment after it was killed and started again."""
    unknown = Credentials("unknown", "no-such-secret")
    with pytest.raises(StorageUnavailable, match="403"):
        assume_role(minio_storage.access, unknown, "s3:PutObject", "arn:aws:s3:::audio/a", 60, connection_pool())


def test_what_minio_does_not_know_while_it_starts_makes_storage_unavailable() -> None:
    """Then it is prepared once more. Each was met once in some hundred or thousand starts, so they are imitated."""
    forgotten = MinioAdminException("404", '{"Code": "XMinioAdminNoSuchPolicy"}')
    admin = Mock(**{"policy_set.side_effect": forgotten})
    with pytest.raises(StorageUnavailable, match="NoSuchPolicy"):
        minio_server._make_user(admin, "appliance-service", Credentials("key", "secret"), [])
    text = "A specified destination ARN does not exist or is not well-formed. Verify the destination ARN"
    with pytest.raises(StorageUnavailable, match="destination ARN"), minio_server._starting():
        raise S3Error(Mock(status=400), "InvalidArgument", text, "/audio", None, None)


def test_another_refusal_of_minio_is_an_error() -> None:
    refusal = MinioAdminException("400", '{"Code": "XMinioAdminInvalidAccessKey"}')
    admin = Mock(**{"user_add.side_effect": refusal})
    with pytest.raises(StorageError, match="InvalidAccessKey") as error:
        minio_server._make_user(admin, "appliance-service", Credentials("key", "secret"), [])
    assert not isinstance(error.value, StorageUnavailable)
