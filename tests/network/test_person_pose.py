"""The packaged pose model is MoveNet MultiPose: its maps, and its own decode, as TensorFlow.js computes them.

`data/movenet_synthetic.npz` is of a drawn manikin: pixels, what the original's graph finds, and a few cells of maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet.export import ExportOptions, export
from centernet.inference.exported import open_session
from centernet.network import Network, load_network

PLACES = {
    "center": ("heatmap", slice(None)), "size": ("box", slice(2)), "offset": ("box", slice(2, 4)),
    "keypoint_heatmap": ("keypoints_heatmap", slice(None)), "keypoint_offset": ("keypoints_offset", slice(None)),
    "keypoint_regression": ("keypoints_regression", slice(None)),
}  # fmt: skip
Arrays = dict[str, np.ndarray]
Run = Callable[[np.ndarray], Arrays]


@pytest.fixture(scope="module")
def network() -> Network:
    """With the decode of the original's graph."""
    network = load_network("person-pose")
    head: Any = network.heads["keypoints"]
    head.search, network.calibration = "movenet", None
    return network


@pytest.fixture(scope="module", params=["eager", pytest.param("onnx", marks=pytest.mark.slow)])
def run(request: Any, network: Network, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """RGB pixels → raw maps and what is found, of one image."""

    def eager(pixels: np.ndarray) -> Arrays:
        with torch.inference_mode():
            encoded = network(network.normalize(torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)))
            both = network.named_maps(encoded) | network.decode_detections(encoded, 6)
        return {name: values[0].numpy() for name, values in both.items()}

    if request.param == "eager":
        return eager
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("file") / "pose.onnx"
    session = open_session(export(network, path, ExportOptions(num_detections=6, raw_maps=True)))
    names = [output.name for output in session.get_outputs()]
    return lambda pixels: dict(zip(names, (x[0] for x in session.run(names, {"images": pixels[None]})), strict=True))


def people(found: Arrays, pixels: np.ndarray) -> np.ndarray:
    """6×56 in the form of the original: y x score of keypoints, ymin xmin ymax xmax, score; in shares of the image."""
    height, width = pixels.shape[:2]
    keypoints = found["keypoints"][..., [1, 0, 2]] / [height, width, 1]
    boxes = found["bboxes"].clip(0, [width, height] * 2)[:, [1, 0, 3, 2]] / ([height, width] * 2)
    return np.concatenate([keypoints.reshape(6, 51), boxes, found["scores"][:, None]], axis=1)


def check_people(found: Arrays, pixels: np.ndarray, expected: np.ndarray) -> None:
    """Rows of one score, such as 0, come in any order."""
    apart = np.abs(people(found, pixels)[:, None] - expected).max(axis=2)
    assert sorted(apart.argmin(axis=1).tolist()) == list(range(6)) and apart.min(axis=1).max() <= 1e-4, apart.min(1)


def check(run: Run, arrays: Any, step: int) -> None:
    """Maps at each step-th cell, and people."""
    found = run(arrays["input"])
    for name, (ours, channels) in PLACES.items():
        gap = np.abs(found[ours][channels, ::step, ::step] - arrays[name]).max()
        assert gap <= 1e-3, f"{name} differs by {gap:.1e}"
    check_people(found, arrays["input"], arrays["people"])


def test_a_drawn_manikin(run: Run) -> None:
    with np.load(Path(__file__).with_name("data") / "movenet_synthetic.npz") as arrays:
        check(run, arrays, 4)


def pictures(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    with np.load(folder / "oracle_coco_people.npz") as arrays:
        for name in arrays.files:
            if name.endswith("/input"):
                yield arrays[name], arrays[name.replace("input", "people")]


def test_photographs(run: Run, shared: Path) -> None:
    folder = shared / "data/oracles/movenet"
    for name in ("oracle_synthetic.npz", "oracle_coco_maps.npz"):
        with np.load(folder / name) as arrays:
            check(run, arrays, 1)
    for pixels, expected in pictures(folder):
        check_people(run(pixels), pixels, expected)
