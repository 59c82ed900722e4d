"""Skeletons: what the keypoints of an object are called, which change places in a mirror, and which are joined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SIGMA = 0.05
"""Sigma of keypoints for which nobody measured one."""


@dataclass(frozen=True)
class Skeleton:
    """Describes K keypoints; it travels with a model as class names do.

    Attributes:
        names: of the keypoints, in their order.
        flip_pairs: keypoints that change places in a mirror, as left and right do: pairs of places in `names`.
        edges: keypoints that a limb joins: pairs of places in `names`.
        sigmas: how far annotators differ in each, as a share of the object's size, for OKS; .05 where none are given.

    Raises:
        ValueError: a name that is there twice, a pair of places that are none, a sigma that is not above 0.
    """

    names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        names = tuple(map(str, self.names))
        if not names or len(set(names)) != len(names):
            raise ValueError(f"skeleton.names: expected one name or more, each once, got {list(names)}")
        for key in ("flip_pairs", "edges"):
            pairs = tuple((int(a), int(b)) for a, b in getattr(self, key))
            for pair in pairs:
                if not all(0 <= place < len(names) for place in pair) or pair[0] == pair[1]:
                    raise ValueError(
                        f"skeleton.{key}: expected two different places from 0 to {len(names) - 1}, got {list(pair)}"
                    )
            object.__setattr__(self, key, pairs)
        moved = [place for pair in self.flip_pairs for place in pair]
        if len(set(moved)) != len(moved):
            raise ValueError(
                f"skeleton.flip_pairs: a keypoint belongs to one pair at most, got {list(map(list, self.flip_pairs))}"
            )
        sigmas = tuple(map(float, self.sigmas)) or (SIGMA,) * len(names)
        if len(sigmas) != len(names) or not all(0 < sigma < 10 for sigma in sigmas):
            raise ValueError(
                f"skeleton.sigmas: expected a number above 0 for each of {len(names)} keypoints, got {list(sigmas)}"
            )
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "sigmas", sigmas)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def flip_order(self) -> tuple[int, ...]:
        """For each keypoint the place of the one that it becomes in a mirror: `keypoints[:, flip_order]`."""
        order = list(range(len(self.names)))
        for a, b in self.flip_pairs:
            order[a], order[b] = b, a
        return tuple(order)

    @property
    def sides(self) -> tuple[int, ...]:
        """For each keypoint −1 where it is the first of its pair (COCO: left), 1 the second, 0 in the middle."""
        first, second = {a for a, _ in self.flip_pairs}, {b for _, b in self.flip_pairs}
        return tuple(-1 if place in first else int(place in second) for place in range(len(self.names)))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain lists, for JSON and YAML."""
        return {
            "names": list(self.names),
            "flip_pairs": [list(pair) for pair in self.flip_pairs],
            "edges": [list(pair) for pair in self.edges],
            "sigmas": list(self.sigmas),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Skeleton:
        """Return the skeleton of what `to_dict` gave; a key that is unknown or missing is a ValueError."""
        known = ("names", "flip_pairs", "edges", "sigmas")
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"skeleton: expected the keys {', '.join(known)}, got {unknown[0]!r}")
        if "names" not in values:
            raise ValueError("skeleton: names is missing, the names of the keypoints")
        try:
            return cls(**{key: tuple(value) for key, value in values.items() if value is not None})
        except TypeError as error:
            raise ValueError(f"skeleton: expected lists of names, of pairs and of numbers ({error})") from error


COCO_PERSON = Skeleton(
    names=(
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
        *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
        *("left_knee", "right_knee", "left_ankle", "right_ankle"),
    ),
    flip_pairs=tuple((place, place + 1) for place in range(1, 17, 2)),
    edges=(
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8)),
        *((7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
    sigmas=(
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
        *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ),
)
"""The person of COCO: 17 keypoints."""

SKELETONS = {"coco_person": COCO_PERSON}


def named(value: str | Mapping[str, Any] | Skeleton) -> Skeleton:
    """Return the skeleton of this name (`coco_person`), or that of a dict as `Skeleton.to_dict` gives."""
    if isinstance(value, Skeleton):
        return value
    if isinstance(value, str):
        if value not in SKELETONS:
            raise ValueError(f"skeleton {value!r}: expected one of {', '.join(SKELETONS)}, or a mapping with names")
        return SKELETONS[value]
    return Skeleton.from_dict(value)
