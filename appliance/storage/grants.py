"""Credentials that sign the forms and URLs given to clients.

MinIO's project is archived with an unfixed flaw: whoever knows an access key can write wherever that key may write,
and every presigned form shows its access key. So each form and URL is signed with temporary credentials for exactly one
object key and one action, and their parent may only get and put in the upload bucket. Nothing is cached: if one
credential were used for two object keys, the holder of either form could write both.
"""

from __future__ import annotations

import json

import urllib3
from minio.credentials import AssumeRoleProvider

from appliance.errors import StorageError
from appliance.storage.access import Credentials, StorageAccess
from appliance.storage.seam import translated

_LONGEST_SECONDS = 7 * 86400
# Storage checks a form when its upload begins. Clocks differ a little, and a token must not end before its form.
_MARGIN_SECONDS = 60


class Grants:
    """Gives credentials for one object and one action."""

    def __init__(self, access: StorageAccess, pool: urllib3.PoolManager) -> None:
        self._access = access
        self._pool = pool

    def for_upload(self, key: str, expires_seconds: int) -> Credentials:
        """Return credentials that may put ``key`` for at least ``expires_seconds``."""
        return self._grant("s3:PutObject", self._access.writer, key, expires_seconds)

    def for_download(self, key: str, expires_seconds: int) -> Credentials:
        """Return credentials that may get ``key`` for at least ``expires_seconds``."""
        return self._grant("s3:GetObject", self._access.reader, key, expires_seconds)

    def for_parts(self, key: str, expires_seconds: int) -> Credentials:
        """Return credentials that may put parts of ``key``, an original that is uploaded in parts."""
        return self._grant("s3:PutObject", self._access.parts_writer or self._access.writer, key, expires_seconds)

    def _grant(self, action: str, parent: Credentials, key: str, expires_seconds: int) -> Credentials:
        if not self._access.temporary:
            return parent
        resource = f"arn:aws:s3:::{self._access.bucket}/{key}"
        return assume_role(self._access, parent, action, resource, expires_seconds, self._pool)


def assume_role(
    access: StorageAccess,
    parent: Credentials,
    action: str,
    resource: str,
    expires_seconds: int,
    pool: urllib3.PoolManager,
) -> Credentials:
    """Return temporary credentials of ``parent`` for one action on one resource.

    They are valid for at least an hour, because minio-py asks for no less; a form's own expiry is in its signed policy.
    Raises StorageUnavailable, and StorageError if the server gives none.
    """
    statement = {"Effect": "Allow", "Action": [action], "Resource": [resource]}
    provider = AssumeRoleProvider(
        sts_endpoint=access.endpoint,
        access_key=parent.access_key,
        secret_key=parent.secret_key,
        duration_seconds=min(expires_seconds + _MARGIN_SECONDS, _LONGEST_SECONDS),
        policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        region=access.region,
        http_client=pool,
    )
    with translated(resource):
        grant = provider.retrieve()
    if grant.access_key == parent.access_key or not grant.session_token:
        raise StorageError("Object storage returned the parent's own key instead of a temporary one.")
    return Credentials(grant.access_key, grant.secret_key, grant.session_token)
