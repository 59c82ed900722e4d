"""Score thresholds of `Detector` and tracker: those given, else those that the model carries."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from centernet.calibration import Calibration
from centernet.detections import OTHER, SCORE_THRESHOLD
from centernet.tracking import PRESETS, TrackerOptions

if TYPE_CHECKING:
    from centernet.inference.opening import Runtime

TRACKER_SCORES = tuple(field.name for field in fields(TrackerOptions) if field.name.endswith("_score"))
"""The options of the tracker that are scores."""


def thresholds(given: float | Mapping[str, float] | None, runtime: Runtime) -> float | dict[str, float]:
    """Return from which score on objects are kept: a number, or one for each class by its name.

    Args:
        given: a number, which holds for all classes; numbers by class name, with `OTHER` for the rest, else the model's
            own hold for them; or None for the model's own.
        runtime: whose `calibration` and `score_threshold` these are, where it states them.

    Raises:
        ValueError: a number that is none within 0..1, or a name that is no class.
    """
    asked = given if isinstance(given, Mapping) else {} if given is None else {OTHER: given}
    for name, value in asked.items():
        if not 0 <= value <= 1:
            raise ValueError(f"score_threshold: expected 0..1, got {value}" + f" for {name!r}" * (name != OTHER))
    names = runtime.class_names
    class_labels([name for name in asked if name != OTHER], names, "score_threshold")
    calibration: Calibration | None = getattr(runtime, "calibration", None)
    overall = SCORE_THRESHOLD if calibration is None else calibration.score_threshold
    stated: float = getattr(runtime, "score_threshold", overall)
    # Where the file states another threshold than its calibration, somebody asked for that at the export.
    own = calibration.class_thresholds if calibration is not None and stated == overall else {}
    rest = asked.get(OTHER, stated)
    by_class = {name: asked.get(name, rest if OTHER in asked else own.get(name, stated)) for name in names}
    return by_class if len(set(by_class.values())) > 1 else next(iter(by_class.values()), rest)


def suited(settings: Mapping[str, Any], calibration: Calibration | None, class_names: Sequence[str]) -> dict[str, Any]:
    """Return arguments of `Tracker` with the scores that suit a calibrated model, where they name no scores.

    Args:
        settings: the arguments.
        calibration: of the model; None leaves the arguments as they are.
        class_names: of the classes that are tracked.
    """
    if calibration is None or settings.keys() & set(TRACKER_SCORES):
        return dict(settings)
    preset = PRESETS.get(settings.get("preset", "default"))
    scores: dict[str, Any] = calibration.tracker_scores(class_names)
    if preset is None or preset.low_score is None:  # it has no second pass
        del scores["low_score"]
    return {**settings, **scores}


def class_labels(names: Sequence[str], class_names: Sequence[str], key: str = "classes") -> list[int]:
    """Return the labels of classes by their names; a ValueError names those that there are, and the nearest."""
    label_of = {name: label for label, name in reversed(list(enumerate(class_names)))}
    for name in names:
        if name not in label_of:
            nearest = difflib.get_close_matches(name, class_names, n=1)
            hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
            known = f"its classes are {', '.join(class_names)}" if class_names else "it knows no names of classes"
            raise ValueError(f"{key}: {name!r}{hint} is no class of the detector; {known}")
    return [label_of[name] for name in names]
