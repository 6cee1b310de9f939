"""The figures of MinIO for Prometheus."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from functools import cache

import urllib3
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from appliance.errors import StorageError
from appliance.storage.access import Credentials, StorageAccess
from appliance.storage.seam import connection_pool, translated

_PATH = "/minio/v2/metrics/cluster"
_SECONDS = 2.0
_TOKEN_SECONDS = 3600  # MinIO compares it with its own clock


def read_figures(access: StorageAccess) -> list[Metric] | None:
    """Return the metrics of MinIO; None if the storage server is another one.

    Raises StorageUnavailable, StorageError.
    """
    if access.server != "minio":
        return None
    with translated("its figures"):
        headers = {"Authorization": f"Bearer {_token(access.service)}"}
        response = _pool().request("GET", access.endpoint + _PATH, headers=headers)
    if response.status != 200:
        raise StorageError(f"MinIO answered {response.status} for its figures.")
    # The address of the server, which may change at every start, would make new series of all.
    text = re.sub(r'server="[^"]*",?', "", response.data.decode())
    return [metric for metric in text_string_to_metric_families(text) if metric.name.startswith("minio_")]


def _token(user: Credentials) -> str:
    """Return a JSON Web Token of a user, which MinIO wants for its figures in place of a signature."""
    claims = {"sub": user.access_key, "iss": "prometheus", "exp": int(time.time()) + _TOKEN_SECONDS}
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "HS512", "typ": "JWT"}, claims))
    return f"{signed}.{_encoded(hmac.digest(user.secret_key.encode(), signed.encode(), hashlib.sha512))}"


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


@cache
def _pool() -> urllib3.PoolManager:
    return connection_pool(read_seconds=_SECONDS, retries=0, connections=1)
