"""An appliance on a disk that is nearly full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests

from tests.contract.test_annotation_sets import new_dataset
from tests.support.appliances import running_appliance, wait_for
from tests.support.toy_recordings import loud_wav

JOBS = "/api/v1/inference-jobs"


def test_an_appliance_starts_on_a_disk_that_is_nearly_full_and_refuses_uploads_alone(
    tmp_path: Path, models: Path
) -> None:
    """Its clients must be able to read and delete."""
    with running_appliance(tmp_path / "data", models, storage_server="minio", least_free_bytes=10**18) as running:
        api = running.api

        def checks() -> Any:
            return api.get("/readyz", 503)["checks"]

        def status() -> Any:
            answer = api.get("/api/v1/status")
            return answer["status"], [reason["check"] for reason in answer["reasons"]]

        # On a busy machine another check may fail for a moment.
        wait_for(lambda: [name for name, check in checks().items() if not check["ok"]] == ["disk"])
        assert "GiB free" in checks()["disk"]["detail"]
        wait_for(lambda: status() == ("Degraded", ["disk"]))
        job_id, dataset, key = api.make_job(), new_dataset(api), {"Authorization": str(api.key)}
        file = {"filename": "a.wav", "content_type": "audio/wav"}
        for response in (
            api.response(
                "POST", f"/api/v1/inference-jobs/{job_id}/files/upload-url", json=file | {"file_size_bytes": 9}
            ),
            api.response("POST", f"{dataset}/audio/upload-url", json=file | {"file_size": 9}),
            api.response("POST", "/api/generate-presigned-url", json={"contentType": "audio/wav"}),
            requests.post(f"{api.url}/v2/upload", data=loud_wav(), headers=key),
            requests.post(f"{api.url}/transcribe/files/upload", files={"files": loud_wav()}, headers=key),
        ):
            assert response.status_code == 507, response.text
            assert int(response.headers["Retry-After"]) > 0
        assert api.job(job_id)["status"] == "pending"
        assert api.response("DELETE", f"{JOBS}/{job_id}?purge=true").status_code == 204
        assert api.response("DELETE", dataset).status_code == 204
