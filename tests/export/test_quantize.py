"""int8: what is quantised, what stays, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet import CenterNet, build_centernet
from centernet.export import ExportOptions, export
from centernet.export.comparison import difference, trial_images
from centernet.export.graph import prepare
from centernet.export.quantize import calibration_inputs
from centernet.images import ImageError
from centernet.inference.model_metadata import ModelMetadata
from centernet.inference.opening import open_runtime
from tests.export.conftest import CONFIG

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def int8(model: CenterNet, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = ExportOptions(num_detections=20, precision="int8", calibrate=photos)
    return export(model.network, tmp_path_factory.mktemp("int8") / "int8.onnx", options)


def test_the_file_finds_nearly_the_same(exported: Callable[[str], Path], int8: Path) -> None:
    images = trial_images(2, (96, 128), seed=5).numpy()
    whole, small = (open_runtime(path)(images, 20) for path in (exported("onnx"), int8))
    assert difference(whole, small, score_tolerance=0.1).scores < 0.1


def convolutions(model: Any) -> tuple[list[Any], list[Any]]:
    """Those with weights in integers, and those in float."""
    integers = {i.name for i in model.graph.initializer if i.data_type == onnx.TensorProto.INT8}
    by_output = {output: node for node in model.graph.node for output in node.output}
    quantised, floats = [], []
    for node in (node for node in model.graph.node if node.op_type == "Conv"):
        source = by_output.get(node.input[1])
        weights = source.input[0] if source is not None and source.op_type == "DequantizeLinear" else node.input[1]
        (quantised if weights in integers else floats).append(node)
    return quantised, floats


def test_ends_of_heads_and_decode_stay_in_float(int8: Path) -> None:
    model = onnx.load(int8)
    quantised, floats = convolutions(model)
    shapes = {i.name: tuple(i.dims) for i in model.graph.initializer}
    assert {shapes[node.input[1]][:1] for node in floats} == {(2,), (4,)}  # two classes, four sides
    assert len(floats) == 2 and len(quantised) > 10
    after = {output for node in floats for output in node.output}
    for node in model.graph.node:  # whatever follows the ends of the heads
        if after.intersection(node.input):
            assert node.op_type not in ("QuantizeLinear", "DequantizeLinear")
            after.update(node.output)


def test_separable_convolutions_with_nothing_between_stay_in_float(photos: Path, tmp_path: Path) -> None:
    """Two in the neck, beside the ends of both heads; those with a ReLU between, as `separable` has it, do not."""
    floats = []
    for kind in ("linear_separable", "separable"):
        parts: dict[str, Any] = deepcopy(CONFIG)
        parts["model"]["neck"] = {
            "class_path": "TaperedFPN", "init_args": {"channels": [24, 16], "convolution": kind}
        }  # fmt: skip
        options = ExportOptions(num_detections=20, precision="int8", calibrate=photos)
        path = export(build_centernet(parts).eval().network, tmp_path / f"{kind}.onnx", options)
        floats.append(len(convolutions(onnx.load(path))[1]))
    assert floats == [4, 2]


def test_weights_are_quantised_by_channel(int8: Path) -> None:
    model = onnx.load(int8)
    scales = [i for i in model.graph.initializer if i.name.endswith("weight_scale")]
    assert scales and all(len(i.dims) == 1 and i.dims[0] > 1 for i in scales)


def test_the_metadata_travel_and_say_int8(int8: Path) -> None:
    text = {entry.key: entry.value for entry in onnx.load(int8).metadata_props}["centernet"]
    metadata = ModelMetadata.from_json(text, source="int8.onnx")
    assert metadata.precision == "int8" and metadata.class_names == ("cat", "dog")


def test_a_graph_with_a_letterbox_is_quantised_too(model: CenterNet, photos: Path, tmp_path: Path) -> None:
    options = ExportOptions(num_detections=20, precision="int8", calibrate=photos, letterbox=True)
    path = export(model.network, tmp_path / "int8.onnx", options)
    images = trial_images(1, (300, 500))
    boxes = open_runtime(path)(images.numpy(), 20)["bboxes"]
    assert boxes.max() > 128 and (boxes <= [500, 300, 500, 300]).all()


def test_what_cannot_be_quantised_is_refused(model: CenterNet, photos: Path, tmp_path: Path) -> None:
    options = ExportOptions(precision="int8", calibrate=tmp_path / "absent")
    with pytest.raises(ImageError, match="no such folder"):
        export(model.network, tmp_path / "out.onnx", options)
    with pytest.raises(ValueError, match="int8 and calibrate, a folder of images, go together"):
        export(model.network, tmp_path / "out.onnx", ExportOptions(calibrate=photos))
    assert not (tmp_path / "out.onnx").exists()


def test_broken_images_are_left_out_of_the_calibration(model: CenterNet, photos: Path, tmp_path: Path) -> None:
    whole = sorted(photos.iterdir())[:3]
    for place, path in enumerate(whole):
        (tmp_path / f"{place}.png").write_bytes(path.read_bytes())
    (tmp_path / "0a.png").write_bytes(whole[0].read_bytes()[:200])
    (tmp_path / "1a.jpg").write_text("no image")
    options = ExportOptions(num_detections=20, precision="int8", calibrate=tmp_path)
    with pytest.warns(UserWarning, match="left out of the calibration") as said:
        path = export(model.network, tmp_path / "int8.onnx", options)
    assert path.is_file() and open_runtime(path).class_names == model.network.class_names
    texts = [str(warning.message) for warning in said if "left out" in str(warning.message)]
    assert [name in text for name, text in zip(("0a.png", "1a.jpg"), texts, strict=True)] == [True] * 2
    for image in tmp_path.glob("*.*g"):
        image.write_text("no image")
    failed: list[ImageError] = []
    with pytest.raises(ImageError, match="none of the 5 images"):
        list(calibration_inputs(prepare(model.network, options), failed))
    assert len(failed) == 5


def test_calibration_takes_images_evenly(model: CenterNet, photos: Path) -> None:
    for count in (100, 3):
        options = ExportOptions(precision="int8", calibrate=photos, calibration_images=count)
        inputs = list(calibration_inputs(prepare(model.network, options), []))
        assert len(inputs) == min(6, count)
        assert all(x.shape == (1, 96, 128, 3) and x.dtype == np.uint8 for x in inputs)
    with pytest.raises(ValueError, match="calibration_images: expected at least 1"):
        ExportOptions(calibration_images=0)
