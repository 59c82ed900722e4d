"""Drawn scenes: objects of several shapes on a background with clutter. State first, then pixels, so that the same
objects can be drawn again elsewhere (moving scenes with identities).

All lengths are pixels, all coordinates continuous (the centre of the first pixel is at .5, .5), all colours RGB.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

Colour: TypeAlias = tuple[int, int, int]

SHAPES = ("disc", "square", "triangle", "star", "cross", "ring")
_SHIFT = 4  # bits of a pixel's fraction that OpenCV draws with
NOISE_MARGIN = 64  # places, along each axis, where the noise of a scene may start
MAX_OBJECTS = 250  # a plane of bytes says which object a pixel shows


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene; of two that overlap the later one in the list is in front.

    Attributes:
        shape: one of SHAPES.
        centre: (x, y).
        size: diameter of the circle around the shape.
        aspect: its width over its height before it is turned.
        angle: in radians, clockwise.
        colour: of the inside.
        edge: colour of the outline; None for no outline.
        identity: the same object in other scenes; -1 for none.
    """

    shape: str
    centre: tuple[float, float]
    size: float
    aspect: float = 1.0
    angle: float = 0.0
    colour: Colour = (255, 255, 255)
    edge: Colour | None = None
    identity: int = -1

    def outlines(self) -> list[Points]:
        """The closed outlines M×2 (x, y) of the shape; a point is inside where an odd number of them goes around it."""
        turn = np.array([[math.cos(self.angle), -math.sin(self.angle)], [math.sin(self.angle), math.cos(self.angle)]])
        stretch = np.diag([math.sqrt(self.aspect), 1 / math.sqrt(self.aspect)]) * self.size / 2
        return [outline @ (turn @ stretch).T + self.centre for outline in _unit_outlines(self.shape)]


@dataclass
class Scene:
    """Everything that is to be drawn.

    Attributes:
        size: (height, width).
        background: uint8 H×W×3, with its clutter.
        objects: from the back to the front.
        noise: (row, column) below NOISE_MARGIN, where in a plane of noise the scene begins.
    """

    size: tuple[int, int]
    background: NDArray[np.uint8]
    objects: list[SceneObject] = field(default_factory=list)
    noise: tuple[int, int] = (0, 0)


