"""The packaged pose model is MoveNet MultiPose: its maps, and its own decode, as TensorFlow.js computes them.

`data/movenet_synthetic.npz` is of a drawn manikin: pixels, what the original's graph finds, and a few cells of maps.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet.network import Network, load_network

PLACES = {
    "center": ("heatmap", slice(None)), "size": ("box", slice(2)), "offset": ("box", slice(2, 4)),
    "keypoint_heatmap": ("keypoints_heatmap", slice(None)), "keypoint_offset": ("keypoints_offset", slice(None)),
    "keypoint_regression": ("keypoints_regression", slice(None)),
}  # fmt: skip


@pytest.fixture(scope="module")
def network() -> Network:
    """With the decode of the original's graph."""
    network = load_network("person-pose")
    head: Any = network.heads["keypoints"]
    head.search, network.calibration = "movenet", None
    return network


def people(network: Network, pixels: np.ndarray) -> np.ndarray:
    """6×56 in the form of the original: y x score of keypoints, ymin xmin ymax xmax, score; in shares of the image."""
    height, width = pixels.shape[:2]
    with torch.inference_mode():
        encoded = network(network.normalize(torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)))
        found = {name: values[0].numpy() for name, values in network.decode_detections(encoded, 6).items()}
    keypoints = found["keypoints"][..., [1, 0, 2]] / [height, width, 1]
    boxes = found["bboxes"].clip(0, [width, height] * 2)[:, [1, 0, 3, 2]] / ([height, width] * 2)
    return np.concatenate([keypoints.reshape(6, 51), boxes, found["scores"][:, None]], axis=1)


def check_people(network: Network, pixels: np.ndarray, expected: np.ndarray) -> None:
    """Rows of one score, such as 0, come in any order."""
    apart = np.abs(people(network, pixels)[:, None] - expected).max(axis=2)
    assert sorted(apart.argmin(axis=1).tolist()) == list(range(6)) and apart.min(axis=1).max() <= 1e-4, apart.min(1)


def check_maps(network: Network, arrays: Any, step: int) -> None:
    pixels = torch.from_numpy(arrays["input"])[None].permute(0, 3, 1, 2)
    with torch.inference_mode():
        maps = network.named_maps(network(network.normalize(pixels)))
    for name, (ours, channels) in PLACES.items():
        gap = np.abs(maps[ours][0, channels, ::step, ::step].numpy() - arrays[name]).max()
        assert gap <= 1e-3, f"{name} differs by {gap:.1e}"


def test_a_drawn_manikin(network: Network) -> None:
    with np.load(Path(__file__).with_name("data") / "movenet_synthetic.npz") as arrays:
        check_maps(network, arrays, 4)
        check_people(network, arrays["input"], arrays["people"])


def pictures(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    with np.load(folder / "oracle_coco_people.npz") as arrays:
        for name in arrays.files:
            if name.endswith("/input"):
                yield arrays[name], arrays[name.replace("input", "people")]


def test_photographs(network: Network, shared: Path) -> None:
    folder = shared / "data/oracles/movenet"
    with np.load(folder / "oracle_coco_maps.npz") as arrays:
        check_maps(network, arrays, 1)
        check_people(network, arrays["input"], arrays["people"])
    for pixels, expected in pictures(folder):
        check_people(network, pixels, expected)
