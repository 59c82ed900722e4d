"""Weighted boxes fusion: values worked out by hand, those of ensemble-boxes, and what must not change them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from centernet.inference.fusion import fuse_boxes

TWO = [[0, 0, 10, 10], [1, 0, 11, 10]]  # their IoU is 9/11


@pytest.mark.parametrize(
    ("weights", "box", "score"),
    [
        ([1, 1], [0.6 / 1.4, 0, 10 + 0.6 / 1.4, 10], 0.7),  # x1 = (.8 · 0 + .6 · 1) / 1.4, score = (.8 + .6) / 2
        ([2, 1], [0.6 / 2.2, 0, 10 + 0.6 / 2.2, 10], (1.6 + 0.6) / 3),  # products of weight and score, over 2 + 1
        ([1, 1, 2], [0.6 / 1.4, 0, 10 + 0.6 / 1.4, 10], 1.4 / 4),  # a third source has not found it
    ],
)
def test_formula(weights: list[float], box: list[float], score: float) -> None:
    boxes, scores, labels = fuse_boxes(TWO, [0.8, 0.6], [0, 0], [0, 1], weights)
    np.testing.assert_allclose(boxes, [box], atol=1e-6)
    np.testing.assert_allclose(scores, [score], atol=1e-6)
    assert labels.tolist() == [0]


def test_three_boxes_of_two_sources_have_their_mean_score() -> None:
    _, scores, _ = fuse_boxes([*TWO, TWO[0]], [0.9, 0.6, 0.3], [0] * 3, [0, 1, 1], [1, 1])
    np.testing.assert_allclose(scores, [0.6], atol=1e-6)


def test_who_does_not_know_a_class_has_no_say_in_it() -> None:
    boxes, scores, labels = fuse_boxes(TWO, [0.8, 0.6], [0, 1], [0, 0], [[1, 1], [1, 0]])
    assert labels.tolist() == [1, 0]
    np.testing.assert_allclose(scores, [0.6, 0.4], atol=1e-6)  # class 0: found by one of two
    np.testing.assert_array_equal(boxes, TWO[::-1])
    assert len(fuse_boxes(TWO, [0.8, 0.6], [0, 1], [1, 1], [[1, 1], [1, 0]])[0]) == 1


def test_values_of_ensemble_boxes() -> None:
    """weighted_boxes_fusion of ensemble-boxes 1.0.9 with weights 2 and 1 and iou_thr=.5."""
    boxes = [
        *([0.00, 0.51, 0.81, 0.91], [0.10, 0.31, 0.71, 0.61], [0.01, 0.32, 0.83, 0.93], [0.02, 0.53, 0.11, 0.94]),
        *([0.03, 0.24, 0.12, 0.35], [0.04, 0.56, 0.84, 0.92], [0.12, 0.33, 0.72, 0.64], [0.38, 0.66, 0.79, 0.95]),
        [0.08, 0.49, 0.21, 0.89],
    ]
    scores, labels = [0.9, 0.8, 0.2, 0.4, 0.7, 0.5, 0.8, 0.7, 0.3], [0, 1, 0, 1, 1, 1, 1, 1, 0]
    expected = [
        [0.106667, 0.316667, 0.713333, 0.62, 0.8, 1],
        [0.001818, 0.475455, 0.813636, 0.913636, 0.733333, 0],
        [0.03, 0.24, 0.12, 0.35, 0.466667, 1],
        [0.02, 0.53, 0.11, 0.94, 0.266667, 1],
        [0.38, 0.66, 0.79, 0.95, 0.233333, 1],
        [0.04, 0.56, 0.84, 0.92, 0.166667, 1],
        [0.08, 0.49, 0.21, 0.89, 0.1, 0],
    ]
    fused = fuse_boxes(boxes, scores, labels, [0] * 5 + [1] * 4, [2, 1], iou_threshold=0.5)
    np.testing.assert_allclose(np.column_stack(fused), expected, atol=1e-5)


def some_boxes() -> tuple[Any, ...]:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 100, (8, 2))[rng.integers(0, 8, 60)] + rng.normal(0, 3, (60, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 40, (60, 2))], axis=1)
    return boxes, rng.uniform(0.01, 1, 60), rng.integers(0, 3, 60), rng.integers(0, 4, 60)


def mirrored(boxes: np.ndarray) -> np.ndarray:
    return np.stack([500 - boxes[:, 2], boxes[:, 1], 500 - boxes[:, 0], boxes[:, 3]], axis=1)


def test_unit_place_order_and_sides_make_no_difference() -> None:
    boxes, scores, labels, sources = some_boxes()
    weights = np.array([1, 2, 0.5, 1])
    fused, strong, kinds = fuse_boxes(boxes, scores, labels, sources, weights)
    assert 10 < len(fused) < 50 and (np.diff(strong) <= 0).all() and (strong <= scores.max()).all()
    order = np.random.default_rng(0).permutation(60)
    others = {
        "unit": (boxes * 7 + 1000, scores, labels, sources, weights),
        "order": (boxes[order], scores[order], labels[order], sources[order], weights),
        "sides": (mirrored(boxes), scores, labels, sources, weights),
        "weights": (boxes, scores, labels, sources, weights * 3),
        "sources": (boxes, scores, labels, 3 - sources, weights[::-1]),
    }
    back = {"unit": lambda values: (values - 1000) / 7, "sides": mirrored}
    for name, arguments in others.items():
        again, scores_again, kinds_again = fuse_boxes(*arguments)
        np.testing.assert_allclose(back.get(name, lambda b: b)(again), fused, atol=1e-3, err_msg=name)
        np.testing.assert_allclose(scores_again, strong, atol=1e-5, err_msg=name)
        np.testing.assert_array_equal(kinds_again, kinds, err_msg=name)


def test_nothing_and_what_does_not_fit() -> None:
    boxes, scores, labels = fuse_boxes([], [], [], [], [1, 1])
    assert boxes.shape == (0, 4) and len(scores) == len(labels) == 0
    with pytest.raises(ValueError, match="weights"):
        fuse_boxes(TWO, [1, 1], [0, 0], [0, 2], [1, 1])
    with pytest.raises(ValueError, match="as many"):
        fuse_boxes(TWO, [1], [0, 0], [0, 1], [1, 1])
