"""Drawn animals with nine joints: seen from the side, in any pose, facing left or right, partly hidden.

Who faces left shows its left side: its left legs and ear are in front. Lengths are pixels, colours are RGB.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from ..skeleton import Skeleton
from .scenes import Style, add_noise, fixed_points, random_background

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

ANIMAL = Skeleton(
    names=(
        *("nose", "left_ear", "right_ear", "left_front_paw", "right_front_paw", "left_hind_paw", "right_hind_paw"),
        *("tail_base", "tail_tip"),
    ),
    flip_pairs=((1, 2), (3, 4), (5, 6)),
    edges=((0, 1), (0, 2), (1, 7), (2, 7), (7, 8), (3, 7), (4, 7), (5, 7), (6, 7)),
)
"""The joints; sigmas are .05."""
_BODY = -1  # a part of no joint


class Part(NamedTuple):
    """A stroke: a line with round ends and bends, or a closed shape where its width is 0, and the joint at its end."""

    points: Points  # M×2
    width: float
    shade: float  # of the animal's colour
    joint: int = _BODY


class Animal(NamedTuple):
    """An animal of a scene, its parts from the back to the front."""

    parts: list[Part]
    joints: Points  # 9×2
    colour: NDArray[np.float64]


class Scenery(NamedTuple):
    """A background, animals from the back to the front, and sticks and stones before them."""

    background: NDArray[np.uint8]
    animals: list[Animal]
    covers: list[tuple[Points, list[float]]]  # closed outlines and colours
    noise: int


class DrawnAnimals(NamedTuple):
    """A drawn scenery: the image, and of each animal what is visible of it."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]  # N×4 around what is visible; 0 where nothing is
    areas: NDArray[np.float32]  # N, pixels that are visible
    visible: NDArray[np.float32]  # N, the share of its pixels in an endless image that are
    keypoints: NDArray[np.float32]  # N×9×3: visibility 2 where the joint's own part is seen, 1 hidden, 0 outside


def random_scenery(rng: np.random.Generator, style: Style) -> Scenery:
    """Return random animals; their middles are inside the image."""
    background = random_background(rng, style.size)
    height, width = style.size
    animals: list[Animal] = []
    covers: list[tuple[Points, list[float]]] = []
    tone = background.mean(axis=(0, 1))
    for _ in range(rng.integers(*style.objects, endpoint=True)):
        length = math.exp(rng.uniform(*np.log(style.object_size))) * min(style.size)
        centre = rng.uniform(0.12, 0.88, 2) * [width, height]
        colours = rng.uniform(40, 240, (6, 3))
        colour = colours[np.linalg.norm(colours - tone, axis=1).clip(max=80).argmax()]
        animals.append(random_animal(rng, centre, length, colour))
    for _ in range(rng.integers(3)):
        middle, half = rng.uniform(0, 1, 2) * [width, height], rng.uniform(0.03, 0.12, 2) * min(style.size)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half * rng.uniform(0.7, 1.3, (4, 2))
        covers.append((middle + corners @ _turn(rng.uniform(0, math.pi)), rng.uniform(0, 255, 3).tolist()))
    return Scenery(background, animals, covers, int(rng.integers(2**16)))


def random_animal(
    rng: np.random.Generator, centre: NDArray[np.float64], length: float, colour: NDArray[np.float64]
) -> Animal:
    """Return an animal of this length, from the chest to the root of its tail, in a random pose.

    It is built facing left, its left side to the front; a mirror makes it face right with its right side to the front.
    """
    unit, tilt = length / 2, rng.uniform(-0.4, 0.4)
    thick = rng.uniform(0.28, 0.42) * unit
    chest, rump = np.array([-0.8, 0]) * unit, np.array([0.8, 0]) * unit
    neck = chest + _ray(math.pi + rng.uniform(-0.2, 0.9), 0.5 * unit)
    head = neck + _ray(math.pi + rng.uniform(-0.7, 0.4), 0.35 * unit)
    gaze = math.pi + rng.uniform(-0.6, 0.4)
    nose = head + _ray(gaze, 0.38 * unit)
    tip = rump + _ray(rng.uniform(-0.3, 1.2), 0.45 * unit)
    end = tip + _ray(rng.uniform(-0.6, 1.5), 0.4 * unit)
    ears = [head + _ray(gaze - bend, 0.34 * unit) for bend in rng.uniform([1.25, 1.9], [1.65, 2.3])]
    legs = [_leg(rng, root, unit) for root in (chest, chest, rump, rump)]  # left and right of the front, and behind
    slim = rng.uniform(0.11, 0.16) * unit
    far, near = 0.62, 1.12
    joints = np.array([nose, ears[0], ears[1], legs[0][-1], legs[1][-1], legs[2][-1], legs[3][-1], rump, end])
    body = _ellipse(chest, rump, thick)
    parts = [
        Part(np.array([rump, tip, end]), 0.7 * slim, 0.85, 8),
        Part(legs[3], slim, far, 6),
        Part(legs[1], slim, far, 4),
        Part(np.array([head, ears[1]]), 1.1 * slim, far, 2),
        Part(np.array([chest, neck, head]), 1.1 * thick, 1.0),
        Part(body, 0, 1.0, 7),
        Part(_ellipse(head - 0.6 * (nose - head), nose, 0.24 * unit), 0, 1.05, 0),
        Part(legs[2], slim, near, 5),
        Part(legs[0], slim, near, 3),
        Part(np.array([head, ears[0]]), 1.1 * slim, near, 1),
    ]
    mirror = rng.random() < 0.5
    turn = _turn(-tilt) * ([-1, 1] if mirror else [1, 1])
    order = list(ANIMAL.flip_order) if mirror else list(range(len(joints)))
    moved = [
        part._replace(points=part.points @ turn + centre, joint=order[part.joint] if part.joint >= 0 else _BODY)
        for part in parts
    ]
    return Animal(moved, (joints @ turn + centre)[order], colour)


