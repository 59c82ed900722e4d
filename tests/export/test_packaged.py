"""The packaged model without torch: its graph beside its weights, as `make packaged` wrote it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centernet import Detector
from centernet.export import export
from centernet.images import read_image
from centernet.inference.opening import GRAPH, PACKAGED, open_runtime
from centernet.network.weights import WEIGHTS, load_network, packaged_models

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", packaged_models())
def test_the_graph_is_up_to_date(name: str, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("packaged_graph", ROOT / "tools" / "packaged_graph.py")
    assert spec is not None and spec.loader is not None
    tool: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    shutil.copy(PACKAGED / name / WEIGHTS, tmp_path)
    anew, kept = (open_runtime(path) for path in (tool.write_packaged(name, tmp_path / GRAPH), PACKAGED / name / GRAPH))
    assert anew.metadata == kept.metadata, "make packaged"  # type: ignore[attr-defined]
    images = np.random.default_rng(0).integers(0, 256, (1, 320, 320, 3), dtype=np.uint8)
    for key, values in anew(images, 100).items():
        np.testing.assert_allclose(kept(images, 100)[key], values, atol=1e-5, rtol=1e-5, err_msg="make packaged")


@pytest.mark.parametrize("name", packaged_models())
def test_weights_are_stored_once(name: str) -> None:
    assert (PACKAGED / name / GRAPH).stat().st_size < 300_000


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [GRAPH, ".xml", ".pt"])
def test_files_of_the_pose_model_find_its_keypoints(suffix: str, tmp_path: Path) -> None:
    """Of two pictures: the packaged graph, and files for OpenVINO and TorchScript."""
    network = load_network("person-pose")
    path = PACKAGED / "person-pose" / GRAPH if suffix == GRAPH else export(network, tmp_path / f"pose{suffix}")
    with np.load(ROOT / "tests/network/data/movenet_synthetic.npz") as arrays:
        pictures = [arrays["input"], read_image(ROOT / "docs/images/pose.jpg")]
    eager, file = (Detector(model, score_threshold=0.05) for model in (network, path))
    for pixels in pictures:
        expected, found = eager(pixels), file(pixels)
        assert len(expected) and expected.keypoints is not None and found.keypoints is not None
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
        np.testing.assert_allclose(found.bboxes, expected.bboxes, atol=0.05)
        np.testing.assert_allclose(found.keypoints[..., :2], expected.keypoints[..., :2], atol=0.05)
        np.testing.assert_allclose(found.keypoints[..., 2], expected.keypoints[..., 2], atol=1e-4)


def test_detect_without_torch_finds_what_the_model_finds(shared: Path, tmp_path: Path) -> None:
    photo = shared / "data/coco/images/000000012448.jpg"
    for folder, before in (("light", "sys.modules['torch'] = None"), ("torch", "pass")):
        arguments = ["detect", str(photo), "--output", str(tmp_path / folder)]
        code = f"import sys; {before}; from centernet.cli.main import main; sys.exit(main({arguments!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    light, eager = (
        json.loads((tmp_path / folder / "detections.json").read_text())["annotations"] for folder in ("light", "torch")
    )
    assert [found["category_id"] for found in light] == [found["category_id"] for found in eager]
    for one, other in zip(light, eager, strict=True):
        np.testing.assert_allclose(one["bbox"], other["bbox"], atol=0.05)
        assert abs(one["score"] - other["score"]) < 1e-4
    assert light


def test_without_torch_another_name_says_what_is_missing() -> None:
    code = "import sys; sys.modules['torch'] = None; from centernet import Detector; Detector('voc-light')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'centernet[train]'" in done.stderr
