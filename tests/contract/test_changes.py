"""The list of changes that an open page polls."""

from __future__ import annotations

from tests.support.appliances import Api, Appliance
from tests.support.toy_recordings import loud_wav

PATH = "/api/v1/changes"


def test_a_poll_learns_what_changed_and_costs_nothing_if_nothing_did(appliance: Appliance, other: Api) -> None:
    api = appliance.api_of("changes", "changes")  # in which nothing that an earlier test began still goes on
    start = api.get(PATH)
    assert (start["jobs"], start["files"], start["more"], start["reset"]) == ([], [], False, False)
    elsewhere = other.get(PATH)["next"]
    job_id = api.make_job()
    file_id = api.send(job_id, loud_wav())
    api.finished_file(job_id, file_id)
    response = api.response("GET", PATH, params={"since": start["next"]})
    changes = response.json()
    assert job_id in changes["jobs"]
    assert {"job_id": job_id, "file_id": file_id} in changes["files"]
    other.get(PATH, params={"since": elsewhere})
    assert other.get(PATH, params={"since": elsewhere})["jobs"] == []
    later = api.response("GET", PATH, params={"since": changes["next"]})
    assert later.json()["jobs"] == []
    seen = {"If-None-Match": later.headers["ETag"]}
    again = api.response("GET", PATH, params={"since": changes["next"]}, headers=seen)
    assert (again.status_code, again.content) == (304, b"")
    api.response("DELETE", f"/api/v1/inference-jobs/{job_id}", params={"purge": "true"})
    gone = api.response("GET", PATH, params={"since": changes["next"]}, headers=seen)
    assert gone.json()["jobs"] == [job_id]


def test_a_place_that_cannot_be(api: Api) -> None:
    assert api.get(PATH, params={"since": 2**60})["reset"]
    for since in ("-1", "x", 2**70):
        assert "since" in api.get(PATH, 400, params={"since": since})["detail"]
