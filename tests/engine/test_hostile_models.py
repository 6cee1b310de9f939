"""Models from outside: each is refused with a clear error, and none can do harm while it is checked."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from appliance import ROOT
from appliance.engine import registration
from appliance.engine.confinement.confine import missing_confinement
from appliance.engine.models.onnx_file import check_onnx
from appliance.engine.models.session import Session
from appliance.engine.models.store import ModelStore, StoredModel
from appliance.engine.registration import CheckLimits, add_model, check_model
from appliance.errors import InvalidManifest
from tests.support import toy_models

Edit = Callable[[onnx.ModelProto], None]


def hostile(folder: Path, edit: Edit) -> Path:
    """A model whose graph was edited after the checks of the package onnx."""
    source = toy_models.window_model(folder)
    model = onnx.load(source / "model.onnx")
    edit(model)
    return with_content(source, model.SerializeToString())


def with_content(source: Path, content: bytes) -> Path:
    old = hashlib.sha256((source / "model.onnx").read_bytes()).hexdigest()
    (source / "model.onnx").write_bytes(content)
    manifest = source / "manifest.toml"
    manifest.write_text(manifest.read_text().replace(old, hashlib.sha256(content).hexdigest()))
    return source


def refusal(tmp_path: Path, source: Path, limits: CheckLimits | None = None) -> str:
    store = ModelStore(tmp_path / "store")
    with pytest.raises(InvalidManifest) as refused:
        add_model(store, source, limits or CheckLimits())
    assert store.models() == []
    assert not store.root.exists() or not any(store.root.iterdir())
    return str(refused.value)


def keep_outside(model: onnx.ModelProto, location: str) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "mean")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    for key, value in (("location", location), ("offset", "0"), ("length", "32000")):
        tensor.external_data.add(key=key, value=value)


@pytest.mark.parametrize("location", ["weights.bin", "../secret", "/etc/passwd", "*/_ORT_MEM_ADDR_/*"])
def test_a_tensor_outside_the_file_is_refused(tmp_path: Path, location: str) -> None:
    source = hostile(tmp_path / "source", lambda model: keep_outside(model, location))
    (source / "weights.bin").write_bytes(bytes(32_000))
    assert "the tensor 'mean' is kept outside the file" in refusal(tmp_path, source)


def test_a_model_that_was_put_into_the_store_by_hand_is_not_loaded_with_other_files(tmp_path: Path) -> None:
    source = hostile(tmp_path, lambda model: keep_outside(model, "weights.bin"))
    (source / "weights.bin").write_bytes(bytes(32_000))
    with pytest.raises(InvalidManifest, match="outside the file"):
        Session(ModelStore(tmp_path).resolve("loud-windows"), "cpu")


def use_custom_operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].domain, model.graph.node[1].op_type = "com.example", "Shell"


def use_custom_operator_in_a_branch(model: onnx.ModelProto) -> None:
    node = helper.make_node("Shell", ["line"], ["inner"], domain="com.example")
    value = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    branch = helper.make_graph([node], "branch", [], [value])
    model.graph.initializer.append(numpy_helper.from_array(np.array(False), "never"))
    choice = helper.make_node("If", ["never"], ["chosen"], then_branch=branch, else_branch=branch)
    model.graph.node.append(choice)


def use_custom_operator_in_a_function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Shell", ["x"], ["y"], domain="com.example")
    imports = [helper.make_opsetid("com.example", 1)]
    model.functions.append(helper.make_function("local", "Wrapped", ["x"], ["y"], [node], imports))
    model.graph.node[1].domain, model.graph.node[1].op_type = "local", "Wrapped"


@pytest.mark.parametrize(
    "edit", [use_custom_operator, use_custom_operator_in_a_branch, use_custom_operator_in_a_function]
)
def test_an_operator_of_a_custom_domain_is_refused(tmp_path: Path, edit: Edit) -> None:
    source = hostile(tmp_path / "source", edit)
    assert "the operator 'Shell' is of the custom domain 'com.example'" in refusal(tmp_path, source)


def test_a_function_of_the_file_itself_is_accepted(tmp_path: Path) -> None:
    def wrap(model: onnx.ModelProto) -> None:
        node = helper.make_node("Abs", ["x"], ["y"])
        imports = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("local", "Loudness", ["x"], ["y"], [node], imports))
        model.graph.node[1].domain, model.graph.node[1].op_type = "local", "Loudness"
        model.opset_import.append(helper.make_opsetid("local", 1))

    add_model(ModelStore(tmp_path / "store"), hostile(tmp_path / "source", wrap), CheckLimits())


def take_memory(model: onnx.ModelProto) -> None:
    """12.8 GB of ones, of which the largest is added to the scores."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([3_200_000_000], np.int64), "size"))
    one = numpy_helper.from_array(np.array([1], np.float32))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["size"], ["ones"], value=one))
    model.graph.node.append(helper.make_node("ReduceMax", ["ones"], ["largest"], keepdims=0))
    rename_scores(model)
    model.graph.node.append(helper.make_node("Mul", ["honest", "largest"], ["scores"]))


