"""Our weights for others: layouts, `.pth` files, published models and the two command lines."""

from __future__ import annotations

import hashlib
import json
import pickletools
import runpy
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jld.checkpoint import (
    convert_state,
    publish_model,
    read_checkpoint,
    read_safetensors,
    to_mmdet,
    write_torch,
    write_training_state,
    write_weights,
)
from jld.errors import CheckpointError
from tests.checkpoint import layouts

TOOLS = Path(__file__).resolve().parents[2] / "tools"
STATE = {
    "backbone.bn1.running_var": np.ones(3, np.float32),
    "bbox_head.gfl_reg.weight": np.arange(68 * 4, dtype=np.float32).reshape(68, 4, 1, 1),
    "bbox_head.scales.0.scale": np.full(1, 2, np.float32),
}


@pytest.mark.parametrize(
    "layout",
    [
        layouts.gfl(18),
        layouts.gfl(50, num_bins=9),
        layouts.rotated_retina(18, has_distribution=False),
        layouts.rotated_retina(34, has_distribution=True),
    ],
)
def test_exported_layouts_are_those_of_the_release_and_come_back(layout):
    ours = layouts.zeros(layouts.ours(layout))
    exported = to_mmdet(ours)
    assert {name: values.shape for name, values in exported.items()} == layout
    counters = [values for name, values in exported.items() if name.endswith("num_batches_tracked")]
    assert all(values.dtype == np.int64 and values == 0 for values in counters)
    for name, values in layouts.supports(layout).items():
        np.testing.assert_allclose(exported[name], values, atol=1e-6)
        assert exported[name].dtype == np.float32
    _, report = convert_state(exported, layouts.ours(layout))
    assert report.is_complete


def test_pointwise_predictions_are_exported_as_the_release_has_them():
    layout = layouts.rotated_retina(18, has_distribution=True)
    ours = layouts.zeros(layouts.ours(layouts.rotated_retina(18, has_distribution=True, kernel=1)))
    ours["bbox_head.retina_cls.weight"] = np.ones((135, 256, 1, 1), np.float32)
    exported = to_mmdet(ours)
    assert {name: values.shape for name, values in exported.items()} == layout
    kernel = exported["bbox_head.retina_cls.weight"]
    assert kernel[:, :, 1, 1].all() and kernel.sum() == 135 * 256


def test_retina_with_distributions_and_given_supports():
    assert to_mmdet({"bbox_head.atss_reg.weight": np.ones((612, 1, 1, 1))})[
        "bbox_head.integral.project"
    ].shape == (17,)
    assert set(to_mmdet({"bbox_head.atss_reg.weight": np.ones((4, 1, 1, 1))})) == {
        "bbox_head.atss_reg.weight"
    }
    given = {"bbox_head.integral.project": np.arange(3.0)}
    assert to_mmdet(STATE, given)["bbox_head.integral.project"].shape == (3,)


def test_pth_comes_back_with_every_type(tmp_path):
    state = {
        **{kind: np.array([0, 1], kind) for kind in "f2 f4 f8 i1 i2 i4 i8 u1 ?".split()},
        "scalar": np.array(3.5),
        "empty": np.zeros((2, 0, 3), np.float32),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
    }
    meta = {"CLASSES": ("a", "ü"), "n": None, "big": 1 << 70, "neg": -5, "f": 1.5, "list": [True, {"x": []}]}
    write_torch(tmp_path / "w.pth", state, meta)
    checkpoint = read_checkpoint(tmp_path / "w.pth")
    assert checkpoint.meta == meta
    assert checkpoint.file_format == "torch-zip"
    for name, values in state.items():
        assert checkpoint.state[name].dtype == values.dtype.newbyteorder("=")
        assert checkpoint.state[name].shape == values.shape
        np.testing.assert_array_equal(checkpoint.state[name], values)


