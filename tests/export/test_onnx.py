"""ONNX files: what goes in, what comes out, what they say of themselves, and what is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet import CenterNet
from centernet.export.comparison import difference, trial_images
from centernet.images import Preprocessing
from centernet.inference import Detector
from centernet.inference.model_metadata import ModelMetadata

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


def session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path: Path, images: Any) -> dict[str, Any]:
    opened = session(path)
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(names, {"images": np.asarray(images)}), strict=True))


def expected(model: CenterNet, normalized: torch.Tensor, count: int = 20) -> dict[str, Any]:
    """What the model finds, with boxes that end where the images do."""
    with torch.inference_mode():
        found = {name: value.numpy() for name, value in model.decode_detections(model(normalized), count).items()}
    height, width = normalized.shape[2:]
    return found | {"bboxes": found["bboxes"].clip(0, [width, height, width, height])}


@pytest.mark.parametrize("size", [(1, 96, 128), (3, 61, 70), (2, 160, 50)])
def test_images_of_any_number_and_size(
    model: CenterNet, exported: Callable[[str], Path], size: tuple[int, int, int]
) -> None:
    images = trial_images(size[0], size[1:])
    found = difference(expected(model, model.normalize(images.permute(0, 3, 1, 2))), run(exported("onnx"), images))
    assert found.scores < 1e-4 and found.boxes < 0.05 and not found.unmatched


def test_a_normalized_sample_gives_a_file_for_normalized_inputs(model: CenterNet, tmp_path: Path) -> None:
    path = model.to_onnx(tmp_path / "model.onnx", torch.rand(1, 3, 64, 64), num_detections=20, raw_maps=True)
    images = torch.randn(2, 3, 70, 90)
    outputs = run(path, images)
    assert list(outputs) == ["bboxes", "labels", "scores", "heatmap", "box"]
    found = difference(expected(model, images), outputs)
    assert found.scores < 1e-4 and found.boxes < 0.05 and not found.unmatched
    with torch.inference_mode():
        for name, raw in model(images).items():
            np.testing.assert_allclose(outputs[name], raw, atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]  # no data beside it


@pytest.mark.parametrize("size_hw", [(96, 128), (61, 70), (133, 101), (50, 180)])
def test_the_letterbox_gives_boxes_of_the_image(
    model: CenterNet, exported: Callable[[str], Path], size_hw: tuple[int, int]
) -> None:
    image = trial_images(1, size_hw)
    network_input = model.preprocessing(image[0].numpy())
    found = expected(model, model.normalize(torch.from_numpy(network_input)[None].permute(0, 3, 1, 2)))
    found["bboxes"] = model.preprocessing.to_original(found["bboxes"], size_hw)
    apart = difference(found, run(exported("letterbox"), image))
    assert apart.scores < 1e-4 and apart.boxes < 0.05 and not apart.unmatched


def test_a_large_image_is_smoothed_before_it_is_reduced(exported: Callable[[str], Path]) -> None:
    """A pattern finer than the input's pixels is gray, not an alias of it."""
    lines = np.zeros((1, 600, 800, 3), np.uint8)
    lines[:, :, ::2] = 255
    gray = np.full_like(lines, 127)
    apart = difference(run(exported("letterbox"), gray), run(exported("letterbox"), lines), score_tolerance=0.02)
    assert apart.scores < 0.02


def test_the_file_says_what_a_runtime_needs(model: CenterNet, exported: Callable[[str], Path]) -> None:
    text = session(exported("letterbox")).get_modelmeta().custom_metadata_map["centernet"]
    metadata = ModelMetadata.from_json(text, source="letterbox.onnx")
    assert metadata == ModelMetadata(
        class_names=("cat", "dog"),
        preprocessing=model.preprocessing,
        stride=4,
        num_detections=20,
        letterbox=True,
    )
    assert json.loads(text)["class_names"] == ["cat", "dog"]