def loop_for_ever(model: onnx.ModelProto) -> None:
    """A loop of 2**63 turns, whose result is added to the scores."""
    model.graph.initializer.append(numpy_helper.from_array(np.array(2**63 - 1, np.int64), "turns"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "go"))
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_in"], ["go_out"]),
            helper.make_node("Cos", ["level_in"], ["level_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("level_in", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("level_out", TensorProto.FLOAT, None),
        ],
    )
    rename_scores(model)
    model.graph.node.append(helper.make_node("Loop", ["turns", "go", "honest"], ["scores"], body=body))


def rename_scores(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.output[:] = ["honest" if name == "scores" else name for name in node.output]


def test_a_model_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    source = hostile(tmp_path / "source", take_memory)
    message = refusal(tmp_path, source)
    assert "memory" in message.lower() or "bad allocation" in message


def test_a_model_that_runs_for_ever_is_ended_and_is_confined_while_it_runs(tmp_path: Path) -> None:
    source = hostile(tmp_path / "source", loop_for_ever)
    is_confined = bool(missing_confinement())  # doctor reports these; see test_confinement
    for seconds in (4, 16, 64):  # a slow machine takes longer to start the check
        messages: list[str] = []
        limits = replace(CheckLimits(), seconds=seconds)
        thread = threading.Thread(target=lambda: messages.append(refusal(tmp_path, source, limits)))  # noqa: B023
        thread.start()
        while thread.is_alive():
            is_confined |= any("NoNewPrivs:\t1" in text and "Seccomp:\t2" in text for text in statuses_of_checks())
            time.sleep(0.05)
        thread.join()
        assert f"took longer than {seconds} s" in messages[0]
        assert statuses_of_checks() == []
        if is_confined:
            break
    assert is_confined


def statuses_of_checks() -> list[str]:
    """Return /proc/PID/status of each process that this one started to check a model."""
    statuses = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_check = b"appliance.engine.model_check" in (folder / "cmdline").read_bytes()
            status = (folder / "status").read_text()
        except OSError:
            continue
        if is_check and f"PPid:\t{os.getpid()}\n" in status:
            statuses.append(status)
    return statuses


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed the process that checked it (SIGSEGV)"),
        ("print('[' * 100_000)", "was killed"),
        ("print('[' * 60_000)", "crashed the process that checked it (status 0)"),
        ("print('no answer')", "crashed the process that checked it (status 0)"),
        ("print('\"input.name: a\\\\u001b[2Jb\"')", "input.name: a [2Jb"),
    ],
)
def test_whatever_the_checking_process_does_the_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    monkeypatch.setattr(registration, "PROGRAM", ("-c", code))
    assert reason in refusal(tmp_path, toy_models.window_model(tmp_path / "source"))


def test_a_manifest_that_nests_too_deep_is_refused(tmp_path: Path) -> None:
    source = toy_models.window_model(tmp_path / "source")
    (source / "manifest.toml").write_text("x = " + "[" * 100_000)
    assert "cannot be read" in refusal(tmp_path, source)