@dataclass
class Drawing:
    """A drawn scene.

    Attributes:
        image: uint8 H×W×3.
        boxes: float32 N×4 around what is visible of each object; without area where nothing is.
        visible: float32 N, share of each object's own area that is visible, 0..1.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    visible: NDArray[np.float32]


def draw(scene: Scene) -> Drawing:
    """Draw a scene, with smooth edges and a little noise.

    A side of a box lies on the outline of its object, except where that part of the outline is hidden or outside: there
    it lies on the last visible pixel.
    """
    height, width = scene.size
    if len(scene.objects) > MAX_OBJECTS:
        raise ValueError(f"a scene holds up to {MAX_OBJECTS} objects, got {len(scene.objects)}")
    image = scene.background.copy()
    plane = np.zeros((height, width), dtype=np.uint8)  # the number of the object in front, from 1
    outlines = [item.outlines() for item in scene.objects]
    for number, (item, outline) in enumerate(zip(scene.objects, outlines, strict=True), start=1):
        fixed = [np.round((points - 0.5) * 2**_SHIFT).astype(np.int32) for points in outline]
        cv2.fillPoly(image, fixed, item.colour, lineType=cv2.LINE_AA, shift=_SHIFT)
        if item.edge is not None:
            cv2.polylines(image, fixed, True, item.edge, 1, lineType=cv2.LINE_AA, shift=_SHIFT)
        cv2.fillPoly(plane, fixed, (number,), lineType=cv2.LINE_8, shift=_SHIFT)
    top, left = scene.noise
    more, less = (noise[top : top + height, left : left + width] for noise in _noise(scene.size))
    cv2.subtract(cv2.add(image, more, dst=image), less, dst=image)

    boxes, visible = np.zeros((len(outlines), 4)), np.zeros(len(outlines))
    for row, outline in enumerate(outlines):
        seen, count = _extent(plane, row + 1, outline[0])
        if count:
            sides = np.concatenate([outline[0].min(axis=0), outline[0].max(axis=0)]).clip(0, [width, height] * 2)
            boxes[row] = np.where(np.abs(sides - seen) < 1.5, sides, seen)
            visible[row] = count / max(1.0, _enclosed(outline))
    return Drawing(image, boxes.astype(np.float32), visible.clip(0, 1).astype(np.float32))


def random_scene(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    objects: tuple[int, int],
    object_size: tuple[float, float],
    shapes: Sequence[str],
) -> Scene:
    """A scene of random objects on a random background with clutter.

    Args:
        rng: the only source of chance.
        size: (height, width).
        objects: fewest and most.
        object_size: smallest and largest diameter, in shorter sides of the picture; spread evenly over the logarithm.
        shapes: to choose from, each as likely.
    """
    background = random_background(rng, size)
    scene = Scene(size, background, noise=(int(rng.integers(NOISE_MARGIN)), int(rng.integers(NOISE_MARGIN))))
    for _ in range(int(rng.integers(objects[0], objects[1] + 1))):
        scene.objects.append(random_object(rng, scene, object_size=object_size, shapes=shapes))
    return scene


def random_object(
    rng: np.random.Generator, scene: Scene, *, object_size: tuple[float, float], shapes: Sequence[str]
) -> SceneObject:
    """An object that stands out from the background where it is put; its centre is inside the picture.

    Of two random places the one with the most room among the scene's objects is taken: overlaps happen, heaps seldom.
    """
    height, width = scene.size
    low, high = (math.log(share * min(height, width)) for share in object_size)
    diameter = math.exp(rng.uniform(low, high))
    places = rng.uniform(0.04, 0.96, (2, 2)) * [width, height]
    gaps = [min([_gap(place, diameter, other) for other in scene.objects], default=0.0) for place in places]
    x, y = (float(value) for value in places[int(np.argmax(gaps))])
    half = max(2, int(diameter / 3))
    around = scene.background[max(0, int(y) - half) : int(y) + half, max(0, int(x) - half) : int(x) + half]
    colour = _contrasting(rng, around.reshape(-1, 3).mean(axis=0))
    edge = None
    if rng.random() < 0.4:
        factor = rng.choice([0.5, 1.5])
        edge = _colour(np.array(colour) * factor)
    return SceneObject(
        shape=shapes[int(rng.integers(len(shapes)))],
        centre=(x, y),
        size=diameter,
        aspect=math.exp(rng.uniform(-0.15, 0.15)),
        angle=float(rng.uniform(0, 2 * math.pi)),
        colour=colour,
        edge=edge,
    )


def random_background(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Soft colours of one tone with texture, lines, curves and dots: nothing of it looks like one of SHAPES."""
    height, width = size
    tone = rng.uniform(60, 195) + rng.uniform(-45, 45, 3)
    cells = int(rng.integers(2, 9))
    coarse = tone + rng.normal(0, rng.uniform(5, 25), (cells, cells, 3))
    smooth = cv2.resize(coarse.clip(0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    image: NDArray[np.uint8] = smooth.astype(np.uint8, copy=False)
    side = min(height, width)

    def points(count: int) -> NDArray[np.int32]:
        return np.asarray(rng.uniform(-0.1, 1.1, (count, 2)) * [width, height] * 2**_SHIFT, dtype=np.int32)

    def shade() -> Colour:
        return _colour(tone + rng.normal(0, 45, 3))

    for _ in range(int(rng.integers(0, 6))):  # straight lines
        start, end = points(2).tolist()
        cv2.line(image, start, end, shade(), int(rng.integers(1, 4)), lineType=cv2.LINE_AA, shift=_SHIFT)
    for _ in range(int(rng.integers(0, 3))):  # long open curves
        (centre,) = points(1).tolist()
        axes = [int(value) for value in rng.uniform(0.4, 1.2, 2) * side * 2**_SHIFT]
        start = int(rng.integers(360))
        cv2.ellipse(image, centre, axes, 0, start, start + 100, shade(), 1, lineType=cv2.LINE_AA, shift=_SHIFT)
    for _ in range(int(rng.integers(0, 3))):  # scribbles
        scribble = rng.uniform(0, 1, 2) + rng.uniform(-0.1, 0.1, (4, 2))
        stroke = np.asarray(scribble * [width, height] * 2**_SHIFT, dtype=np.int32)
        cv2.polylines(image, [stroke], False, shade(), int(rng.integers(2, 5)), lineType=cv2.LINE_AA, shift=_SHIFT)
    count = int(rng.integers(0, 20))
    for centre in points(count).tolist():  # dots far smaller than any object
        cv2.circle(image, centre, int(rng.uniform(0.7, 2) * 2**_SHIFT), shade(), -1, lineType=cv2.LINE_AA, shift=_SHIFT)
    return image


@functools.cache
def _unit_outlines(shape: str) -> tuple[Points, ...]:
    """The outlines of a shape in the circle of radius 1 around 0."""

    def circle(radius: float, count: int = 48) -> Points:
        angles = np.arange(count) * 2 * np.pi / count
        return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius

    if shape == "disc":
        return (circle(0.9),)
    if shape == "ring":
        return circle(0.9), circle(0.5)
    if shape == "square":
        return (circle(1, 4),)
    if shape == "triangle":
        return (circle(1, 3),)
    if shape == "star":
        points = circle(1, 10)
        points[1::2] *= 0.42
        return (points,)
    if shape == "cross":
        arm, half = 0.95, 0.3
        corner = np.array([[arm, -half], [arm, half], [half, half]])
        quarter = np.array([[0, -1], [1, 0]])
        return (np.concatenate([corner @ np.linalg.matrix_power(quarter, turn).T for turn in range(4)]),)
    raise ValueError(f"unknown shape {shape!r}; expected one of {', '.join(SHAPES)}")


def _extent(plane: NDArray[np.uint8], number: int, outline: Points) -> tuple[tuple[int, int, int, int], int]:
    """x1 y1 x2 y2 around the pixels of an object in the plane, and their count."""
    left, top = (max(0, math.floor(value) - 1) for value in outline.min(axis=0))
    right, bottom = (math.ceil(value) + 1 for value in outline.max(axis=0))
    if right <= left or bottom <= top:
        return (0, 0, 0, 0), 0
    mask = (plane[top:bottom, left:right] == number).view(np.uint8)
    if mask.size == 0:
        return (0, 0, 0, 0), 0
    x, y, width, height = cv2.boundingRect(mask)
    return (left + x, top + y, left + x + width, top + y + height), cv2.countNonZero(mask)


def _enclosed(outlines: Sequence[Points]) -> float:
    """Area inside the first outline and outside the others (the shoelace formula)."""
    areas = []
    for points in outlines:
        after = np.roll(points, -1, axis=0)
        areas.append(abs(float(np.sum(points[:, 0] * after[:, 1] - points[:, 1] * after[:, 0]))) / 2)
    return areas[0] - sum(areas[1:])


def _gap(place: Points, diameter: float, other: SceneObject) -> float:
    """Room between an object at `place` and another; negative where their circles overlap, at most 0."""
    distance = math.hypot(place[0] - other.centre[0], place[1] - other.centre[1])
    return min(0.0, distance - (diameter + other.size) / 2)


def _contrasting(rng: np.random.Generator, behind: NDArray[np.float64]) -> Colour:
    """A random colour that differs from the one behind it."""
    candidates = rng.uniform(0, 255, (6, 3))
    distances = np.linalg.norm(candidates - behind, axis=1)
    far = np.flatnonzero(distances > 90)
    return _colour(candidates[far[0] if len(far) else int(np.argmax(distances))])


def _colour(values: NDArray[np.float64]) -> Colour:
    red, green, blue = (int(value) for value in values.clip(0, 255))
    return red, green, blue


@functools.lru_cache(maxsize=4)
def _noise(size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What is added to and taken from the pixels of a scene of this size, with a margin to shift it in."""
    height, width = size
    noise = np.random.default_rng(0).normal(0, 5, (height + NOISE_MARGIN, width + NOISE_MARGIN, 3))
    return noise.clip(0, 20).astype(np.uint8), (-noise).clip(0, 20).astype(np.uint8)
