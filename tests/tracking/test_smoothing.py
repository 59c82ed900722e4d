"""Points of tracks are smoothed: less trembling where they stand still, little delay where they move."""

from __future__ import annotations

import numpy as np
import pytest

from centernet import Detections, Tracker
from centernet.column import Column

COLUMN = Column("joints", "points", (2, 3))


def run(way: np.ndarray, noise: float, **options: float) -> np.ndarray:
    """Two joints of an object along a way F×2: the smoothed places of the first, F×3."""
    generator, tracker, found = np.random.default_rng(0), Tracker(frame_rate=30, confirm_hits=1, **options), []
    for place in way:
        joints = np.concatenate([place + generator.normal(0, noise, (2, 2)), [[0.9], [0.8]]], axis=1)[None]
        box = [*(place - 50), *(place + 50)]
        tracks = tracker.update(Detections([box], [0], [0.9], columns=[COLUMN], data={"joints": joints}))
        found.append(tracks.data["joints"][0, 0])
    return np.array(found)


def test_less_trembling_and_little_delay() -> None:
    still = np.full((90, 2), 200.0)
    assert run(still, 2.0, point_cutoff=1.0)[30:, :2].std(0).max() < 0.5 * run(still, 2.0)[30:, :2].std(0).min()
    moving = np.stack([200 + 5 * np.arange(90.0), np.full(90, 200.0)], axis=1)  # 1.5 sides a second
    apart = np.abs(run(moving, 0.0, point_cutoff=1.0)[:, :2] - moving)
    assert apart.max() < 20 and (run(moving, 0.0, point_cutoff=1.0)[:, 2] == np.float32(0.9)).all()


def test_without_the_option_points_stay() -> None:
    way = np.full((5, 2), 200.0)
    assert np.ptp(run(way, 3.0)[:, 0]) > 1
    with pytest.raises(ValueError, match="point_cutoff: expected a number above 0"):
        Tracker(point_cutoff=0.0)
