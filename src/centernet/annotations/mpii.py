"""MPII Human Pose (http://human-pose.mpi-inf.mpg.de): the JSON that HRNet and MMPose made of it, and its own ``.mat``.

The JSON is a list with an entry a person: ``image``, ``joints`` (16 pairs), ``joints_vis`` (1 where there is one),
``center`` and ``scale`` (the person's height in 200 pixels). In both, pixels count from 1. People have no boxes: the
box around the joints is taken, a tenth of the person's height larger on each side. The ``.mat`` needs scipy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..documents import read_json_file
from ..skeleton import Skeleton
from .keypoints import flip_pairs
from .listed import ListedImages, Pose
from .problems import DataError, Reports, opening
from .shapes import around

_NAMES = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax"),
    *("upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow"),
    "left_wrist",
)
_EDGES = (
    *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (8, 12), (12, 11), (11, 10)),
    *((8, 13), (13, 14), (14, 15)),
)
MPII_PERSON = Skeleton(_NAMES, flip_pairs(_NAMES), _EDGES)
"""The 16 joints in MPII's order."""
_MARGIN = 0.1  # of the person's height, around the joints


class _Person(NamedTuple):
    """A person: the image, the place in the file, x y visibility of each joint (pixels from 1), and the height."""

    image: str
    place: int
    joints: Sequence[tuple[float, float, float]]
    height: float


def read_mpii(path: Path, report: Reports, *, split: str = "train") -> ListedImages:
    """Read a file; of a ``.mat`` the images that it says are for training (its others have no joints)."""
    listed = ListedImages("person", skeleton=MPII_PERSON)
    listed.declare(["person"])
    people = _of_mat(path, split, listed) if path.suffix.lower() == ".mat" else _of_json(path, report)
    wrong = Counter[str]()
    for person in people:
        image = listed.image(person.image, path)
        pose: Pose = {
            name: (x - 1, y - 1, visible)
            for name, (x, y, visible) in zip(_NAMES, person.joints, strict=True)
            if visible and math.isfinite(x) and math.isfinite(y)
        }
        if not pose:
            wrong["people without a joint are left out"] += 1
            continue
        x1, y1, x2, y2 = around([x, y] for x, y, _ in pose.values())
        margin = _MARGIN * (person.height if person.height > 0 else max(x2 - x1, y2 - y1))
        box = (x1 - margin, y1 - margin, x2 + margin, y2 + margin)
        listed.add(image, person.place, box, "person", pose=pose)
    for text, count in wrong.items():
        report(path, "bad-keypoints", f"{count} {text}")
    report.note(path, "assumed", "people have no boxes: those around their joints are taken, a tenth larger")
    return listed


def _of_json(path: Path, report: Reports) -> Iterator[_Person]:
    with opening(path, "annotations"), path.open(encoding="utf-8") as file:
        try:
            content = read_json_file(file)
        except ValueError as error:
            raise DataError(f"{path}: not valid JSON ({error}); is the file complete?") from error
    if not isinstance(content, list):
        raise DataError(f"{path}: expected MPII's list of people, got {type(content).__name__}")
    for place, entry in enumerate(content):
        try:
            joints = [(float(x), float(y)) for x, y in entry["joints"]]
            visible = [2.0 * (float(flag) > 0) for flag in entry["joints_vis"]]
            name, height = str(entry["image"]), 200 * float(entry.get("scale", 0))
            if len(joints) != len(_NAMES) or len(visible) != len(_NAMES):
                raise ValueError(f"{len(joints)} joints and {len(visible)} flags, expected {len(_NAMES)}")
        except (KeyError, TypeError, ValueError) as error:
            why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            report(path, "bad-row", f"person {place}: {why}; expected image, joints and joints_vis. It is left out")
            continue
        people = [(x, y, flag) for (x, y), flag in zip(joints, visible, strict=True)]
        yield _Person(name, place, people, height)


def _of_mat(path: Path, split: str, listed: ListedImages) -> Iterator[_Person]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise DataError(
            f"{path}: MPII's own file is MATLAB's, which needs scipy: pip install scipy. Or give the JSON of HRNet "
            "and MMPose (annot/train.json)"
        ) from error
    try:
        release = loadmat(path, struct_as_record=False, squeeze_me=True)["RELEASE"]
        images, training = _listed(release.annolist), _listed(release.img_train)
    except (KeyError, AttributeError, ValueError, OSError, NotImplementedError) as error:
        raise DataError(f"{path}: not MPII's file, which has RELEASE.annolist and img_train ({error})") from error
    for entry, flag in zip(images, training, strict=True):
        if bool(flag) != (split == "train"):
            continue
        name = str(entry.image.name)
        listed.image(name, path)
        for place, person in enumerate(_listed(getattr(entry, "annorect", ()))):
            points = getattr(getattr(person, "annopoints", None), "point", ())
            joints = [(0.0, 0.0, 0.0)] * len(_NAMES)
            for point in _listed(points):
                seen = str(getattr(point, "is_visible", 1)) not in ("0", "False", "[]")
                if 0 <= int(point.id) < len(joints):
                    joints[int(point.id)] = float(point.x), float(point.y), 2.0 if seen else 1.0
            scale = getattr(person, "scale", 0)
            yield _Person(name, place, joints, 200 * float(scale) if isinstance(scale, (int, float)) else 0.0)


def _listed(value: Any) -> list[Any]:
    """The entries of a MATLAB array, of which one alone comes without it."""
    return (
        list(value.ravel()) if hasattr(value, "ravel") else list(value) if isinstance(value, (list, tuple)) else [value]
    )
