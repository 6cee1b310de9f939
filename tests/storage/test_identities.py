"""What each user of the storage server may do, tried at the server itself."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from minio import Minio
from minio.error import S3Error

from appliance.storage.access import Credentials
from appliance.storage.grants import Grants
from appliance.storage.seam import connection_pool, s3_client
from tests.support.servers import RunningStorage


def client(storage: RunningStorage, credentials: Credentials) -> Minio:
    return s3_client(storage.access.endpoint, storage.access.region, credentials, connection_pool())


def refused(call: Callable[..., object], *arguments: object, **options: object) -> bool:
    with pytest.raises(S3Error) as error:
        call(*arguments, **options)
    return error.value.code in ("AccessDenied", "NoSuchBucket")


def put(storage: RunningStorage, credentials: Credentials, key: str, bucket: str = "audio") -> None:
    import io

    client(storage, credentials).put_object(bucket, key, io.BytesIO(b"abc"), 3)


def test_the_service_may_use_only_the_bucket(storage: RunningStorage) -> None:
    service = client(storage, storage.access.service)
    put(storage, storage.access.service, "a/b")
    assert service.stat_object("audio", "a/b").size == 3
    assert refused(service.make_bucket, f"b{uuid.uuid4().hex}")
    assert refused(put, storage, storage.access.service, "a", "other")


def test_the_signer_of_forms_cannot_list_delete_or_leave_the_bucket(storage: RunningStorage) -> None:
    writer = client(storage, storage.access.writer)
    put(storage, storage.access.writer, "incoming/b")
    assert refused(lambda: list(writer.list_objects("audio")))
    assert refused(writer.make_bucket, f"b{uuid.uuid4().hex}")
    assert refused(put, storage, storage.access.writer, "incoming/a", "other")
    if storage.server.name == "minio":  # SeaweedFS's Write includes Delete, and knows no prefix
        assert refused(put, storage, storage.access.writer, "tenant-1/inference-2/3/original")
        assert refused(writer.remove_object, "audio", "incoming/b")


def test_the_signer_of_urls_cannot_write_on_seaweedfs(seaweedfs_storage: RunningStorage) -> None:
    assert refused(put, seaweedfs_storage, seaweedfs_storage.access.reader, "a/b")
    put(seaweedfs_storage, seaweedfs_storage.access.service, "a/b")
    assert refused(client(seaweedfs_storage, seaweedfs_storage.access.writer).get_object, "audio", "a/b")


def test_a_grant_is_for_one_key_and_one_action(minio_storage: RunningStorage) -> None:
    grants = Grants(minio_storage.access, connection_pool())
    key, other = f"incoming/{uuid.uuid4().hex}", f"incoming/{uuid.uuid4().hex}"
    upload, download = grants.for_upload(key, 60), grants.for_download(key, 60)
    assert upload.access_key != download.access_key
    put(minio_storage, upload, key)
    assert refused(put, minio_storage, upload, other)
    assert refused(put, minio_storage, upload, f"{key}/below")
    assert refused(client(minio_storage, upload).get_object, "audio", key)
    assert client(minio_storage, download).get_object("audio", key).data == b"abc"
    assert refused(put, minio_storage, download, key)
    assert refused(client(minio_storage, download).get_object, "audio", other)
    assert refused(client(minio_storage, upload).remove_object, "audio", key)
