"""The head of boxes in space against the original's own targets, losses and decoder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from centernet.boxes import transform
from centernet.boxes3d import locate, project, wrapped
from centernet.images.published import affine_matrix
from centernet.network.heads import Box3DHead, HeatmapHead, SizeOffsetHead
from centernet.network.heads.box3d import rotation_losses
from centernet.ops import Targets, gather_at, gaussian_radius

DEPTH, ROTATION, DIMENSIONS = "ddd.input.dep", "ddd.input.rot", "ddd.input.dim"


@pytest.fixture(scope="module")
def oracles(shared: Path) -> Any:
    folder = shared / "data/oracles/upstream"
    return {name: np.load(folder / f"{name}.npz") for name in ("gaussian", "losses", "decode")}


def as_data(alpha: Any, depth: Any, dimensions: Any) -> dict[str, Tensor]:
    """The fields of a data set that say this, of one image; the camera has its centre in that of the image."""
    count = len(alpha)
    location, projection = np.zeros((count, 3)), np.tile(np.eye(3, 4), (count, 1, 1))
    location[:, 2] = depth
    arrays = {"alpha": alpha, "location": location, "dimensions": dimensions, "projection": projection}
    return {name: torch.tensor(np.asarray(array), dtype=torch.float32)[None] for name, array in arrays.items()}


@pytest.mark.parametrize("case", ["ddd0", "ddd1"])
def test_targets_of_the_original(oracles: Any, case: str) -> None:
    oracle = {name.removeprefix(f"{case}."): oracles["gaussian"][name] for name in oracles["gaussian"].files}
    matrix = affine_matrix((621.0, 187.5), 1242.0, (96, 320))
    cells = transform(oracle["boxes"], matrix).clip(0, [319, 95, 319, 95])  # the original clips before anything else
    kept = oracle["target_reg_mask"].astype(bool)
    labels = torch.from_numpy(oracle["classes"])[None]
    targets = Targets(
        torch.from_numpy(cells * 4)[None].float(), labels.clamp(min=-1), labels < 0, torch.tensor([len(cells)]),
        grid=(96, 320), stride=4, num_classes=3, data=as_data(oracle["alpha"], oracle["depth"], oracle["dim_hwl"]),
    )  # fmt: skip
    truth = Box3DHead(8, 4, 3, offset=False).truth(targets)
    np.testing.assert_array_equal(truth.cells, oracle["target_ind"][kept])
    np.testing.assert_allclose(truth.depth, oracle["target_dep"][kept, 0], atol=1e-4)
    np.testing.assert_allclose(truth.dimensions, oracle["target_dim"][kept], atol=1e-4)
    bins = oracle["target_rotbin"][kept]
    np.testing.assert_array_equal(truth.bins, bins)
    np.testing.assert_allclose(truth.residuals.numpy() * bins, oracle["target_rotres"][kept], atol=1e-4)
    np.testing.assert_allclose(truth.offsets, oracle["target_reg"][kept], atol=1e-4)
    np.testing.assert_allclose(targets.sizes.flip(-1), oracle["target_wh"][kept], atol=1e-4)

    radii = gaussian_radius(targets.sizes).long().clamp(min=0)[:, None].expand(-1, 2)  # of sizes as they are
    heatmap, expected = targets.heatmap(radii)[0].numpy(), oracle["hm"]
    differ = np.abs(heatmap - expected) > 1e-4
    assert not (differ & (heatmap > expected)).any()  # what the original paints over ignored regions only adds
    for box, label in zip(cells[~kept], oracle["classes"][~kept], strict=True):
        x1, y1, x2, y2 = np.round(box).astype(int)
        reach = np.s_[slice(None) if label == -1 else -label - 2, y1 - 1 : y2 + 2, x1 - 1 : x2 + 2]
        differ[reach] = False
    assert not differ.any()


def test_losses_of_the_original(oracles: Any) -> None:
    """Its means are over padded rows, of which there are `rows` and `count` in use: ours are over the objects."""
    oracle = oracles["losses"]
    used = torch.from_numpy(oracle["target.reg_mask"]).bool()
    rows, count = used.numel(), int(used.sum())
    head = Box3DHead(8, 4, 4, offset=False)
    maps = [torch.from_numpy(oracle[name]).requires_grad_() for name in (DEPTH, ROTATION, DIMENSIONS)]
    boxes = [torch.from_numpy(oracle[f"boxes{image}"]) for image in (0, 1)]
    padded, labels = torch.zeros(2, used.shape[1], 4), torch.full(used.shape, -1)
    for image, own in enumerate(boxes):
        padded[image, : len(own)] = (own / 4).clamp(0, 23) * 4
        labels[image, : len(own)] = torch.from_numpy(oracle[f"classes{image}"])
    alpha, depth, dimensions = (oracle[f"ddd.target.{name}"] for name in ("alpha", "dep", "dim"))
    data = [as_data(alpha[image], depth[image, :, 0], dimensions[image]) for image in (0, 1)]
    targets = Targets(
        padded, labels, torch.zeros_like(labels, dtype=torch.bool), torch.tensor([len(own) for own in boxes]),
        grid=(24, 24), stride=4, num_classes=4, data={k: torch.cat([part[k] for part in data]) for k in data[0]},
    )  # fmt: skip
    truth = head.truth(targets)
    assert len(truth.cells) == count
    terms = head.loss(torch.cat(maps, dim=1), targets)
    values = torch.cat(maps, dim=1).permute(0, 2, 3, 1).reshape(-1, 12)[truth.cells]
    bins, residuals = rotation_losses(values[:, 1:9], truth.bins, truth.residuals)
    of_padding = (rows - count) / rows * 2 * math.log(2)  # padded rows are as if the map said 0 there
    share = count / rows
    losses = {
        "dep": terms["depth"] * share,
        "dim": terms["dimensions"] * share,
        "rot": bins * share + of_padding + residuals,
    }
    for name, value in losses.items():
        np.testing.assert_allclose(value.detach(), oracle[f"orig.ddd.{name}_loss"], rtol=1e-4, atol=1e-4)
    assert torch.allclose(terms["rotation"], bins + residuals)
    sum(losses.values()).backward()  # type: ignore[union-attr]
    for value, name in zip(maps, ("dep", "rot", "dim"), strict=True):
        assert value.grad is not None
        np.testing.assert_allclose(value.grad, oracle[f"orig.ddd.grad_{name}"], rtol=1e-4, atol=1e-4)


def original_maps(oracle: Any) -> Tensor:
    names = "ddd.input.dep_logits", ROTATION, DIMENSIONS
    return torch.cat([torch.from_numpy(oracle[name]) for name in names], dim=1)


@pytest.mark.parametrize(("name", "with_box"), [("K40", True), ("K100", True), ("K40_nowh", False)])
def test_decode_of_the_original(oracles: Any, name: str, with_box: bool) -> None:
    oracle = oracles["decode"]
    expected = oracle[f"orig.ddd.{name}"]
    peaks = HeatmapHead(8, 1, 3).find_peaks(torch.from_numpy(oracle["ddd.input.hm_logits"]), expected.shape[1])
    found = Box3DHead(8, 1, 3, offset=False).decode(original_maps(oracle), peaks)
    np.testing.assert_allclose(peaks.scores, expected[..., 2], atol=1e-4)
    np.testing.assert_array_equal(peaks.labels, expected[..., -1])
    np.testing.assert_allclose(gather_at(original_maps(oracle), peaks.cells)[..., 1:9], expected[..., 3:11], atol=1e-4)
    np.testing.assert_allclose(found["depth"], expected[..., 11], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found["dimensions"], expected[..., 12:15], atol=1e-4)
    box = torch.cat([torch.from_numpy(oracle[f"input.{part}"]) for part in ("wh", "reg")], dim=1)
    corners = SizeOffsetHead(8, 1, 3).decode(box, peaks)["bboxes"].numpy()
    np.testing.assert_allclose((corners[..., :2] + corners[..., 2:]) / 2, expected[..., :2], atol=1e-4)
    if with_box:
        np.testing.assert_allclose(corners[..., 2:] - corners[..., :2], expected[..., 15:17], atol=1e-4)


def test_boxes_in_space_of_the_original(oracles: Any) -> None:
    """Image 0 to pixels of the file and into space. (It sends widths and heights through the warp as if they were
    points: so does the test, for its boxes in the image; ours go through as boxes.)"""
    oracle = oracles["decode"]
    peaks = HeatmapHead(8, 1, 3).find_peaks(torch.from_numpy(oracle["ddd.input.hm_logits"]), 100)
    decoded = Box3DHead(8, 1, 3, offset=False).decode(original_maps(oracle), peaks)
    found = {name: x[0].numpy() for name, x in decoded.items()}
    box = torch.cat([torch.from_numpy(oracle[f"input.{part}"]) for part in ("wh", "reg")], dim=1)
    corners = SizeOffsetHead(8, 1, 3).decode(box, peaks)["bboxes"][0].numpy()
    centers = (corners[:, :2] + corners[:, 2:]) / 2
    side = float(oracle["ddd.post.s"][0])
    matrix = np.vstack([affine_matrix(tuple(oracle["ddd.post.c"]), side, (32, 40)), [0, 0, 1]])
    pixels, sides = (
        (np.c_[points, np.ones(100)] @ np.linalg.inv(matrix).T)[:, :2]
        for points in (centers, corners[:, 2:] - corners[:, :2])
    )
    order = np.argsort(-oracle["ddd.post.2d"][:, 2])  # rows are grouped by class there
    flat, space = oracle["ddd.post.2d"][order], oracle["ddd.post.3d"][np.argsort(-oracle["ddd.post.3d"][:, 12])]
    np.testing.assert_allclose(pixels, flat[:, :2], rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(sides, flat[:, 8:10], rtol=1e-5, atol=1e-3)
    around = np.c_[pixels - sides / 2, pixels + sides / 2]
    np.testing.assert_allclose(around, space[:, 1:5], rtol=1e-5, atol=2e-3)
    np.testing.assert_allclose(wrapped(found["alpha"] - flat[:, 3]), 0, atol=1e-4)
    np.testing.assert_allclose(found["depth"], flat[:, 4], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found["dimensions"], flat[:, 5:8], atol=1e-4)
    boxes = locate(pixels, found["depth"], found["dimensions"], found["alpha"], oracle["ddd.post.calib"])
    np.testing.assert_allclose(boxes.location, space[:, 8:11], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(wrapped(boxes.rotation_y - space[:, 11]), 0, atol=1e-4)
    np.testing.assert_allclose(boxes.dimensions, space[:, 5:8], atol=1e-4)
    merged = oracle["ddd.post.merged"]
    sure = peaks.scores[0].numpy() > 0.75
    ours = np.c_[found["alpha"], around, boxes.dimensions, boxes.location, boxes.rotation_y, peaks.scores[0].numpy()]
    same = merged[np.argsort(-merged[:, 12])]
    assert 0 < sure.sum() == len(same)
    np.testing.assert_allclose(ours[sure][:, 1:11], same[:, 1:11], rtol=1e-4, atol=2e-3)
    bottom = boxes.location - np.array([0, 0.5, 0]) * boxes.dimensions[:, :1]
    np.testing.assert_allclose(project(bottom, oracle["ddd.post.calib"]), pixels, rtol=1e-5, atol=1e-3)