def test_a_file_over_the_size_limit_is_refused(tmp_path: Path) -> None:
    source = toy_models.window_model(tmp_path / "source")
    size = (source / "model.onnx").stat().st_size
    assert f"has {size} bytes; {size - 1} are allowed" in refusal(
        tmp_path, source, replace(CheckLimits(), file_bytes=size - 1)
    )
    with (source / "manifest.toml").open("a") as manifest:
        manifest.write("#" * 1024**2)
    assert "manifest.toml has" in refusal(tmp_path, source)


@pytest.mark.parametrize("name", ["model.onnx", "MODEL_CARD.md", "manifest.toml"])
def test_a_link_is_refused_because_it_could_lead_to_any_file(tmp_path: Path, name: str) -> None:
    source = toy_models.window_model(tmp_path / "source")
    (tmp_path / "elsewhere").write_bytes((source / name).read_bytes() if (source / name).exists() else b"secret")
    (source / name).unlink(missing_ok=True)
    (source / name).symlink_to(tmp_path / "elsewhere")
    assert f"{name} is a link" in refusal(tmp_path, source)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    source = toy_models.window_model(tmp_path / "source")
    os.mkfifo(source / "MODEL_CARD.md")
    assert "MODEL_CARD.md is not a regular file" in refusal(tmp_path, source)


def test_a_model_in_the_store_may_be_a_link_that_its_operator_made(tmp_path: Path) -> None:
    source = toy_models.window_model(tmp_path)
    (source / "model.onnx").rename(tmp_path / "elsewhere")
    (source / "model.onnx").symlink_to(tmp_path / "elsewhere")
    check_model(ModelStore(tmp_path).resolve("loud-windows"), CheckLimits())


def test_files_that_the_manifest_does_not_name_are_not_copied(tmp_path: Path) -> None:
    source = toy_models.window_model(tmp_path / "source")
    (source / "weights.bin").write_bytes(b"x")
    (source / "run.py").symlink_to("/etc/passwd")
    added = add_model(ModelStore(tmp_path / "store"), source, CheckLimits())
    assert {file.name for file in added.folder.iterdir()} == {"model.onnx", "manifest.toml"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no model" * 100,
        b"\x1c\x00\x00\x00ORTM" + bytes(100),  # onnxruntime's own format
        b"\x3a\xff\xff\xff\xff\x07",  # a graph of 2 GB, cut off
        b"\x3a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\xba\x80\x80\x80\x80\x01\x00",  # protobuf drops the tag's high bits
        b"\x3b\x3c",  # a group
    ],
)
def test_a_file_that_is_no_onnx_model_is_refused(tmp_path: Path, content: bytes) -> None:
    source = with_content(toy_models.window_model(tmp_path / "source"), content)
    assert "not an ONNX model" in refusal(tmp_path, source)


def test_nested_graphs_are_read_as_deep_as_they_go() -> None:
    def field(number: int, content: bytes) -> bytes:
        size, tag = len(content), number << 3 | 2
        return bytes([tag, size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + content

    node = field(7, b"com.example")
    for _ in range(5_000):
        node = field(5, field(6, field(1, node)))  # a node with an attribute with a graph with a node
    with pytest.raises(InvalidManifest, match=r"com\.example"):
        check_onnx(field(7, field(1, node)))


def test_mutated_files_are_read_or_refused() -> None:
    content = (ROOT / "model_store" / "spectrum" / "1.0.0" / "model.onnx").read_bytes()
    numbers = random.Random(1)
    refused = 0
    for _ in range(300):
        mutant = bytearray(content)
        for _ in range(numbers.randint(1, 8)):
            mutant[numbers.choice([numbers.randrange(2_000), numbers.randrange(len(mutant))])] = numbers.randrange(256)
        try:
            check_onnx(bytes(mutant[: numbers.choice([len(mutant), numbers.randrange(len(mutant))])]))
        except InvalidManifest:
            refused += 1
    assert 0 < refused < 300


def test_a_stored_model_reads_what_was_read_before(tmp_path: Path) -> None:
    folder = toy_models.window_model(tmp_path)
    model = ModelStore(tmp_path).resolve("loud-windows")
    before = StoredModel(model.manifest, folder, {"model.onnx": b"before"})
    assert before.read("model.onnx") == b"before"
    assert model.read("model.onnx") == (folder / "model.onnx").read_bytes()
    assert before == model
