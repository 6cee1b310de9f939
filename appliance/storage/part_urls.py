"""URLs that take one part of an upload in parts, of exactly one size.

minio-py signs no header but the host. With the length signed too, a URL is of no use for a larger body, and so neither
for more than was declared. This is signature version 4 in the query, as in
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from appliance.storage.access import Credentials

SIGNED_HEADERS = "content-length;host"


def part_query(
    grant: Credentials,
    *,
    region: str,
    host: str,
    path: str,
    upload_id: str,
    part_number: int,
    size_bytes: int,
    expires_seconds: int,
) -> str:
    """Return the query with which a PUT of ``size_bytes`` to ``path`` is accepted as a part of an upload."""
    now = datetime.now(UTC)
    scope = f"{now:%Y%m%d}/{region}/s3/aws4_request"
    parameters = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{grant.access_key}/{scope}",
        "X-Amz-Date": f"{now:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(expires_seconds),
        **({"X-Amz-Security-Token": grant.session_token} if grant.session_token else {}),
        "X-Amz-SignedHeaders": SIGNED_HEADERS,
        "partNumber": str(part_number),
        "uploadId": upload_id,
    }
    query = urlencode(sorted(parameters.items()), quote_via=quote, safe="")
    headers = f"content-length:{size_bytes}\nhost:{host}\n"
    request = "\n".join(("PUT", quote(path), query, headers, SIGNED_HEADERS, "UNSIGNED-PAYLOAD"))
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join(("AWS4-HMAC-SHA256", parameters["X-Amz-Date"], scope, digest))
    key = f"AWS4{grant.secret_key}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return f"{query}&X-Amz-Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"
