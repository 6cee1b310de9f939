"""Routes to storage. Only the S3 calls that upload forms and presigned URLs need are passed on.

MinIO's project is archived with unfixed flaws, so this is a list of what may pass. The path and query are matched as
they were sent, undecoded, and are passed on unchanged. No ``x-amz-`` header is passed on.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from appliance.frontdoor.door import FrontDoor
from appliance.frontdoor.shared import body_cap, bucket_matches, matches, refusal, response_headers, timeouts
from appliance.frontdoor.storage_refusals import refused_responses

LIMITS = (300, 8 * 1024)  # pause in seconds and bytes per second; MinIO, too, ends a transfer that pauses for 5 min
FORM_BYTES = 16 * 1024  # room for the form around a file of the largest size; its fields have about 2.5 KiB
_SEGMENT = "[A-Za-z0-9][A-Za-z0-9._-]*"
_PARAMETERS = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "response-cache-control",
    "response-content-disposition",
    "response-content-type",
)
# Removing "X-Minio-*" would be enough. Requests with the ones that MinIO's handlers read are refused, so that the log
# shows who tries.
_REFUSED_HEADERS = (
    "X-Amz-Meta-Snowball-Auto-Extract",
    "X-Minio-Deployment-Id",
    "X-Minio-Extract",
    "X-Minio-Force-Create",
    "X-Minio-Force-Delete",
    "X-Minio-From-Peer",
    "X-Minio-Replication-Actual-Object-Size",
    "X-Minio-Source-Etag",
    "X-Minio-Source-Mtime",
    "X-Minio-Source-Proxy-Request",
    "X-Minio-Source-Replication-Check",
    "X-Minio-Source-Replication-Request",
)
# SeaweedFS would verify signatures against X-Forwarded-Host. `curl --http2` asks for an upgrade, which the front door
# could not pass on to a storage server to which it speaks HTTP/2.
_REQUEST_HEADERS_REMOVED = [
    "Authorization",
    "Connection",
    "Cookie",
    "Forwarded",
    "Upgrade",
    "X-Amz-*",
    "X-Api-Key",
    "X-Forwarded-*",
    "X-Minio-*",
]
_RESPONSE_HEADERS_REMOVED = [
    "Access-Control-*",
    "Location",
    "Seaweed-*",
    "Strict-Transport-Security",
    "X-Amz-Bucket-Region",
    "X-Amz-Id-2",
    "X-Minio-*",
    "X-Ratelimit-*",
    "X-Xss-Protection",
]


def storage_routes(door: FrontDoor) -> list[dict]:
    """Return the routes to the upload bucket. Every request to it ends here."""
    inner = [
        {"match": _refused(), "handle": [refusal(403, "header that storage must not receive")]},
        *body_cap(door.max_upload_bytes, {"not": [{"method": ["POST"]}]}),
        *body_cap(door.max_upload_bytes + FORM_BYTES, {"method": ["POST"]}),
        {"match": [_form_post(door), _key_call(door), _part_put(door)], "handle": _proxy(door), "terminal": True},
        {"handle": [refusal(403, "not a call of an upload form or a presigned URL")]},
    ]
    return [{"match": bucket_matches(door), "handle": [{"handler": "subroute", "routes": inner}], "terminal": True}]


def _refused() -> list[dict]:
    streaming = {"header_regexp": {"X-Amz-Content-Sha256": {"pattern": "(?i)streaming"}}}
    return [streaming, *({"header": {name: ["*"]}} for name in _REFUSED_HEADERS)]


def _form_post(door: FrontDoor) -> dict:
    form = {"header_regexp": {"Content-Type": {"pattern": "(?i)^multipart/form-data *;"}}}
    return {"method": ["POST"], **form, **matches("{http.request.uri}", f"^/{door.bucket}/?$")}


def _key_call(door: FrontDoor) -> dict:
    parameter = f"(?:{'|'.join(_PARAMETERS)})=[^&;]*"
    pattern = f"^/{door.bucket}(?:/{_SEGMENT})+(?:\\?(?:{parameter})(?:&{parameter})*)?$"
    return {"method": ["GET", "HEAD", "PUT"], **matches("{http.request.uri}", pattern)}


def _part_put(door: FrontDoor) -> dict:
    """Return the matcher of a part of an upload in parts: PUT with its number and the id of the upload."""
    parameter = f"(?:{'|'.join(_PARAMETERS)})=[^&;]*"
    part = "partNumber=[0-9]{1,5}&uploadId=[A-Za-z0-9%._~-]+"
    pattern = f"^/{door.bucket}(?:/{_SEGMENT})+\\?(?:{parameter}&)*{part}(?:&{parameter})*$"
    return {"method": ["PUT"], **matches("{http.request.uri}", pattern)}


def _proxy(door: FrontDoor) -> list[dict]:
    url = urlsplit(door.storage_endpoint)
    secure = url.scheme == "https"
    transport: dict = {"protocol": "http", "dial_timeout": "5s", "compression": False}
    if secure:
        transport["tls"] = {"server_name": url.hostname}
        if door.storage_ca_file:
            transport["tls"]["ca"] = {"provider": "file", "pem_files": [door.storage_ca_file]}
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return [
        timeouts(*LIMITS),
        # An uploaded file is untrusted: it must not run as a page of this origin, whatever its bytes are.
        response_headers({"X-Content-Type-Options": ["nosniff"], "Content-Security-Policy": ["sandbox"]}),
        {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": f"{host}:{url.port or (443 if secure else 80)}"}],
            "transport": transport,
            "headers": {
                "request": {"set": {"Host": [door.storage_host]}, "delete": _REQUEST_HEADERS_REMOVED},
                "response": {"delete": _RESPONSE_HEADERS_REMOVED},
            },
            "handle_response": refused_responses(door),
        },
    ]
