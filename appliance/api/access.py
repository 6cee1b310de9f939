"""Which scope a call needs, and which calls are slow. The OpenAPI document and docs/access.md show it."""

from __future__ import annotations

from appliance.services.keys import Scope

# Every blueprint whose calls need a key. A call that only reads needs the scope read, any other one write.
_PRODUCTS = (
    "inference",
    "detections",
    "reviews",
    "looking",
    "changes",
    "exports",
    "verdicts",
    "datasets",
    "annotations",
    "reviewed_stretches",
    "annotation_sets",
    "training",
    "training_data",
    "models",
    "usage",
    "webhooks",
    "speech_raw",
    "speech_batch",
    "speech_presigned",
)
_EXCEPTIONS: dict[tuple[str, str], Scope] = {
    ("POST", "speech_presigned.get_status"): "read",
    ("POST", "speech_presigned.get_status_v1"): "read",
    # Whoever has the secret can sign webhooks that the receiver takes for the appliance's.
    ("GET", "webhooks.get_webhook_secret"): "write",
}
# Calls that compute or write for up to a second, whatever the client does. All others are look-ups in an index.
SLOW_CALLS = {
    "datasets.find_similar_audio",
    "annotations.import_annotations",
    "annotations.export_annotations",
    "annotation_sets.create_annotations",
    "annotation_sets.create_annotations_from_detections",
    "speech_raw.search_words",
    "training_data.evaluate",
    "training_data.learn_from_reviews",
    "training_data.suggest",
}


def scope_of(method: str, endpoint: str) -> Scope:
    """Return the scope that a call needs. Raises KeyError if its blueprint is not listed here."""
    blueprint = endpoint.partition(".")[0]
    if blueprint == "admin":
        return "admin"
    if blueprint == "metrics":
        return "metrics"
    if blueprint not in _PRODUCTS:
        raise KeyError(f"The blueprint {blueprint} has no scope in appliance/api/access.py.")
    if method in ("HEAD", "OPTIONS"):
        method = "GET"
    return _EXCEPTIONS.get((method, endpoint), "read" if method == "GET" else "write")
