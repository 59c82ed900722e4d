"""Skeletons: COCO's own, what is refused, and the way through JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from centernet.column import Column
from centernet.detections import Detections
from centernet.skeleton import COCO_PERSON, Skeleton, named


def test_cocos_person_is_that_of_its_tools() -> None:
    """Names and sigmas of pycocotools and of COCO's annotation files; a mirror turns left into right."""
    assert len(COCO_PERSON) == 17 and len(COCO_PERSON.edges) == 19
    assert np.array(COCO_PERSON.sigmas[:7]) * 10 == pytest.approx([0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79])
    for name, mirrored in zip(COCO_PERSON.names, COCO_PERSON.flip_order, strict=True):
        swapped = {"left": "right", "right": "left"}
        side, _, rest = name.partition("_")
        assert COCO_PERSON.names[mirrored] == (f"{swapped[side]}_{rest}" if rest else name)
    for a, b in COCO_PERSON.edges:  # limbs stay on their side, or join two sides at a pair
        assert COCO_PERSON.sides[a] * COCO_PERSON.sides[b] >= 0 or (min(a, b), max(a, b)) in COCO_PERSON.flip_pairs


def test_a_skeleton_travels_as_plain_lists() -> None:
    horse = Skeleton(("nose", "left", "right"), flip_pairs=((1, 2),), edges=((0, 1),))
    assert horse.sigmas == (0.05,) * 3
    for skeleton in (horse, COCO_PERSON):
        assert named(json.loads(json.dumps(skeleton.to_dict()))) == skeleton
    column = Column("keypoints", "points", (3, 3), skeleton=horse)
    assert Column(**json.loads(json.dumps(column.to_dict()))) == column
    assert named("coco_person") is COCO_PERSON


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"names": []}, "one name or more"),
        ({"names": ["a", "a"]}, "each once"),
        ({"names": ["a", "b"], "edges": [[0, 2]]}, r"from 0 to 1, got \[0, 2\]"),
        ({"names": ["a", "b", "c"], "flip_pairs": [[0, 1], [1, 2]]}, "one pair at most"),
        ({"names": ["a", "b"], "sigmas": [0.1]}, "each of 2 keypoints"),
        ({"names": ["a"], "limbs": []}, "got 'limbs'"),
        ({"edges": []}, "names is missing"),
        ("horse", "coco_person"),
    ],
)
def test_what_is_no_skeleton_is_named(values: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        named(values)


def test_a_skeleton_belongs_to_as_many_points() -> None:
    for kind, shape in (("points", (16, 3)), ("value", (17, 3))):
        with pytest.raises(ValueError, match="17 keypoints"):
            Column("keypoints", kind, shape, skeleton=COCO_PERSON)  # type: ignore[arg-type]


def test_keypoints_of_detections() -> None:
    column = Column("keypoints", "points", (17, 3), skeleton=COCO_PERSON)
    found = Detections([[0, 0, 9, 9]], [0], [0.5], columns=[column], data={"keypoints": np.ones((1, 17, 3))})
    assert found.keypoints is not None and found.keypoints.shape == (1, 17, 3)
    assert found[:0].columns[0].skeleton == COCO_PERSON and Detections.empty().keypoints is None
