"""Peaks and the boxes read at them against the original's decode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from centernet.network.heads import LTRBHead, SizeOffsetHead
from centernet.ops import find_peaks, gather_at


@pytest.fixture(scope="module")
def oracle(shared: Path) -> Any:
    return np.load(shared / "data/oracles/upstream/decode.npz")


@pytest.mark.parametrize("k", [100, 40])
def test_ctdet_decode(oracle: Any, k: int) -> None:
    expected = oracle[f"orig.ctdet.K{k}"]  # boxes in cells
    peaks = find_peaks(torch.from_numpy(oracle["input.hm_logits"]), k)
    output = torch.cat([torch.from_numpy(oracle["input.wh"]), torch.from_numpy(oracle["input.reg"])], dim=1)
    boxes = SizeOffsetHead(8, 1, 6).decode(output, peaks)["bboxes"]
    np.testing.assert_allclose(peaks.scores, expected[..., 4], atol=1e-6)
    np.testing.assert_array_equal(peaks.labels, expected[..., 5])
    np.testing.assert_allclose(boxes, expected[..., :4], atol=1e-4)


def test_survivors_of_the_maximum(oracle: Any) -> None:
    kept = oracle["orig.nms"] > 0
    peaks = find_peaks(torch.from_numpy(oracle["input.hm_logits"]), 6 * 32 * 40)
    for image in range(2):
        found = (peaks.labels[image] * 32 * 40 + peaks.cells[image])[peaks.scores[image] > 0]
        np.testing.assert_array_equal(np.sort(found.numpy()), np.flatnonzero(kept[image]))


def test_class_maximum_first(oracle: Any) -> None:
    expected = oracle["lightning.K100"]
    peaks = find_peaks(torch.from_numpy(oracle["input.hm_logits"]), 100, order="class_maximum")
    np.testing.assert_allclose(peaks.scores, expected[..., 4], atol=1e-6)
    np.testing.assert_array_equal(peaks.labels, expected[..., 5])
    raw = gather_at(torch.from_numpy(oracle["fairmot.input.wh_ltrb"]), peaks.cells)
    center = torch.stack([peaks.x + 0.5, peaks.y + 0.5], -1)
    boxes = 4 * torch.cat([center - raw[..., :2], center + raw[..., 2:]], -1)
    np.testing.assert_allclose(boxes, expected[..., :4], atol=1e-3)


def test_wider_neighbourhood_and_best_class(oracle: Any) -> None:
    """Simple-CenterNet: a 7×7 maximum, the best class of each cell."""
    expected = oracle["simple.K100"]
    peaks = find_peaks(torch.from_numpy(oracle["input.hm_logits"]), 100, kernel=7, order="class_maximum")
    np.testing.assert_array_equal(peaks.labels, expected[..., 0])
    np.testing.assert_allclose(peaks.scores, expected[..., 5], atol=1e-6)


def test_k_is_limited_to_the_map() -> None:
    peaks = find_peaks(torch.randn(2, 3, 4, 5), 1000)
    assert peaks.scores.shape == (2, 60)
    assert (peaks.scores.diff(dim=1) <= 0).all()
    assert find_peaks(torch.randn(2, 3, 4, 5), 1000, order="class_maximum").scores.shape == (2, 20)


def test_distances_start_from_the_cell_center() -> None:
    head = LTRBHead(8, 4, 1, form="exponential", multiplier=1.0)
    peaks = find_peaks(torch.zeros(1, 1, 1, 1), 1)
    boxes = head.decode(torch.tensor([1.0, 2.0, 3.0, 4.0]).log().view(1, 4, 1, 1), peaks)["bboxes"]
    assert boxes.tolist() == [
        [[pytest.approx(2 - 4), pytest.approx(2 - 8), pytest.approx(2 + 12), pytest.approx(2 + 16)]]
    ]


@pytest.mark.parametrize("margin", [0.0, 0.5])
@pytest.mark.parametrize("k", [3, 9, 40])
def test_the_highest_cells_that_no_neighbour_exceeds(k: int, margin: float) -> None:
    """K below and above the number of rows (2 classes × 4) and below and above that of peaks; a flat, empty corner."""
    heatmap = torch.randn(2, 2, 4, 9)
    heatmap[1, :, :2] = -torch.inf
    padded = torch.nn.functional.pad(heatmap, (1, 1, 1, 1), value=-torch.inf)
    around = torch.stack([padded[..., y : y + 4, x : x + 9] for y in range(3) for x in range(3)])
    expected = (
        torch.where(heatmap >= around.amax(0) - margin, heatmap.sigmoid(), 0.0).flatten(1).sort(descending=True).values
    )
    peaks = find_peaks(heatmap, k, margin=margin)
    torch.testing.assert_close(peaks.scores, expected[:, :k])
    found = peaks.labels * 36 + peaks.cells
    torch.testing.assert_close(peaks.cells, (9 * peaks.y + peaks.x).long())
    sure = peaks.scores > 0
    torch.testing.assert_close(heatmap.flatten(1).gather(1, found).sigmoid()[sure], peaks.scores[sure])