def test_figures_and_threshold_are_in_the_file(model: CenterNet, tmp_path: Path) -> None:
    path = model.to_onnx(tmp_path / "m.onnx", score_threshold=0.25, figures={"AP": 0.371})
    text = session(path).get_modelmeta().custom_metadata_map["centernet"]
    metadata = ModelMetadata.from_json(text, source=str(path))
    assert metadata.figures == {"AP": 0.371} and metadata.score_threshold == 0.25


def test_half_precision_is_half_the_size(
    model: CenterNet, exported: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "centernet"):
        path = model.to_onnx(tmp_path / "half.onnx", num_detections=20, precision="float16")
    assert "differs from PyTorch by at most" in caplog.text
    assert path.stat().st_size < 0.6 * exported("onnx").stat().st_size
    images = trial_images(1, (96, 128))
    outputs = run(path, images)
    assert outputs["scores"].dtype == np.float32 and outputs["bboxes"].dtype == np.float32
    apart = difference(expected(model, model.normalize(images.permute(0, 3, 1, 2))), outputs, score_tolerance=0.05)
    assert apart.scores < 0.01


@pytest.mark.parametrize("opset", [13, 17, 20, 23])
def test_the_opset_is_the_one_asked_for(model: CenterNet, tmp_path: Path, opset: int) -> None:
    if opset > 21 and tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 22):
        pytest.skip(f"ONNX Runtime {onnxruntime.__version__} runs opsets up to 21")
    path = model.to_onnx(tmp_path / "m.onnx", opset=opset, num_detections=10, letterbox=opset < 18)
    written = onnx.load(path)
    assert {entry.domain: entry.version for entry in written.opset_import}[""] == opset
    assert written.ir_version == {13: 7, 17: 8, 20: 9, 23: 11}[opset]  # the first onnx releases that had them


def test_an_operator_that_came_later_is_named(model: CenterNet) -> None:
    from centernet.export.opset import lower_opset

    node = onnx.helper.make_node("LayerNormalization", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [], [])
    with pytest.raises(ValueError, match=r"LayerNormalization came with 17; give 17 or more"):
        lower_opset(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), 15)


def test_the_open_axes_have_names(exported: Callable[[str], Path]) -> None:
    ports = {port.name: port.shape for port in session(exported("onnx")).get_inputs()}
    ports |= {port.name: port.shape for port in session(exported("onnx")).get_outputs()}
    assert ports["images"] == ["batch", "height", "width", 3] and ports["bboxes"] == ["batch", 20, 4]


def test_boxes_end_where_the_image_does(model: CenterNet, exported: Callable[[str], Path]) -> None:
    for size in ((40, 40), (64, 120)):
        boxes = run(exported("onnx"), trial_images(2, size))["bboxes"]
        height, width = size
        assert boxes.min() >= 0 and (boxes <= [width, height, width, height]).all()
        raw = model.normalize(trial_images(2, size).permute(0, 3, 1, 2))
        with torch.inference_mode():
            assert model.decode_detections(model(raw), 20)["bboxes"].min() < 0  # there was something to cut


@pytest.mark.parametrize("input_type", [None, "uint8"])
def test_raw_maps_alone(model: CenterNet, tmp_path: Path, input_type: str | None) -> None:
    path = model.to_onnx(tmp_path / "maps.onnx", raw_maps="only", input_type=input_type)
    images = trial_images(2, (64, 96))
    planes = model.normalize(images.permute(0, 3, 1, 2))
    outputs = run(path, planes if input_type is None else images)
    assert list(outputs) == ["heatmap", "box"]
    with torch.inference_mode():
        for name, raw in model(planes).items():
            np.testing.assert_allclose(outputs[name], raw, atol=1e-4)
    with pytest.raises(ValueError, match="has the raw maps alone"):
        Detector(path)


