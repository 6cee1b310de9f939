"""An appliance on a disk that is nearly full."""

from __future__ import annotations

from pathlib import Path

from tests.support.appliances import Api, running_appliance


def test_an_appliance_starts_on_a_disk_that_is_nearly_full_and_says_that_it_is_not_ready(
    tmp_path: Path, models: Path
) -> None:
    """Its clients must be able to read and delete."""
    with running_appliance(tmp_path / "data", models, storage_server="minio", least_free_bytes=10**18) as running:
        checks = Api(running.url, running.key).get("/readyz", 503)["checks"]
        assert [name for name, check in checks.items() if not check["ok"]] == ["disk"]
        assert "GiB free" in checks["disk"]["detail"]
        assert running.api.get("/api/v1/inference-jobs")