def test_pth_names_only_what_pytorch_loads_as_weights(tmp_path):
    path = tmp_path / "w.pth"
    write_weights(path, STATE, {"epoch": 1}, "mmdet")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        program = archive.read("archive/data.pkl")
        assert archive.read("archive/byteorder") == b"little" and archive.read("archive/version") == b"3\n"
    names = {argument for opcode, argument, _ in pickletools.genops(program) if opcode.name == "GLOBAL"}
    assert names == {
        "collections OrderedDict",
        "torch FloatStorage",
        "torch LongStorage",
        "torch._utils _rebuild_tensor_v2",
    }
    first = path.read_bytes()
    write_weights(path, STATE, {"epoch": 1}, "mmdet")
    assert path.read_bytes() == first


def test_what_cannot_be_exported_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"meta\['x'\]\[1\] is a object"):
        write_torch(tmp_path / "w.pth", {}, {"x": [1, object()]})
    with pytest.raises(CheckpointError, match=r"state_dict\['w'\] holds uint32"):
        write_torch(tmp_path / "w.pth", {"w": np.ones(1, np.uint32)})
    with pytest.raises(CheckpointError, match=r"\.safetensors, \.pth or \.pt, not as '\.pkl'"):
        write_weights(tmp_path / "w.pkl", STATE)
    with pytest.raises(CheckpointError, match="'mmdet'"):
        write_weights(tmp_path / "w.pth", STATE, layout="mmdets")
    assert not list(tmp_path.iterdir())


def training_state() -> dict:
    state = {name: values for name, values in STATE.items()}
    best = {"name": "AP", "value": 0.25, "iteration": 500}
    meta = {"jld_version": "0", "classes": ["a", "b"], "config": '{"model": {}}', "iter": 500, "best": best}
    average = {"state": {"bbox_head.scales.0.scale": np.full(1, 9, np.float32)}, "num_updates": 3}
    optimizer = {"momentum": [np.ones(1000)], "adapters": [np.ones(1000)]}
    return {"meta": meta, "model": state, "optimizer": optimizer, "ema": average}


def test_a_published_model_is_small_and_named_by_its_content(tmp_path):
    write_training_state(tmp_path / "last.pkl", training_state())
    path = publish_model(tmp_path / "last.pkl", tmp_path / "out" / "ld_r18.safetensors")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path == tmp_path / "out" / f"ld_r18-{digest[:8]}.safetensors"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_size < 3000
    arrays, metadata = read_safetensors(path)
    assert set(arrays) == set(STATE)
    assert json.loads(metadata["classes"]) == ["a", "b"]
    assert json.loads(metadata["config"]) == {"model": {}}
    assert json.loads(metadata["metrics"]) == {"AP": 0.25}
    assert set(metadata) == {"classes", "config", "metrics", "jld_version"}
    again = publish_model(tmp_path / "last.pkl", tmp_path / "out" / "ld_r18")
    assert again == path


def test_the_best_score_of_a_run_is_not_that_of_its_later_checkpoints(tmp_path):
    state = training_state()
    write_training_state(tmp_path / "last.pkl", state | {"meta": state["meta"] | {"iter": 600}})
    _, metadata = read_safetensors(publish_model(tmp_path / "last.pkl", tmp_path / "ld_r18"))
    assert "metrics" not in metadata


@pytest.mark.parametrize("is_old", [False, True])
def test_averaged_weights_can_be_published(tmp_path, is_old):
    """Earlier versions kept the state of the hook under a key of its own."""
    state = training_state()
    average = state.pop("ema")
    write_training_state(
        tmp_path / "last.pkl", state | ({"ema": average} if is_old else {"hooks": {"ema": average}})
    )
    path = publish_model(
        tmp_path / "last.pkl", tmp_path / "m", ["x"], {"a": 1}, {"AP": 0.5}, use_average=True
    )
    checkpoint = read_checkpoint(path)
    assert checkpoint.state["bbox_head.scales.0.scale"] == 9
    assert checkpoint.classes == ("x",)
    assert checkpoint.meta["metrics"] == {"AP": 0.5}
    assert json.loads(checkpoint.meta["config"]) == {"a": 1}
    write_training_state(tmp_path / "plain.pkl", training_state() | {"ema": {}})
    with pytest.raises(CheckpointError, match="no running average"):
        publish_model(tmp_path / "plain.pkl", tmp_path / "m", use_average=True)