def test_opencv_runs_raw_maps(model: CenterNet, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    if int(cv2.__version__.split(".")[0]) < 5:
        pytest.skip("OpenCV 4 takes no graph of open sizes")
    net = cv2.dnn.readNetFromONNX(str(model.to_onnx(tmp_path / "maps.onnx", raw_maps="only")))
    images = model.normalize(trial_images(1, (64, 96)).permute(0, 3, 1, 2))
    net.setInput(images.numpy(), "images")
    with torch.inference_mode():
        np.testing.assert_allclose(net.forward("heatmap"), model(images)["heatmap"], atol=1e-3)


@pytest.mark.parametrize("letterbox", [False, True])
def test_a_file_of_some_classes_gives_them_all_rows(model: CenterNet, tmp_path: Path, letterbox: bool) -> None:
    path = model.to_onnx(tmp_path / "dog.onnx", classes=["dog"], num_detections=20, letterbox=letterbox)
    detector, image = Detector(path, score_threshold=0), trial_images(1, (96, 128))[0].numpy()
    assert detector.class_names == ("dog",)
    found = Detector(model, score_threshold=0, num_detections=500)(image).filter(labels=[1])[:20]
    np.testing.assert_allclose(detector(image).scores, found.scores, atol=1e-4)
    with pytest.raises(ValueError, match="'cow' is no class"):
        model.to_onnx(tmp_path / "cow.onnx", classes=["cow"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"opset": 9}, "opset=9: expected one from 13 to 23"),
        ({"precision": "int8"}, "int8 and calibrate, a folder of images, go together"),
        ({"num_detections": 0}, "num_detections: expected at least 1"),
        ({"images": torch.zeros(1, 4, 64, 64)}, r"float32 N×3×H×W .* got torch\.float32 1×4×64×64"),
        ({"images": torch.zeros(1, 3, 64, 64, dtype=torch.int32)}, r"got torch\.int32"),
        ({"images": torch.zeros(3, 64, 64)}, "got torch.float32 3×64×64"),
        ({"images": torch.zeros(1, 3, 64, 64), "letterbox": True}, "letterbox: the graph resizes uint8 images"),
    ],
)
def test_what_cannot_be_is_refused(model: CenterNet, tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        model.to_onnx(tmp_path / "m.onnx", **options)
    assert not list(tmp_path.iterdir())


def test_suppression_is_a_part_of_the_graph(model: CenterNet, tmp_path: Path) -> None:
    images = trial_images(3, (96, 160))
    free = run(model.to_onnx(tmp_path / "free.onnx"), images)
    model.nms_iou, model.network.peak_margin, model.network.merge_boxes = 0.3, 0.5, True
    try:
        path = model.to_onnx(tmp_path / "m.onnx")
        encoded = model(model.normalize(images.permute(0, 3, 1, 2)))
        wanted = {name: value.detach().numpy() for name, value in model.decode_detections(encoded).items()}
    finally:
        model.nms_iou, model.network.peak_margin, model.network.merge_boxes = None, 0.0, False
    wanted["bboxes"] = wanted["bboxes"].clip(0, [160, 96, 160, 96])
    got = run(path, images)
    assert (got["scores"] > 0).sum() < (free["scores"] > 0).sum()  # it had something to do
    found = difference(wanted, got)
    assert found.scores <= 1e-4 and found.boxes <= 0.05 and not found.unmatched, str(found)


def test_the_model_is_left_as_it_was(model: CenterNet, exported: Callable[[str], Path]) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    try:
        model.to_torchscript(num_detections=5)
        assert model.training
    finally:
        model.eval()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_stretch_and_keep_have_letterboxes_too(model: CenterNet, tmp_path: Path) -> None:
    before = model.preprocessing
    try:
        for resize in ("stretch", "keep"):
            model.preprocessing = Preprocessing(size=(96, 128), resize=resize)  # type: ignore[arg-type]
            model.to_onnx(tmp_path / f"{resize}.onnx", letterbox=True, num_detections=20)  # checked there
            outputs = run(tmp_path / f"{resize}.onnx", trial_images(1, (75, 210)))
            assert (outputs["bboxes"] <= [210, 75, 210, 75]).all() and (outputs["bboxes"] >= 0).all()
    finally:
        model.preprocessing = before
