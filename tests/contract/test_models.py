"""Models added and removed by an administrator over HTTP. The store is one that these tests may change."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from appliance.services.box import TRAINED
from tests.support import toy_models
from tests.support.appliances import Api, Appliance, running_appliance, wait_for
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav
from tests.support.trainings import add_training, tenant_of

MODELS = "/api/v1/admin/models"
MAX_MODEL_BYTES = 300_000


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Appliance]:
    """An appliance with a model store of its own, and small models only."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(models, folder / "store")
    settings = {"max_model_bytes": MAX_MODEL_BYTES, "webhook_networks": "[]"}
    with running_appliance(folder / "data", folder / "store", storage_server="minio", **settings) as running:
        yield running


@pytest.fixture(scope="module")
def admin(appliance: Appliance) -> Api:
    """The API with a key that has the scope admin alone."""
    name = str(uuid.uuid4())
    return Api(
        appliance.url,
        appliance.command("keys", "create", name, "--scope", "admin", "--data-dir", str(appliance.data_dir)),
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The folder of a model that is not in the store yet."""
    return toy_models.frame_model(tmp_path, version="7.0.0")


def send(api: Api, *files: Path | tuple[str, bytes]) -> requests.Response:
    parts = [(file.name, file.read_bytes()) if isinstance(file, Path) else file for file in files]
    return api.response("POST", MODELS, files=[("files", part) for part in parts])


def store_of(appliance: Appliance) -> Path:
    return Path(appliance.settings["APPLIANCE_MODEL_STORE"])


def leftovers(appliance: Appliance) -> list[Path]:
    """What is left of models that were being added or removed."""
    return [*store_of(appliance).glob(".*"), *(appliance.data_dir / "tmp").glob("new-model*")]


def test_a_model_is_added_used_and_removed(appliance: Appliance, api: Api, admin: Api, source: Path) -> None:
    (source / "MODEL_CARD.md").write_text("# It hears loudness")
    added = send(admin, *source.iterdir())
    assert added.status_code == 201, added.text
    assert (added.json()["id"], added.json()["task"]) == ("loud-frames@7.0.0", "detection")
    assert {path.name for path in (store_of(appliance) / "loud-frames" / "7.0.0").iterdir()} == {
        "manifest.toml",
        "model.onnx",
        "MODEL_CARD.md",
    }
    assert send(admin, *source.iterdir()).status_code == 201  # the same again changes nothing
    job_id = api.make_job("loud-frames@7.0.0")
    file_id = api.upload(job_id, loud_wav())
    in_use = admin.call("DELETE", f"{MODELS}/loud-frames@7.0.0", 409)
    assert "default_model" in in_use["detail"]  # the newest version of its name
    newer = toy_models.frame_model(source / "newer", version="8.0.0")
    assert send(admin, *newer.iterdir()).status_code == 201
    assert "1 files or transcripts have not ended" in admin.call("DELETE", f"{MODELS}/loud-frames@7.0.0", 409)["detail"]
    api.confirm(job_id, file_id)
    assert api.finished_file(job_id, file_id)["detections"] == LOUD_DETECTIONS
    assert admin.response("DELETE", f"{MODELS}/loud-frames@7.0.0").status_code == 204
    assert "loud-frames@7.0.0" not in [model["id"] for model in admin.get(MODELS)["models"]]
    acts = [act for act in admin.get("/api/v1/admin/audit")["entries"] if act["subject"] == "loud-frames@7.0.0"]
    assert [act["action"] for act in acts] == ["model removed", "model added", "model added"]
    assert all(act["actor"].startswith("key ") for act in acts)
    assert admin.call("DELETE", f"{MODELS}/loud-frames@7.0.0", 404)["code"] == "model_not_found"
    api.post("/api/v1/inference-jobs", {"model_id": "loud-frames@7.0.0"}, 400)
    assert leftovers(appliance) == []


def test_a_model_that_contradicts_its_manifest_is_refused_by_the_field(
    appliance: Appliance, admin: Api, source: Path
) -> None:
    manifest = source / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("batch,samples,1", "batch,samples"))
    problem = send(admin, *source.iterdir())
    assert (problem.status_code, problem.json()["code"]) == (400, "invalid_manifest")
    assert problem.json()["detail"].startswith("manifest.toml: input.layout: ")
    assert str(appliance.data_dir) not in problem.text
    assert leftovers(appliance) == []


def test_another_model_of_the_same_version_is_a_conflict(admin: Api, tmp_path: Path) -> None:
    manifest = toy_models.frame_model(tmp_path) / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("CC0-1.0", "MIT"))
    problem = send(admin, *manifest.parent.iterdir())
    assert (problem.status_code, problem.json()["code"]) == (409, "model_exists")


@pytest.mark.parametrize(
    ("files", "status", "sentence"),
    [
        ([], 400, "boundary"),
        ([("model.onnx", b"x")], 400, "manifest.toml cannot be read"),
        ([("manifest.toml", b"name = ")], 400, "manifest.toml"),
        ([("../manifest.toml", b"x")], 400, "files: '../manifest.toml' is not the name of a model's file"),
        ([(".hidden", b"x")], 400, "is not the name of a model's file"),
        ([("a", b"x"), ("a", b"y")], 400, "files: a came twice"),
        ([(f"{number}", b"x") for number in range(21)], 400, "files: a model has up to 20 files"),
        ([("model.onnx", bytes(MAX_MODEL_BYTES + 1))], 413, f"more than {MAX_MODEL_BYTES} bytes"),
        ([("model.onnx", bytes(MAX_MODEL_BYTES + 2 * 1024**2))], 413, f"up to {MAX_MODEL_BYTES} bytes together"),
    ],
)
def test_a_form_that_is_no_model_is_refused(
    appliance: Appliance, admin: Api, files: list[tuple[str, bytes]], status: int, sentence: str
) -> None:
    problem = send(admin, *files)
    assert problem.status_code == status, problem.text
    assert sentence in problem.json()["detail"]
    assert leftovers(appliance) == []


def test_a_file_that_is_no_graph_harms_nothing(appliance: Appliance, admin: Api, source: Path) -> None:
    (source / "model.onnx").write_bytes(b"\x08\x07" + bytes(1000))
    problem = send(admin, *source.iterdir())
    assert (problem.status_code, problem.json()["code"]) == (400, "invalid_manifest")
    wait_for(appliance.ready)


def test_a_model_that_a_setting_means_is_not_removed(appliance: Appliance, admin: Api) -> None:
    default = next(model["id"] for model in admin.get(MODELS)["models"] if model["name"] == "loud-frames")
    assert "default_model" in admin.call("DELETE", f"{MODELS}/{default}", 409)["detail"]
    admin.call("DELETE", f"{MODELS}/loud-frames", 404)  # a version must be named
    wait_for(appliance.ready)


def test_only_an_administrator_adds_or_removes(api: Api, source: Path) -> None:
    assert send(api, *source.iterdir()).json()["code"] == "scope_missing"
    assert api.call("DELETE", f"{MODELS}/loud-frames@1.0.0", 403)["code"] == "scope_missing"


OWN = "/api/v1/models"


def names(api: Api, **query: object) -> list[str]:
    return [model["id"] for model in api.get(OWN, params=query)["models"]]


@pytest.fixture
def trained(appliance: Appliance) -> str:
    """The id of a new model that the first tenant trained: it finds what loud-frames finds."""
    name = f"own-{uuid.uuid4().hex}"
    add_training(appliance.data_dir, 1, name)
    toy_models.frame_model(appliance.data_dir / TRAINED / "tenant-1", name=name)
    return f"{name}@1.0.0"


def test_a_trained_model_is_of_its_tenant_alone(appliance: Appliance, api: Api, trained: str) -> None:
    other = appliance.api_of(str(uuid.uuid4()), "other")
    name = trained.partition("@")[0]
    assert trained in names(api)
    assert trained not in names(other)
    shown = api.get(f"{OWN}/{name}")
    assert (shown["id"], bool(shown["training_job_id"]), shown["retired_at"]) == (trained, True, None)
    assert api.get(f"{OWN}/loud-frames")["training_job_id"] is None
    job_id = api.make_job(name)
    file_id = api.send(job_id, loud_wav())
    assert api.finished_file(job_id, file_id)["detections"] == LOUD_DETECTIONS
    problems = [
        other.get(f"{OWN}/{trained}", 404),
        other.get(f"{OWN}/{trained}/card", 404),
        other.post("/api/v1/inference-jobs", {"model_id": trained}, 400),
        other.post(f"{OWN}/{trained}/retire", None, 404),
        other.call("DELETE", f"{OWN}/{trained}", 404),
    ]
    unknown = other.post("/api/v1/inference-jobs", {"model_id": "none@1.0.0"}, 400)["detail"]
    assert problems[2]["detail"] == unknown.replace("none@1.0.0", trained)  # as of a model that nobody has


def test_two_tenants_have_models_of_one_name(appliance: Appliance, api: Api, trained: str) -> None:
    """Their labels differ: none is scored by the model of the other, whichever is loaded first."""
    name = trained.partition("@")[0]
    other = appliance.api_of(str(uuid.uuid4()), "other")
    tenant_id = tenant_of(appliance.data_dir, "other")
    add_training(appliance.data_dir, tenant_id, name)
    folder = toy_models.frame_model(appliance.data_dir / TRAINED / f"tenant-{tenant_id}", name=name)
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('name = "loud"', 'name = "noisy"'))
    for client, label in ((api, "loud"), (other, "noisy"), (api, "loud")):
        job_id = client.make_job(name)
        file = client.finished_file(job_id, client.send(job_id, loud_wav()))
        assert {detection["artifact_type"] for detection in file["detections"]} == {label}


def test_a_retired_model_is_for_no_new_job_and_stays_for_the_old_ones(api: Api, trained: str) -> None:
    name = trained.partition("@")[0]
    job_id = api.make_job(name)
    retired = api.post(f"{OWN}/{trained}/retire", None)
    assert retired["retired_at"]
    assert api.post(f"{OWN}/{trained}/retire", None) == retired
    assert trained not in names(api)
    assert trained in names(api, retired=True)
    for model_id in (name, trained):
        assert "was retired" in api.post("/api/v1/inference-jobs", {"model_id": model_id}, 400)["detail"]
    file_id = api.upload(job_id, loud_wav())
    assert "1 files" in api.call("DELETE", f"{OWN}/{trained}", 409)["detail"]
    api.confirm(job_id, file_id)
    assert api.finished_file(job_id, file_id)["detections"] == LOUD_DETECTIONS


def test_a_deleted_model_is_gone(appliance: Appliance, api: Api, trained: str) -> None:
    assert api.response("DELETE", f"{OWN}/{trained}").status_code == 204
    api.call("DELETE", f"{OWN}/{trained}", 404)
    api.get(f"{OWN}/{trained}", 404)
    assert not (appliance.data_dir / TRAINED / "tenant-1" / trained.partition("@")[0]).exists()
    api.call("DELETE", f"{OWN}/loud-frames@1.0.0", 404)  # everybody's


def test_an_administrator_gives_a_model_to_all(appliance: Appliance, api: Api, admin: Api, trained: str) -> None:
    other = appliance.api_of(str(uuid.uuid4()), "other")
    body = {"tenant": "default", "model_id": trained}
    assert api.post(f"{MODELS}/promote", body, 403)["code"] == "scope_missing"
    admin.post(f"{MODELS}/promote", body | {"tenant": "nobody"}, 404)
    admin.post(f"{MODELS}/promote", body | {"model_id": "none@1.0.0"}, 404)
    promoted = admin.post(f"{MODELS}/promote", body, 201)
    assert (promoted["id"], promoted["training_job_id"]) == (trained, None)
    assert names(api).count(trained) == names(other).count(trained) == 1
    job_id = other.make_job(trained)
    assert other.finished_file(job_id, other.send(job_id, loud_wav()))["detections"] == LOUD_DETECTIONS
    assert api.response("DELETE", f"{OWN}/{trained}").status_code == 204  # the tenant's; that of all stays
    assert trained in names(api)
    assert "model promoted" in appliance.command("audit", "--data-dir", str(appliance.data_dir))
