"""Radii, heatmaps and training cells against the original's, mmdetection's and TTFNet's own arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet.ops import Targets, ellipse_radius, gaussian_radius


@pytest.fixture(scope="module")
def oracle(shared: Path) -> Any:
    return np.load(shared / "data/oracles/upstream/gaussian.npz")


def targets(boxes: Any, labels: Any, num_classes: int = 4) -> Targets:
    boxes = torch.as_tensor(np.asarray(boxes), dtype=torch.float32)[None]
    labels = torch.as_tensor(np.asarray(labels), dtype=torch.int64)[None]
    return Targets(
        boxes,
        labels,
        torch.zeros_like(labels, dtype=torch.bool),
        torch.tensor([labels.shape[1]]),
        grid=(128, 128),
        stride=4,
        num_classes=num_classes,
    )


@pytest.mark.parametrize(("form", "name"), [("original", "orig.radius"), ("corrected", "mmdet.radius")])
def test_gaussian_radius(oracle: Any, form: Any, name: str) -> None:
    sizes = torch.from_numpy(oracle["size_hw"])
    for min_overlap, expected in zip(oracle["min_overlap"].tolist(), oracle[name], strict=True):
        np.testing.assert_allclose(gaussian_radius(sizes, min_overlap=min_overlap, form=form), expected, atol=1e-4)


def test_gaussian_radius_of_rounded_sizes(oracle: Any) -> None:
    sizes = torch.from_numpy(oracle["size_hw"]).ceil()
    for min_overlap, expected in zip(oracle["min_overlap"].tolist(), oracle["orig.radius_ceil"], strict=True):
        np.testing.assert_allclose(gaussian_radius(sizes, min_overlap=min_overlap), expected, atol=1e-4)


def test_ellipse_radius(oracle: Any) -> None:
    sizes = torch.from_numpy(oracle["size_hw"]).float()
    np.testing.assert_array_equal(ellipse_radius(sizes), oracle["ttf.radius_hw_0p54"])


@pytest.mark.parametrize("scene", [0, 1, 2])
def test_heatmap_and_centers_of_the_original(oracle: Any, scene: int) -> None:
    # The original clips boxes to cells 0 … 127 before anything else.
    boxes = (oracle[f"scene{scene}.boxes"] / 4).clip(0, 127) * 4
    made = targets(boxes, oracle[f"scene{scene}.classes"])
    radii = made.radii("original")
    np.testing.assert_array_equal(radii[:, 0], oracle[f"scene{scene}.orig.radius"])
    np.testing.assert_allclose(made.heatmap(radii)[0], oracle[f"scene{scene}.orig.hm"], atol=1e-4)
    np.testing.assert_array_equal(made.center_index, oracle[f"scene{scene}.orig.ind"])
    np.testing.assert_allclose(made.sizes.flip(-1), oracle[f"scene{scene}.orig.wh"], atol=1e-4)
    np.testing.assert_allclose(made.centers - made.center_cells, oracle[f"scene{scene}.orig.reg"], atol=1e-4)


@pytest.mark.parametrize("scene", [0, 1, 2])
def test_heatmap_of_mmdetection(oracle: Any, scene: int) -> None:
    made = targets(oracle[f"scene{scene}.boxes"], oracle[f"scene{scene}.classes"])
    heatmap = made.heatmap(made.radii("corrected", min_overlap=0.3))
    np.testing.assert_allclose(heatmap[0], oracle[f"scene{scene}.mmdet.center_heatmap"].reshape(4, 128, 128), atol=1e-4)


def as_ttfnet_clips(boxes: Any) -> Any:
    """TTFNet measures boxes that are clipped to cells 0 … 127, around centres of the boxes as they were."""
    clipped = (boxes / 4).clip(0, 127) * 4
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (clipped[:, 2:] - clipped[:, :2]) / 2
    return np.concatenate([center - half, center + half], axis=1)


@pytest.mark.parametrize("scene", [0, 1, 2])
def test_heatmap_of_ttfnet(oracle: Any, scene: int) -> None:
    made = targets(as_ttfnet_clips(oracle[f"scene{scene}.boxes"]), oracle[f"scene{scene}.classes"])
    np.testing.assert_allclose(made.heatmap(made.radii("ellipse"))[0], oracle[f"scene{scene}.ttf.hm"], atol=1e-4)


@pytest.mark.parametrize(
    ("scene", "name", "beta"), [(0, "ttf", 0.54), (1, "ttf", 0.54), (2, "ttf", 0.54), (1, "ttf_beta0p3", 0.3)]
)
def test_training_cells_of_ttfnet(oracle: Any, scene: int, name: str, beta: float) -> None:
    boxes = oracle[f"scene{scene}.boxes"]
    made = targets(as_ttfnet_clips(boxes), oracle[f"scene{scene}.classes"])
    samples = made.samples("ellipse", beta=beta)
    box_target = torch.full((128 * 128, 4), -1.0)
    box_target[samples.cells] = torch.from_numpy(boxes)[samples.objects]
    expected = oracle[f"scene{scene}.{name}.box_target"].reshape(4, -1).T
    np.testing.assert_allclose(box_target, expected, atol=1e-4)
    # TTFNet takes log((w + 1) · (h + 1)) of the whole box, ours log(w · h).
    theirs = np.log((boxes[:, 2:] - boxes[:, :2] + 1).prod(-1))
    ours = (made.object_boxes[:, 2:] - made.object_boxes[:, :2]).prod(-1).clamp(min=np.e).log()
    weights = torch.zeros(128 * 128)
    weights[samples.cells] = samples.weights * (torch.from_numpy(theirs) / ours).float()[samples.objects]
    np.testing.assert_allclose(weights, oracle[f"scene{scene}.{name}.reg_weight"].reshape(-1), atol=1e-4)


def test_ignored_regions_are_no_background() -> None:
    boxes = torch.tensor([[[0.0, 0, 16, 16], [32, 32, 64, 48], [8, 8, 40, 40]]])
    made = Targets(
        boxes,
        torch.tensor([[1, 0, -1]]),
        torch.tensor([[False, True, True]]),
        torch.tensor([3]),
        grid=(32, 32),
        stride=4,
        num_classes=2,
    )
    assert made.num_objects == 1
    background = made.background
    assert background is not None
    assert not background[0, 0, 8:12, 8:16].any()  # the region of class 0 alone
    assert background[0, 1, 8:12, 10:16].all()
    assert not background[0, :, 2:10, 2:10].any()  # the region of every class
    assert background.sum() == 2 * 32 * 32 - 2 * 64 - (32 - 4)


def test_the_smaller_object_has_the_cell() -> None:
    boxes = [[0, 0, 256, 256], [96, 96, 160, 160]]
    made = targets(boxes, [0, 1])
    samples = made.samples("center3x3")
    assert samples.objects.tolist() == [1] * 9  # both have the same nine cells
    ellipse = made.samples("ellipse")
    owner = dict(zip(ellipse.cells.tolist(), ellipse.objects.tolist(), strict=True))
    assert owner[32 * 128 + 32] == 1
    assert owner[32 * 128 + 45] == 0
    assert len(owner) == len(ellipse.cells)


def test_empty_batch() -> None:
    made = targets(np.zeros((0, 4)), np.zeros(0))
    assert made.heatmap(made.radii("ellipse")).sum() == 0
    assert made.background is None
    for kind in ("center", "center3x3", "ellipse"):
        assert len(made.samples(kind).cells) == 0
