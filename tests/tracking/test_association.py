"""Pairs, costs and assignment, against the plain definition of each."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from centernet.boxes import iou
from centernet.tracking.association import Matching, appearance_cost, assign, overlapping


def random_boxes(count: int, room: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    low = random.uniform(-room, room, (count, 2))
    return np.concatenate([low, low + random.uniform(0, 40, (count, 2))], axis=1)


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize(("n", "m", "room"), [(30, 40, 60), (1, 1, 5), (50, 7, 2000), (0, 5, 10), (5, 0, 10)])
def test_overlapping_finds_every_pair_with_its_iou(n: int, m: int, room: float, inclusive: bool) -> None:
    a, b = random_boxes(n, room, 1), random_boxes(m, room, 2)
    rows, columns, overlap = overlapping(a, b, inclusive=inclusive)
    found = np.zeros((n, m))
    found[rows, columns] = overlap
    np.testing.assert_allclose(found, iou(a, b, inclusive=inclusive), atol=1e-12)
    assert len(rows) == (found > 0).sum() and (np.diff(rows) >= 0).all()


def test_overlapping_with_one_giant_box() -> None:
    a = np.array([[0.0, 0, 10, 10], [500, 0, 510, 10]])
    b = np.array([[-1000.0, -1000, 1000, 1000], [2, 2, 8, 8]])
    rows, columns, _ = overlapping(a, b)
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)]


def gain(pairs: list[tuple[int, int]], cost: np.ndarray, limit: float) -> float:
    return sum(limit - cost[i, j] for i, j in pairs)


def best_gain(cost: np.ndarray, limit: float) -> float:
    """By trying every assignment."""
    n, m = cost.shape
    if n > m:
        return best_gain(cost.T, limit)
    return max(sum(max(limit - cost[i, j], 0) for i, j in enumerate(columns)) for columns in permutations(range(m), n))


@pytest.mark.parametrize("seed", range(20))
def test_assign_is_the_best_that_leaves_expensive_pairs_alone(seed: int) -> None:
    random = np.random.default_rng(seed)
    cost = random.uniform(0, 1, (random.integers(1, 6), random.integers(1, 6)))
    cost[random.random(cost.shape) < 0.4] = np.inf
    limit = 0.6
    rows, columns = np.nonzero(cost < limit)
    i, j = assign(rows, columns, cost[rows, columns], limit)
    pairs = list(zip(i.tolist(), j.tolist(), strict=True))
    assert len(set(i.tolist())) == len(set(j.tolist())) == len(pairs)
    assert all(cost[pair] < limit for pair in pairs)
    assert gain(pairs, cost, limit) == pytest.approx(best_gain(cost, limit))


def test_assign_takes_two_fair_pairs_before_one_good_one() -> None:
    cost = np.array([[0.1, 0.2], [0.2, 9.0]])
    rows, columns = np.nonzero(cost < 0.9)
    i, j = assign(rows, columns, cost[rows, columns], 0.9)
    assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == [(0, 1), (1, 0)]


def test_what_one_stage_pairs_is_out_of_the_next() -> None:
    matching = Matching(2, 3)
    rows, columns, cost = np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0.1, 0.2, 0.3])
    everyone = {"tracks": np.ones(2, bool), "detections": np.ones(3, bool)}
    matching.pair(rows, columns, cost, 0.15, **everyone)
    assert matching.track_of.tolist() == [0, -1, -1]
    matching.pair(rows, columns, cost, 0.5, tracks=np.array([True, False]), detections=np.ones(3, bool))
    assert matching.track_of.tolist() == [0, -1, -1]  # track 1 takes no part, track 0 is taken
    matching.pair(rows, columns, cost, 0.5, **everyone)
    assert matching.track_of.tolist() == [0, 1, -1]
    assert not matching.free.any()


def test_appearance_and_motion() -> None:
    track, detections = np.array([[1.0, 0]]), np.array([[1.0, 0], [0, 1], [-1, 0]])
    alone = appearance_cost(track, detections, np.zeros((1, 3)), gate=9.4877, weight=1)
    np.testing.assert_allclose(alone, [[0, 1, 2]])
    fused = appearance_cost(track, detections, np.array([[1.0, 9, 9.5]]), gate=9.4877, weight=0.98)
    np.testing.assert_allclose(fused, [[0.02, 0.98 + 0.18, np.inf]])
