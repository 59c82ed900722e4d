"""The calibration of a model's scores, found by a validation: plain values that travel with the model.

Temperature scaling (Guo et al. 2017, arXiv:1706.04599) with a shift, since most of a detector's boxes are wrong ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

MOST_SHIFT = 50.0
"""The shift goes this far either way: beyond it the exponential of it leaves the range of numbers soon."""

Array = TypeVar("Array", "NDArray[Any]", "Tensor")


@dataclass(frozen=True)
class Calibration:
    """Meaning of a model's scores, as a validation found it.

    Attributes:
        temperature, shift: a score is ``sigmoid(logit(raw) / temperature + shift)`` of what the heads give, so that of
            the objects with a score of .7 seven in ten are right.
        score_threshold: the score, so calibrated, at which F1 is best over all classes.
        class_thresholds: the same by the name of a class, for classes of which the validation had enough objects.

    Raises:
        ValueError: a value out of range.
    """

    temperature: float = 1.0
    shift: float = 0.0
    score_threshold: float = 0.3
    class_thresholds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        thresholds = {f"class_thresholds.{name}": value for name, value in self.class_thresholds.items()}
        for key, value in {"score_threshold": self.score_threshold, **thresholds}.items():
            if not 0 <= value <= 1:
                raise ValueError(f"calibration.{key}: expected 0..1, got {value!r}")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"calibration.temperature: expected a number above 0, got {self.temperature!r}")
        if not abs(self.shift) <= MOST_SHIFT:
            raise ValueError(f"calibration.shift: expected -{MOST_SHIFT:g}..{MOST_SHIFT:g}, got {self.shift!r}")

    def __call__(self, raw: Array) -> Array:
        """Return the calibrated scores of raw ones, arrays or tensors; 0 and 1 stay, and so does the order."""
        power = 1 / self.temperature
        right = raw**power  # without logarithms, which have no value at 0 and 1
        return right / (right + math.exp(-self.shift) * (1 - raw) ** power)

    def threshold(self, class_names: Sequence[str] = ()) -> float:
        """Return the threshold of a class, where one class alone is looked for, else the overall one."""
        own = self.class_thresholds if len(class_names) == 1 else {}
        return own.get(class_names[0], self.score_threshold) if own else self.score_threshold

    def tracker_scores(self, class_names: Sequence[str] = ()) -> dict[str, float]:
        """Return the score options of `centernet.tracking.Tracker` that suit the scores.

        Objects from the threshold on continue tracks, and those half the way from there to 1 start them, which is about
        where precision counts twice as much as recall (F0.5); low scores begin at a sixth, as ByteTrack's do.
        """
        high = min(max(self.threshold(class_names), 0.01), 0.99)
        return {"high_score": high, "new_score": round((1 + high) / 2, 4), "low_score": round(high / 6, 4)}