def draw_scenery(scenery: Scenery) -> DrawnAnimals:
    """Draw a scenery with smooth edges and a little noise."""
    image = scenery.background.copy()
    height, width = image.shape[:2]
    owner, piece = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    whole = np.zeros(len(scenery.animals))
    for number, animal in enumerate(scenery.animals, start=1):
        whole[number - 1] = _paint_animal(image, owner, piece, animal, number)
    for outline, colour in scenery.covers:
        cv2.fillPoly(image, [fixed_points(outline)], colour, cv2.LINE_AA, 4)
        cv2.fillPoly(owner, [fixed_points(outline)], (0,), cv2.LINE_8, 4)
    add_noise(image, scenery.noise)
    count = len(scenery.animals)
    areas = np.bincount(owner.ravel(), minlength=count + 1)[1:]
    boxes = np.reshape([cv2.boundingRect((owner == n).view(np.uint8)) for n in range(1, count + 1)], (-1, 4))
    boxes[:, 2:] += boxes[:, :2]
    joints = np.array([animal.joints for animal in scenery.animals]).reshape(count, len(ANIMAL), 2)
    inside = np.asarray(((joints >= 0) & (joints < [width, height])).all(axis=-1))
    x, y = joints.astype(np.int64).clip(0, [width - 1, height - 1]).transpose(2, 0, 1)
    numbers, places = np.arange(1, count + 1)[:, None], np.arange(1, joints.shape[1] + 1)
    seen = (owner[y, x] == numbers) & (piece[y, x] == places)
    keypoints = np.concatenate([joints, np.where(seen, 2, 1)[..., None]], axis=-1) * inside[..., None]
    shares = np.minimum(1, areas / np.maximum(1, whole))
    return DrawnAnimals(
        image, *(values.astype(np.float32) for values in (boxes * (areas > 0)[:, None], areas, shares, keypoints))
    )


def _paint_animal(
    image: NDArray[np.uint8], owner: NDArray[np.uint8], piece: NDArray[np.uint8], animal: Animal, number: int
) -> float:
    """Draw an animal. Returns how many pixels it would have, were the image large enough."""
    every = np.concatenate([part.points for part in animal.parts])
    low = np.floor(every.min(axis=0)) - 8
    size = np.ceil(every.max(axis=0) - low).astype(int) + 16
    alone = np.zeros(size[::-1].tolist(), np.uint8)
    for part in animal.parts:
        shade = (animal.colour * part.shade).clip(0, 255).tolist()
        _stroke(image, part, shade, cv2.LINE_AA)
        _stroke(owner, part, (number,), cv2.LINE_8)
        _stroke(piece, part, (part.joint + 1,), cv2.LINE_8)
        _stroke(alone, part._replace(points=part.points - low), (1,), cv2.LINE_8)
    return float(np.count_nonzero(alone))


def _stroke(canvas: NDArray[np.uint8], part: Part, colour: list[float] | tuple[int], line: int) -> None:
    points = [fixed_points(part.points)]
    if part.width:
        cv2.polylines(canvas, points, False, colour, max(1, round(part.width)), line, 4)
    else:
        cv2.fillPoly(canvas, points, colour, line, 4)


def _leg(rng: np.random.Generator, root: NDArray[np.float64], unit: float) -> Points:
    """Return hip, knee and paw of a leg that points down."""
    swing = rng.uniform(-0.6, 0.6)
    knee = root + _ray(-math.pi / 2 + swing, 0.5 * unit)
    return np.array([root, knee, knee + _ray(-math.pi / 2 + swing + rng.uniform(-0.7, 0.7), 0.45 * unit)])


def _ray(angle: float, length: float) -> NDArray[np.float64]:
    """Return a vector; angles run against the clock, so that half of π is up."""
    return length * np.array([math.cos(angle), -math.sin(angle)])


def _turn(angle: float) -> Points:
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def _ellipse(start: NDArray[np.float64], end: NDArray[np.float64], half: float) -> Points:
    """Return the outline of an ellipse over a line, a little longer, 2 · half thick."""
    middle, along = (start + end) / 2, (end - start) / 2
    across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9) * half
    angles = np.linspace(0, 2 * math.pi, 32, endpoint=False)
    return middle + 1.15 * np.cos(angles)[:, None] * along + np.sin(angles)[:, None] * across
