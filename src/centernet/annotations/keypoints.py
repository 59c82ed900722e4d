"""Keypoints as files state them: three numbers each (x, y, visibility), and skeletons made of names and lists."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..column import Column
from ..detections import Detections
from ..drawing import JOINT
from ..skeleton import COCO_PERSON, Skeleton

KEYPOINTS = "keypoints"
"""The field of a data set that holds them."""

_CROWDPOSE = (
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip"),
    *("right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "head", "neck"),
)
CROWDPOSE_SIGMAS = (0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.079, 0.079)
"""CrowdPose's own (Li et al., 2019, arXiv 1812.00324), in the order of its 14 joints."""


def keypoint_column(skeleton: Skeleton) -> Column:
    """Return the field of data sets with these keypoints."""
    return Column(KEYPOINTS, "points", (len(skeleton), 3), skeleton=skeleton)


def found_keypoints(detections: Detections) -> tuple[Skeleton | None, NDArray[np.float32]]:
    """Return keypoints that a model found as truth states them: N×K×3, x, y and 2, or 0 for guesses (`JOINT`).

    Detections without keypoints of a skeleton have None, and N×0×3.
    """
    column = next((column for column in detections.columns if column.skeleton is not None), None)
    if column is None:
        return None, np.zeros((len(detections), 0, 3), np.float32)
    points = detections.data[column.name].astype(np.float32)
    points[..., 2] = 2 * (points[..., 2] >= JOINT)
    return column.skeleton, points


def found_poses(detections: Detections) -> tuple[Skeleton | None, list[dict[str, tuple[float, float, float]]]]:
    """Return the same by the names of the keypoints, for each object."""
    skeleton, points = found_keypoints(detections)
    names = skeleton.names if skeleton else ()
    return skeleton, [dict(zip(names, map(tuple, rows), strict=True)) for rows in points.tolist()]


def skeleton_of(names: Sequence[Any], edges: Sequence[tuple[int, int]] = (), pairs: Any = None) -> Skeleton:
    """Return a skeleton of the names and edges of a file, as far as they make sense.

    Args:
        names: of the keypoints; empty ones and ones that are there twice get numbers.
        edges: pairs of places; those outside are left out.
        pairs: that a mirror exchanges; None finds them by the names (left_eye and right_eye, l-hip and r-hip).
    """
    words = [str(name).strip() for name in names]
    words = [
        word if word and words.count(word) == 1 else f"{word or 'point'}_{place}"
        for place, word in enumerate(words, start=1)
    ]
    count = len(words)
    if tuple(words) == COCO_PERSON.names and not edges and pairs is None:
        return COCO_PERSON
    inside = tuple((a, b) for a, b in edges if 0 <= a < count and 0 <= b < count and a != b)
    known = {COCO_PERSON.names: COCO_PERSON.sigmas, _CROWDPOSE: CROWDPOSE_SIGMAS}
    lower = tuple(word.lower() for word in words)
    found = flip_pairs(words) if pairs is None else tuple(pairs)
    return Skeleton(tuple(words), found, inside, known.get(lower, ()))


_SIDES = re.compile(
    r"(?<![a-z])(left|right|l|r)(?![a-z])|^(left|right)(?=[a-z])|(?<=[a-z])(left|right)$", re.IGNORECASE
)
_CAPITAL = re.compile(r"^([LR])(?=[A-Z])|(?<=[a-z])([LR])$")
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}


def flip_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return the pairs of names that differ in left and right alone, as places."""
    place_of = {name.lower(): place for place, name in enumerate(names)}
    pairs = []
    for place, name in enumerate(names):
        for pattern in (_SIDES, _CAPITAL):
            other = pattern.sub(lambda found: _OTHER[found.group().lower()], name).lower()
            partner = place_of.get(other, place)
            if partner > place:
                pairs.append((place, partner))
                break
    return tuple(pairs)


def of_flip_order(order: Sequence[int]) -> tuple[tuple[int, int], ...] | None:
    """Return the pairs of a list that says for each keypoint which it becomes in a mirror; None where it is no such."""
    if sorted(order) != list(range(len(order))) or any(order[other] != place for place, other in enumerate(order)):
        return None
    return tuple((place, other) for place, other in enumerate(order) if place < other)


def checked(values: Any, count: int) -> list[float] | str:
    """Return the numbers x1 y1 v1 x2 … of `count` keypoints, 0 0 0 where one is not labelled; or what is wrong."""
    if not isinstance(values, list) or len(values) != 3 * count:
        got = f"{len(values)} numbers" if isinstance(values, list) else repr(values)[:60]
        return f"keypoints are {got}, expected {3 * count}: x, y and visibility of {count}"
    if not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        return "keypoints have values that are no finite numbers"
    if not set(values[2::3]) <= {0, 1, 2}:
        wrong = next(value for value in values[2::3] if value not in (0, 1, 2))
        return f"a visibility of its keypoints is {wrong}, expected 0 (not labelled), 1 (hidden) or 2 (visible)"
    result = [float(value) for value in values]
    for place in range(0, len(result), 3):
        if result[place + 2] == 0:
            result[place : place + 2] = 0.0, 0.0
    return result
