"""LiteRT, Core ML, NCNN and ExecuTorch files where their packages are installed; what is said where they are not."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from centernet import CenterNet, Detector
from centernet.export import FORMATS, ExportOptions, export
from centernet.export.comparison import difference, trial_images
from centernet.inference.opening import open_file

MOBILE = ("litert", "ncnn")


def needs(name: str) -> None:
    lacks = [package for package in FORMATS[name].packages if find_spec(package) is None]
    if lacks:
        pytest.skip(f"{name} files are written with {', '.join(lacks)}, which is not installed")


def hide(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for module in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize("name", MOBILE)
def test_the_file_finds_what_the_model_finds(model: CenterNet, tmp_path: Path, name: str) -> None:
    needs(name)
    path = export(model.network, tmp_path / f"model{FORMATS[name].suffix}", ExportOptions(num_detections=20))
    image = trial_images(1, (80, 120))[0].numpy()
    one, other = (Detector(form, score_threshold=0.0, num_detections=20)(image) for form in (path, model))
    assert one.class_names == ("cat", "dog") and len(one) == 20
    rows = [{key: getattr(of, key)[None] for key in ("bboxes", "labels", "scores")} for of in (other, one)]
    found = difference(*rows)
    assert found.scores < 1e-4 and found.boxes < 0.05 and found.unmatched <= 1
    runtime = open_file(path)
    assert runtime.metadata.num_detections == 20 and runtime.metadata.preprocessing.size == (96, 128)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="takes inputs of 96×128 pixels"):
        runtime(np.zeros((1, 64, 64, 3), np.uint8), 20)
    with pytest.raises(ValueError, match="cpu"):
        Detector(path, device="cuda")


def test_ncnn_files_are_one_model_together(model: CenterNet, tmp_path: Path) -> None:
    needs("ncnn")
    path = export(model.network, tmp_path / "m.ncnn.param", ExportOptions(num_detections=20, precision="float16"))
    said = json.loads(path.with_suffix(".json").read_text())
    assert said["maps"] == ["heatmap", "box"] and said["precision"] == "float16"
    path.with_suffix(".onnx").unlink()
    with pytest.raises(ValueError, match=r"m\.ncnn\.onnx is not beside it"):
        Detector(path)
    path = export(model.network, tmp_path / "only.ncnn.param", ExportOptions(raw_maps="only"))
    assert not path.with_suffix(".onnx").exists()
    with pytest.raises(ValueError, match="has the raw maps alone"):
        Detector(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of coremltools itself
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_core_ml_states_its_image_and_outputs(model: CenterNet, tmp_path: Path, precision: str) -> None:
    needs("coreml")
    import coremltools

    options = ExportOptions(num_detections=20, precision=precision)  # type: ignore[arg-type]
    path = export(model.network, tmp_path / "model.mlpackage", options)
    spec = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()
    image = spec.description.input[0].type.imageType
    assert (image.height, image.width) == (96, 128) and spec.description.input[0].name == "images"
    shapes = {one.name: tuple(one.type.multiArrayType.shape) for one in spec.description.output}
    assert shapes == {"bboxes": (1, 20, 4), "labels": (1, 20), "scores": (1, 20)}
    said = json.loads(spec.description.metadata.userDefined["centernet"])
    assert said["class_names"] == ["cat", "dog"] and said["precision"] == precision
    with pytest.raises(ValueError, match="Core ML models run on Apple's systems"):
        Detector(path)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("litert", "litert_torch", "litert-export"),
        ("coreml", "coremltools", "coreml"),
        ("ncnn", "pnnx", "ncnn-export"),
        ("executorch", "executorch", "executorch"),
    ],
)
def test_a_missing_converter_is_named_with_its_extra(
    model: CenterNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    hide(monkeypatch, package)
    with pytest.raises(ImportError, match=rf"{package}: pip install 'centernet\[{extra}\]'"):
        export(model.network, tmp_path / f"model{FORMATS[name].suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("file", "package", "extra"),
    [
        ("m.tflite", "ai_edge_litert", "litert"),
        ("m.ncnn.param", "ncnn", "ncnn"),
    ],
)
def test_a_missing_runtime_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, package: str, extra: str
) -> None:
    (tmp_path / file).write_bytes(b"nothing")
    hide(monkeypatch, package)
    with pytest.raises(ImportError, match=rf"{package}: pip install 'centernet\[{extra}\]'"):
        Detector(tmp_path / file)


@pytest.mark.parametrize(
    ("file", "options", "says"),
    [
        ("m.tflite", ExportOptions(precision="float16"), "litert is exported in float32"),
        ("m.pte", ExportOptions(letterbox=True), "letterbox belongs to the format"),
        ("m.param", ExportOptions(), r"no format has files with the suffix '\.param'"),
    ],
)
def test_what_a_format_has_not_is_refused(
    model: CenterNet, tmp_path: Path, file: str, options: ExportOptions, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        export(model.network, tmp_path / file, options)
