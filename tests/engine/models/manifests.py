"""Manifests for tests."""

from __future__ import annotations

from typing import Any

from appliance.engine.models.manifest import Manifest


def make_manifest(labels: list[dict[str, Any]], **defaults: Any) -> Manifest:
    """Return a manifest with these labels and frames of 10 ms."""
    return Manifest.model_validate(
        {
            "name": "made",
            "version": "1",
            "task": "detection",
            "licence": "CC0-1.0",
            "sha256": "0" * 64,
            "input": {"name": "audio", "sample_rate_hz": 16_000, "window_seconds": 1.0, "hop_seconds": 1.0},
            "output": {"name": "scores", "kind": "frame", "frame_hop_seconds": 0.01},
            "labels": labels,
            "defaults": defaults,
        }
    )
