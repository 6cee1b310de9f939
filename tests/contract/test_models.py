"""Models added and removed by an administrator over HTTP. The store is one that these tests may change."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support import toy_models
from tests.support.appliances import Api, Appliance, running_appliance
from tests.support.toy_recordings import LOUD_DETECTIONS, loud_wav

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
    assert appliance.ready()


def test_a_model_that_a_setting_means_is_not_removed(appliance: Appliance, admin: Api) -> None:
    default = next(model["id"] for model in admin.get(MODELS)["models"] if model["name"] == "loud-frames")
    assert "default_model" in admin.call("DELETE", f"{MODELS}/{default}", 409)["detail"]
    admin.call("DELETE", f"{MODELS}/loud-frames", 404)  # a version must be named
    assert appliance.ready()


def test_only_an_administrator_adds_or_removes(api: Api, source: Path) -> None:
    assert send(api, *source.iterdir()).json()["code"] == "scope_missing"
    assert api.call("DELETE", f"{MODELS}/loud-frames@1.0.0", 403)["code"] == "scope_missing"
