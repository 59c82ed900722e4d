"""The calibration of scores: its formula, and the values that it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from centernet import Tracker
from centernet.calibration import Calibration


@pytest.mark.parametrize(("temperature", "shift"), [(1, 0), (0.4, 1.8), (3, -2), (0.05, 0)])
def test_temperature_and_shift_of_the_logit(temperature: float, shift: float) -> None:
    raw = np.linspace(0.001, 0.999, 200)
    expected = 1 / (1 + np.exp(-(np.log(raw / (1 - raw)) / temperature + shift)))
    calibration = Calibration(temperature, shift)
    np.testing.assert_allclose(calibration(raw), expected, rtol=1e-9)
    np.testing.assert_allclose(calibration(raw.astype(np.float32)), expected, rtol=2e-4, atol=1e-30)


def test_the_ends_stay_and_the_order_too() -> None:
    torch = pytest.importorskip("torch")
    raw = np.array([0, 1e-38, 1e-6, 0.3, 0.5, 1 - 1e-6, 1], np.float32)
    for calibration in (Calibration(0.1, 4), Calibration(0.4, 1.8), Calibration(5, -3)):
        for scores in (calibration(raw), calibration(torch.from_numpy(raw)).numpy()):
            assert scores.dtype == np.float32 and scores[0] == 0 and scores[-1] == 1
            assert np.isfinite(scores).all() and (np.diff(scores) >= 0).all()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"temperature": 0}, "calibration.temperature: expected a number above 0, got 0"),
        ({"temperature": float("nan")}, "calibration.temperature"),
        ({"shift": float("inf")}, "calibration.shift"),
        ({"score_threshold": 1.5}, r"calibration.score_threshold: expected 0..1, got 1.5"),
        ({"class_thresholds": {"cat": -1}}, r"calibration.class_thresholds.cat: expected 0..1, got -1"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Calibration(**values)


def test_scores_of_a_tracker() -> None:
    calibration = Calibration(score_threshold=0.4, class_thresholds={"person": 0.3, "car": 0.6})
    assert calibration.tracker_scores() == {"high_score": 0.4, "new_score": 0.7, "low_score": 0.0667}
    for names, high in ((["person"], 0.3), (["boat"], 0.4), (["person", "car"], 0.4)):
        assert calibration.tracker_scores(names)["high_score"] == high
    for threshold in (0.0, 1.0):  # also of these a tracker can be made
        options = Tracker(**Calibration(score_threshold=threshold).tracker_scores()).options
        assert options.low_score is not None and options.low_score < options.high_score < options.new_score <= 1
