"""Score thresholds that a model carries, and those that a user gives in their place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from centernet import Detections
from centernet.calibration import Calibration
from centernet.images import Preprocessing
from centernet.inference import Detector
from centernet.inference.tracking import make_tracker

NAMES = ("person", "car", "traffic light")
SCORES = np.tile(np.array([0.95, 0.55, 0.35, 0.25, 0.15], np.float32), 3)


@dataclass
class Fixed:
    """Finds fifteen objects, five of each class."""

    calibration: Calibration | None = None
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing((64, 64)))
    class_names: tuple[str, ...] = NAMES

    def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
        box = np.tile(np.array([4, 4, 30, 30], np.float32), (len(images), 15, 1))
        labels = np.repeat(np.arange(3), 5)
        return {"bboxes": box, "labels": np.tile(labels, (len(images), 1)), "scores": np.tile(SCORES, (len(images), 1))}


@dataclass
class InFile(Fixed):
    """The same from a file that states a threshold."""

    score_threshold: float = 0.5


OWN = Calibration(score_threshold=0.3, class_thresholds={"person": 0.2, "car": 0.6})


def counts(model: Any, score_threshold: Any = None, **options: Any) -> list[int]:
    """The number of objects of each class."""
    found = Detector(model, score_threshold=score_threshold, **options)(np.zeros((64, 64, 3), np.uint8))
    return np.bincount(found.labels, minlength=3).tolist()  # type: ignore[no-any-return]


def test_the_model_s_own_thresholds_are_the_default() -> None:
    assert counts(Fixed()) == [3, 3, 3]  # .3
    assert counts(Fixed(OWN)) == [4, 1, 3]
    assert counts(Fixed(Calibration(score_threshold=0.1))) == [5, 5, 5]
    assert counts(InFile()) == [2, 2, 2]
    assert counts(InFile(OWN)) == [2, 2, 2]  # of an export with a number of the user's
    assert counts(InFile(OWN, score_threshold=0.3)) == [4, 1, 3]


def test_a_user_s_numbers_win() -> None:
    for model in (Fixed(), Fixed(OWN), InFile(OWN)):
        assert counts(model, 0.9) == [1, 1, 1]
        assert counts(model, {"car": 0.3, "other": 0.5}) == [2, 3, 2]
    assert counts(Fixed(OWN), {"car": 0.1}) == [4, 5, 3]
    assert counts(InFile(OWN), {"car": 0.1}) == [2, 5, 2]
    assert counts(Fixed(OWN), 0.0, classes=["car"]) == [0, 5, 0]
    assert counts(Fixed(OWN), classes=["person"]) == [4, 0, 0]
    assert counts(Fixed(class_names=()), 0.5) == [2, 2, 2]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (1.5, r"score_threshold: expected 0..1, got 1.5"),
        ({"car": -0.1}, r"score_threshold: expected 0..1, got -0.1 for 'car'"),
        ({"cat": 0.5}, "score_threshold: 'cat' .*is no class of the detector; its classes are person, car"),
    ],
)
def test_wrong_thresholds_are_named(given: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Detector(Fixed(OWN), score_threshold=given)


def test_a_class_of_the_name_other() -> None:
    model = Fixed(Calibration(class_thresholds={"other": 0.9}), class_names=("person", "car", "other"))
    assert counts(model) == [3, 3, 1]


def test_detections_by_class() -> None:
    found = Detections(np.tile([0, 0, 9, 9], (3, 1)), [0, 1, 2], [0.4, 0.4, 0.4], class_names=NAMES)
    assert found.filter(score_threshold={"car": 0.5}).names == ["person", "traffic light"]
    assert found.filter(score_threshold={"car": 0.3, "other": 0.5}).names == ["car"]
    assert len(Detections.empty().filter(score_threshold={"car": 0.5})) == 0


def scores(model: Any, preset: str | None = None, **options: Any) -> tuple[float, float, float | None]:
    """High, new and low score of the tracker that is made for a model."""
    classes = options.pop("classes", None)
    made = make_tracker(Detector(model, classes=classes), 25, preset=preset, **options).options
    return made.high_score, made.new_score, made.low_score


def test_a_tracker_gets_the_scores_that_suit_the_model() -> None:
    assert scores(Fixed()) == (0.6, 0.7, 0.1)
    assert scores(Fixed(OWN)) == scores(Fixed(OWN), "bytetrack") == (0.3, 0.65, 0.05)
    assert scores(Fixed(OWN), "sort") == (0.3, 0.65, None)
    assert scores(Fixed(OWN), classes=["car"]) == (0.6, 0.8, 0.1)
    assert scores(Fixed(OWN), classes=["car", "person"]) == (0.3, 0.65, 0.05)


def test_scores_of_the_user_or_of_the_model_s_tracker_win() -> None:
    assert scores(Fixed(OWN), new_score=0.35) == (0.3, 0.35, 0.05)
    assert scores(Fixed(OWN), start_score=0.5) == (0.5, 0.5, 0.05)
    model: Any = Fixed(OWN)
    model.tracker = {"high_score": 0.45, "low_score": 0.2}
    assert scores(model) == (0.45, 0.7, 0.2)
    model.tracker = {"preset": "sort", "lost_seconds": 3.0}
    assert scores(model) == (0.3, 0.65, None)
    assert Detector(model).tracker["lost_seconds"] == 3.0