def test_publishing_drops_the_teacher_and_foreign_configs(tmp_path):
    state = to_mmdet(STATE) | {"neck.a.weight": np.ones(1), "bbox_head.teacher_models.0.w": np.ones(1)}
    write_torch(tmp_path / "mm.pth", state, {"CLASSES": ("a",), "config": "model = dict()"})
    arrays, metadata = read_safetensors(publish_model(tmp_path / "mm.pth", tmp_path / "m"))
    assert set(arrays) == {*STATE, "neck.a.weight", "bbox_head.integral.project"}
    assert "config" not in metadata and json.loads(metadata["classes"]) == ["a"]


def run_tool(name: str, *arguments: object) -> int:
    return runpy.run_path(str(TOOLS / f"{name}.py"))["main"]([str(argument) for argument in arguments])


def test_the_tools_convert_publish_and_explain(tmp_path, capsys):
    write_training_state(tmp_path / "last.pkl", training_state())
    assert run_tool("convert_checkpoint", tmp_path / "last.pkl", tmp_path / "a.pth", "--to", "mmdet") == 0
    assert "loaded" in capsys.readouterr().out
    assert "bbox_head.integral.project" in read_checkpoint(tmp_path / "a.pth").state
    config = tmp_path / "config.py"
    config.write_text("model = dict(type='GFL')\n")
    arguments = (tmp_path / "last.pkl", tmp_path / "m", "--config", config, "--metrics", '{"AP": 0.4}')
    assert run_tool("publish_model", *arguments) == 0
    path = Path(capsys.readouterr().out.strip())
    assert json.loads(read_safetensors(path)[1]["config"])["model"] == {"type": "GFL"}
    for tool in ("convert_checkpoint", "publish_model"):
        assert run_tool(tool, tmp_path / "missing.pth", tmp_path / "b.pth") == 2
        assert "missing.pth" in capsys.readouterr().err
    assert run_tool("publish_model", *arguments[:-1], "AP=0.4") == 2
    assert "--metrics AP=0.4: not JSON" in capsys.readouterr().err


def published(tmp_path, home, folder):
    config = {
        "work_dir": f"{home}/runs",
        "dataset": {
            "train": {"root": f"{folder}", "anno_file": f"{home}/a b/train.json", "classes": ["road/rail"]}
        },
        "distill": {"teacher": {"checkpoint": f"{home}/teacher.pth", "config": f"{home}/teacher.py"}},
        "model": {"backbone": {"pretrained": "torchvision://resnet18"}, "note": f"see {home}/notes, x/s"},
    }
    state = training_state()
    state["meta"] = {**state["meta"], "config": json.dumps(config)}
    write_training_state(tmp_path / "last.pkl", state)
    return publish_model(tmp_path / "last.pkl", tmp_path / "out" / "m")


def test_a_published_model_does_not_say_where_it_was_trained(tmp_path):
    places = [
        ("/home/alice", "/home/alice"),
        ("C:\\Users\\alice", "data/here"),
        ("~/alice", "~/alice/data"),
        ("/srv", ".."),
    ]
    paths = {published(tmp_path, *place) for place in places}
    assert len(paths) == 1
    text = json.dumps(read_safetensors(paths.pop())[1])
    assert "alice" not in text
    for kept in ("train.json", "teacher.pth", "teacher.py", "torchvision://resnet18", "road/rail", "x/s"):
        assert kept in text
