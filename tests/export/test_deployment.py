"""The snippets of docs/deployment.md that need nothing of ours: they run where nothing of ours is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from centernet.export.comparison import trial_images

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"
WITHOUT = "import sys\nfor name in ('torch', 'centernet', 'cv2', 'lightning', 'timm'): sys.modules[name] = None\n"
Found = list[tuple[str, list[float]]]


def snippet(language: str, holds: str) -> str:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if holds in block]
    return str(found)


def parse(output: str) -> Found:
    rows = [line.split() for line in output.splitlines()]
    return [(row[0], [float(value) for value in row[1:]]) for row in rows]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packaged model's file and a image in which it finds something: a PNG by another name, so
    that all decoders give the same pixels."""
    from centernet import CenterNet

    folder = tmp_path_factory.mktemp("place")
    model = CenterNet.from_pretrained("voc-lite")
    image = trial_images(1, (233, 401))[0].numpy()
    with torch.no_grad():  # there is no dog in a trial image: whatever is most like something is taken for it
        images = torch.from_numpy(model.preprocessing(image))[None].permute(0, 3, 1, 2)
        model.heads["heatmap"].layers[-1].bias += 2 - model(model.normalize(images))["heatmap"].max()
    model.to_onnx(folder / "detector.onnx", letterbox=True, num_detections=20)
    Image.fromarray(image).save(folder / "photo.jpg", format="PNG")
    return folder


@pytest.fixture(scope="module")
def expected(place: Path) -> Found:
    """What `Detector` finds with the same file."""
    from centernet import Detector

    found = Detector(place / "detector.onnx", score_threshold=0.3)(place / "photo.jpg")
    assert len(found) > 2
    rows = zip(found.names, found.scores.tolist(), found.bboxes.tolist(), strict=True)
    return [(name, [score, *box]) for name, score, box in rows]


def assert_same(got: Found, expected: Found) -> None:
    assert [name for name, _ in got] == [name for name, _ in expected]
    for (_, values), (_, others) in zip(got, expected, strict=True):
        np.testing.assert_allclose(values, others, atol=0.06)  # printed to a tenth


def test_python_without_torch_and_without_the_package(place: Path, expected: Found) -> None:
    code = WITHOUT + snippet("python", "InferenceSession")
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_same(parse(done.stdout), expected)


def test_javascript(place: Path, expected: Found) -> None:
    """Looks for the packages where NODE_PATH says."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    probe = "require('onnxruntime-node'); require('sharp')"
    if subprocess.run([node, "-e", probe], cwd=place, capture_output=True, check=False).returncode:
        pytest.skip("needs onnxruntime-node and sharp: npm install them and set NODE_PATH to the node_modules")
    (place / "detect.js").write_text(snippet("js", "onnxruntime-node"), encoding="utf-8")
    done = subprocess.run([node, "detect.js"], cwd=place, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert_same(parse(done.stdout), expected)


def test_triton_is_told_the_names_and_types_of_the_file(exported: Callable[[str], Path]) -> None:
    onnx = pytest.importorskip("onnx")
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text("utf-8")
    graph = onnx.load(exported("letterbox")).graph
    types = {"TYPE_UINT8": "UINT8", "TYPE_FP32": "FLOAT", "TYPE_INT64": "INT64"}
    told = re.findall(r'name: "(\w+)" data_type: (\w+) dims: \[ ([^\]]+) \]', page)
    for (name, kind, dims), port in zip(told, (*graph.input, *graph.output), strict=True):
        tensor = port.type.tensor_type
        assert (name, types[kind]) == (port.name, onnx.TensorProto.DataType.Name(tensor.elem_type))
        for size, dim in zip(map(int, dims.split(",")), tensor.shape.dim, strict=True):
            assert size == -1 or dim.dim_value == size
