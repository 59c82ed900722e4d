"""OpenVINO files, where OpenVINO is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from centernet import CenterNet
from centernet.export import ExportOptions, export
from centernet.export.comparison import difference, trial_images
from centernet.inference.model_metadata import ModelMetadata

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    openvino = pytest.importorskip("openvino")
pytest.importorskip("onnxscript")


def run(path: Path, images: torch.Tensor, hint: str = "f32") -> tuple[ModelMetadata, dict[str, Any]]:
    graph = openvino.Core().read_model(path)
    metadata = ModelMetadata.from_json(graph.get_rt_info(["centernet"]).astype(str), source=str(path))
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    values = compiled({"images": images.numpy()})
    return metadata, {name: values[name] for name in metadata.outputs}


def found_by(model: CenterNet, images: torch.Tensor) -> dict[str, Any]:
    with torch.inference_mode():
        encoded = model(model.normalize(images.permute(0, 3, 1, 2)))
        found = {name: value.numpy() for name, value in model.decode_detections(encoded, 20).items()}
    height, width = images.shape[1:3]  # boxes of a file end where the images do
    return found | {"bboxes": found["bboxes"].clip(0, [width, height, width, height])}


@pytest.mark.parametrize("size", [(1, 96, 128), (3, 61, 70)])
def test_the_file_finds_what_the_model_finds(
    model: CenterNet, exported: Callable[[str], Path], size: tuple[int, int, int]
) -> None:
    images = trial_images(size[0], size[1:])
    metadata, got = run(exported("xml"), images)
    assert metadata.class_names == ("cat", "dog") and metadata.precision == "float32"
    found = difference(found_by(model, images), got)
    assert found.scores < 1e-4 and found.boxes < 0.05 and not found.unmatched


def test_lower_precisions_are_stated_and_near(
    model: CenterNet, tmp_path: Path, exported: Callable[[str], Path]
) -> None:
    images = trial_images(1, (96, 128))
    for precision, hint in (("bfloat16", "bf16"), ("float16", "f32")):
        options = ExportOptions(num_detections=20, precision=precision)  # type: ignore[arg-type]
        path = export(model.network, tmp_path / f"{precision}.xml", options)
        metadata, got = run(path, images, hint)
        assert metadata.precision == precision
        assert difference(found_by(model, images), got, score_tolerance=0.1).scores < 0.05
    half, whole = (path.with_suffix(".bin").stat().st_size for path in (tmp_path / "float16.xml", exported("xml")))
    assert half < 0.6 * whole


def test_a_path_without_its_suffix_is_refused(model: CenterNet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"give a path that ends \.xml"):
        export(model.network, tmp_path / "model.bin", format="openvino")
