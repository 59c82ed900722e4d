"""A benchmark measures every stage, and counts arithmetic as torch does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet.cli.main import main
from centernet.inference.benchmark import STAGES, benchmark

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from centernet.inference.model_metadata import KEY, ModelMetadata  # noqa: E402


def write(
    path: Path, nodes: list[Any], shape: list[Any], weights: dict[str, np.ndarray], kind: int, **meta: str
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("images", kind, shape)],
        [
            helper.make_tensor_value_info(name, *of)
            for name, of in OUTPUTS.items()
            if any(name in n.output for n in nodes)
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, meta)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


OUTPUTS = {
    "bboxes": (TensorProto.FLOAT, [None, 5, 4]),
    "labels": (TensorProto.INT64, [None, 5]),
    "scores": (TensorProto.FLOAT, [None, 5]),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model file whose five objects are the same in every picture, after a convolution for nothing."""
    boxes = np.tile(np.array([8, 8, 24, 16], np.float32), (1, 5, 1))
    weights = {
        "w": np.ones((4, 32, 1, 1), np.float32),
        "zero": np.zeros(1, np.float32),
        "one_box": boxes,
        "one_label": np.zeros((1, 5), np.int64),
        "one_score": np.linspace(0.9, 0.1, 5, dtype=np.float32)[None],
        "no": np.zeros(1, np.int64),
        "axes": np.array([1, 2, 3], np.int64),
        "flat": np.array([-1, 1], np.int64),
        "cube": np.array([-1, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["float", "w"], ["map"]),
        helper.make_node("ReduceMean", ["map", "axes"], ["mean"], keepdims=0),  # N
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "cube"], ["nothing3"]),
        helper.make_node("Reshape", ["nothing", "flat"], ["nothing2"]),
        helper.make_node("Cast", ["nothing2"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Add", ["one_box", "nothing3"], ["bboxes"]),
        helper.make_node("Add", ["one_label", "whole"], ["labels"]),
        helper.make_node("Add", ["one_score", "nothing2"], ["scores"]),
    ]
    metadata = ModelMetadata.from_json(
        json.dumps(
            json.loads(ModelMetadata(class_names=("cat",), num_detections=5).to_json())
            | {"preprocessing": {"size": [32, 48]}}
        ),
        source="test",
    )
    path = tmp_path / "model.onnx"
    return write(path, nodes, ["n", 32, 48, 3], weights, TensorProto.UINT8, **{KEY: metadata.to_json()})


def test_a_report_of_a_model(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(file), "--rounds", "4", "--batch-size", "2", "--threads", "1"]
    assert main(["benchmark", *arguments, "--output", str(tmp_path / "speed")]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].split() == ["model.onnx"]
    assert text.splitlines()[-1] == f"wrote {tmp_path / 'speed' / 'benchmark.json'}"
    report = json.loads((tmp_path / "speed/benchmark.json").read_text())
    (model,) = report["results"]
    assert model["input_size"] == [32, 48] and set(model["stages"]) == set(STAGES)
    for timing in [model["latency"], *model["stages"].values()]:
        assert 0 < timing["best"] <= timing["median"] <= timing["p95"]
    assert model["stages"]["decode"]["best"] < model["latency"]["p95"]
    assert model["images_per_second"] > 0 and model["network_per_second"] > 0 and model["cpu_ms"] > 0
    assert model["gflop"] is None, "only torch counts"
    assert report["machine"]["threads"] == 1 and report["machine"]["onnxruntime"]


def test_what_cannot_be_measured_is_named(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    assert main(["benchmark", str(file), "--images", str(tmp_path / "text.jpg")]) == 1
    assert "text.jpg: not an image" in capsys.readouterr().err
    assert main(["benchmark", str(tmp_path / "missing.onnx")]) == 1
    assert "missing.onnx: no such model file" in capsys.readouterr().err
    assert main(["benchmark", str(file), "--rounds", "0"]) == 2
    assert main(["benchmark", str(file), "--peer", "peer.onnx"]) == 2
    assert "benchmarks/lite_speed.py" in capsys.readouterr().err


def test_torch_counts_the_operations(tmp_path: Path) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from centernet import CenterNet

    model = CenterNet.from_pretrained("voc-lite")
    (result,) = benchmark(["voc-lite"], rounds=2, batch_size=1, threads=1).results
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 320, 320))
    assert result.gflop == pytest.approx(counter.get_total_flops() / 1e9, rel=0.01)
    assert result.runtime == "Torch" and result.input_size == (320, 320)
