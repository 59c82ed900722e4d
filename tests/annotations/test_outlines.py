"""Boxes around polygons, masks and turned rectangles: against pycocotools and by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from centernet.annotations.outlines import outline_box, turned_box


@pytest.mark.parametrize(
    ("segmentation", "box"),
    [
        ([[1, 2, 5, 2, 5, 9.5]], (1, 2, 5, 9.5)),
        ([1, 2, 5, 2, 5, 9.5], (1, 2, 5, 9.5)),  # without the outer list
        ([[1, 2, 5, 2, 5, 9], [0, 4, 2, 4, 2, 20]], (0, 2, 5, 20)),  # parts of one object
        ([[1, 2], [5, 2], [5, 9]], (1, 2, 5, 9)),  # points
        ([[["1", "2"], ["5", "2"], ["5", "9"]]], (1, 2, 5, 9)),
        ({"size": [4, 5], "counts": [5, 2, 2, 2, 9]}, (1, 1, 3, 3)),
        ({"size": [4, 5], "counts": [3, 2, 15]}, (0, 0, 2, 4)),  # the run turns from one column into the next
        ({"size": [2, 2], "counts": [0, 4]}, (0, 0, 2, 2)),
        ([{"size": [4, 5], "counts": [0, 1, 19]}, {"size": [4, 5], "counts": [19, 1]}], (0, 0, 5, 4)),
    ],
)
def test_boxes_by_hand(segmentation: Any, box: tuple[float, ...]) -> None:
    assert outline_box(segmentation) == box


def test_masks_are_those_of_pycocotools() -> None:
    masks = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for _ in range(60):
        mask = np.zeros(rng.integers(3, 90, 2), np.uint8, order="F")
        for _ in range(rng.integers(1, 4)):
            y, x = (int(rng.integers(0, side)) for side in mask.shape)
            mask[y : y + int(rng.integers(1, 40)), x : x + int(rng.integers(1, 40))] = 1
        packed = masks.encode(mask)
        left, top, width, height = masks.toBbox(packed).tolist()
        runs = np.flatnonzero(np.diff(np.concatenate([[0], mask.reshape(-1, order="F"), [2]]))).tolist()
        plain = {"size": list(mask.shape), "counts": np.diff([0, *runs]).tolist()}
        for segmentation in ({**packed, "counts": packed["counts"].decode()}, plain):
            assert outline_box(segmentation) == (left, top, left + width, top + height)


@pytest.mark.parametrize(
    ("segmentation", "part"),
    [
        ([], "no polygon and no mask"),
        ("1 2 3", "no polygon"),
        ([[1, 2, 3, 4]], "three points"),
        ([[1, 2, 3, 4, 5]], "three points"),
        ([[1, 2, 3, 4, 5, "wide"]], "numbers"),
        ([[1, 2, 3, 4, 5, math.nan]], "finite"),
        ([[1, 2, 3, 4, 5, 10**400]], "numbers"),
        ({"size": [4], "counts": [20]}, r"\[height, width\]"),
        ({"size": [4, 5], "counts": [19]}, "19 of 4×5"),
        ({"size": [4, 5], "counts": [20]}, "empty"),
        ({"size": [4, 5], "counts": [20, 0]}, "empty"),
        ({"size": [4, 5], "counts": [-1, 21]}, "lengths of runs"),
        ({"size": [4, 5], "counts": [10**30]}, "lengths of runs"),
        ({"size": [4, 5], "counts": "ä"}, "compressed"),
        ({"size": [4, 5], "counts": "Q"}, "cut off"),
        ({"size": [4, 5], "counts": "o" * 40}, "compressed"),
        ({"size": [4, 5]}, "lengths of runs"),
    ],
)
def test_what_is_no_outline_says_why(segmentation: Any, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        outline_box(segmentation)


@pytest.mark.parametrize(
    ("angle", "box"),
    [(0, (5, 8, 15, 12)), (math.pi / 2, (8, 5, 12, 15)), (-math.pi, (5, 8, 15, 12)), (0.3, None)],
)
def test_turned_rectangles(angle: float, box: tuple[float, ...] | None) -> None:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = np.array([[-5, -2], [5, -2], [5, 2], [-5, 2]]) @ turn.T + [10, 10]
    expected = box or (*corners.min(axis=0), *corners.max(axis=0))
    assert turned_box(10, 10, 10, 4, angle) == pytest.approx(expected)
