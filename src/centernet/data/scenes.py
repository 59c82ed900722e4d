"""Drawn scenes: objects of several shapes on a background with clutter, as a state that is drawn afterwards, so that
the same objects can be drawn again elsewhere (moving scenes).

Lengths are pixels, coordinates are continuous (the centre of the first pixel is at .5, .5), colours are RGB.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

Colour: TypeAlias = tuple[int, int, int]

_SHIFT = 4  # bits of a pixel's fraction that OpenCV draws with
NOISE_MARGIN = 64  # places, along each axis, where the noise of a scene may start
MAX_OBJECTS = 250  # a plane of bytes tells which object a pixel shows


def _circle(radius: float, count: int = 48) -> Points:
    angles = np.arange(count) * 2 * np.pi / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius


_TEN = np.where(np.arange(10) % 2, 0.42, 1)[:, None]
_QUARTER = np.array([[0.95, -0.3], [0.95, 0.3], [0.3, 0.3]])  # of a cross: an arm and the corner behind it
_OUTLINES: dict[str, tuple[Points, ...]] = {  # in the circle of radius 1; the inside is where an odd number goes around
    "disc": (_circle(0.9),),
    "square": (_circle(1, 4),),
    "triangle": (_circle(1, 3),),
    "star": (_circle(1, 10) * _TEN,),
    "cross": (np.concatenate([_QUARTER @ np.linalg.matrix_power([[0, 1], [-1, 0]], turn) for turn in range(4)]),),
    "ring": (_circle(0.9), _circle(0.5)),
}
SHAPES = tuple(_OUTLINES)


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
        """Return the closed outlines, M×2 (x, y) each; the inside is where an odd number of them goes around."""
        turn = np.array([[math.cos(self.angle), -math.sin(self.angle)], [math.sin(self.angle), math.cos(self.angle)]])
        stretch = np.diag([math.sqrt(self.aspect), 1 / math.sqrt(self.aspect)]) * self.size / 2
        return [outline @ (turn @ stretch).T + self.centre for outline in _OUTLINES[self.shape]]


class Scene(NamedTuple):
    """A background (uint8 H×W×3), its objects from the back to the front, and the (row, column) below NOISE_MARGIN
    where the scene begins in a plane of noise."""

    background: NDArray[np.uint8]
    objects: Sequence[SceneObject] = ()
    noise: tuple[int, int] = (0, 0)


class Drawing(NamedTuple):
    """A drawn scene: uint8 H×W×3; float32 N×4 boxes around what is visible of each object, without area where nothing
    is; and float32 N, the share of each object's own area that is visible, 0..1."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    visible: NDArray[np.float32]


def draw(scene: Scene) -> Drawing:
    """Draw a scene, with smooth edges and a little noise.

    A side of a box lies on the outline of its object, except where that part of the outline is hidden or outside: there
    it lies on the last visible pixel.
    """
    height, width = scene.background.shape[:2]
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
    more, less = (noise[top : top + height, left : left + width] for noise in _noise((height, width)))
    cv2.subtract(cv2.add(image, more, dst=image), less, dst=image)

    boxes, visible = np.zeros((len(outlines), 4), np.float32), np.zeros(len(outlines), np.float32)
    for row, outline in enumerate(outlines):
        mask = (plane == row + 1).view(np.uint8)
        if count := cv2.countNonZero(mask):
            x, y, across, down = cv2.boundingRect(mask)
            seen = np.array([x, y, x + across, y + down])
            sides = np.concatenate([outline[0].min(axis=0), outline[0].max(axis=0)]).clip(0, [width, height] * 2)
            boxes[row] = np.where(np.abs(sides - seen) < 1.5, sides, seen)
            area, *holes = (cv2.contourArea(points.astype(np.float32)) for points in outline)
            visible[row] = min(1.0, count / max(1.0, area - sum(holes)))
    return Drawing(image, boxes, visible)


def random_scene(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    objects: tuple[int, int],
    object_size: tuple[float, float],
    shapes: Sequence[str],
) -> Scene:
    """Return random objects that stand out from a random background; their centres are inside the image.

    Args:
        rng: the only source of chance.
        size: (height, width).
        objects: fewest and most.
        object_size: smallest and largest diameter, in shorter sides of the image; spread evenly over the logarithm.
        shapes: to choose from, each as likely.
    """
    background = random_background(rng, size)
    noise = int(rng.integers(NOISE_MARGIN)), int(rng.integers(NOISE_MARGIN))
    chosen: list[SceneObject] = []
    for _ in range(int(rng.integers(objects[0], objects[1] + 1))):
        low, high = (math.log(share * min(size)) for share in object_size)
        diameter = math.exp(rng.uniform(low, high))
        x, y = _roomier_place(rng, size, diameter, chosen)
        half = max(2, int(diameter / 3))
        around = background[max(0, int(y) - half) : int(y) + half, max(0, int(x) - half) : int(x) + half]
        colours = rng.uniform(0, 255, (6, 3))
        distances = np.linalg.norm(colours - around.reshape(-1, 3).mean(axis=0), axis=1)
        colour = colours[int(np.argmax(distances.clip(max=90)))]  # the first that differs enough, or the farthest
        chosen.append(random_object(rng, (x, y), diameter, to_colour(colour), shapes))
    return Scene(background, chosen, noise)


def random_object(
    rng: np.random.Generator, centre: tuple[float, float], size: float, colour: Colour, shapes: Sequence[str]
) -> SceneObject:
    """Return an object with a random shape, outline, aspect and angle."""
    edge = to_colour(np.array(colour) * rng.choice([0.5, 1.5])) if rng.random() < 0.4 else None
    shape = shapes[int(rng.integers(len(shapes)))]
    aspect, angle = math.exp(rng.uniform(-0.15, 0.15)), float(rng.uniform(0, 2 * math.pi))
    return SceneObject(shape, centre, size, aspect, angle, colour, edge)


def random_background(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return soft colours of one tone with texture, lines, curves and dots. None of it looks like one of SHAPES."""
    height, width = size
    tone = rng.uniform(60, 195) + rng.uniform(-45, 45, 3)
    cells = int(rng.integers(2, 9))
    coarse = tone + rng.normal(0, rng.uniform(5, 25), (cells, cells, 3))
    smooth = cv2.resize(coarse.clip(0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    image: NDArray[np.uint8] = smooth.astype(np.uint8, copy=False)
    fine = {"lineType": cv2.LINE_AA, "shift": _SHIFT}

    def fixed(shares: Points) -> NDArray[np.int32]:
        return np.asarray(shares * [width, height] * 2**_SHIFT, dtype=np.int32)

    def points(count: int) -> Any:
        return fixed(rng.uniform(-0.1, 1.1, (count, 2))).tolist()

    def shade() -> Colour:
        return to_colour(tone + rng.normal(0, 45, 3))

    for _ in range(int(rng.integers(0, 6))):  # straight lines
        start, end = points(2)
        cv2.line(image, start, end, shade(), int(rng.integers(1, 4)), **fine)
    for _ in range(int(rng.integers(0, 3))):  # long open curves
        (centre,) = points(1)
        axes = [int(value) for value in rng.uniform(0.4, 1.2, 2) * min(size) * 2**_SHIFT]
        begin = int(rng.integers(360))
        cv2.ellipse(image, centre, axes, 0, begin, begin + 100, shade(), 1, **fine)
    for _ in range(int(rng.integers(0, 3))):  # scribbles
        stroke = fixed(rng.uniform(0, 1, 2) + rng.uniform(-0.1, 0.1, (4, 2)))
        cv2.polylines(image, [stroke], False, shade(), int(rng.integers(2, 5)), **fine)
    for centre in points(int(rng.integers(0, 20))):  # dots far smaller than any object
        cv2.circle(image, centre, int(rng.uniform(0.7, 2) * 2**_SHIFT), shade(), -1, **fine)
    return image


def to_colour(values: NDArray[np.float64]) -> Colour:
    """Return whole numbers within 0..255."""
    red, green, blue = (int(value) for value in values.clip(0, 255))
    return red, green, blue


def _roomier_place(
    rng: np.random.Generator, size: tuple[int, int], diameter: float, others: Sequence[SceneObject]
) -> tuple[float, float]:
    """Return of two random places the one with more room among the others: overlaps happen, heaps seldom."""
    places = rng.uniform(0.04, 0.96, (2, 2)) * [size[1], size[0]]
    gaps = [
        min((math.dist(place, other.centre) - (diameter + other.size) / 2 for other in others), default=0.0)
        for place in places
    ]
    x, y = places[int(np.argmax(np.minimum(gaps, 0)))].tolist()
    return x, y


@functools.lru_cache(maxsize=4)
def _noise(size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return what is added to and taken from the pixels of a scene of this size, with a margin to shift it in."""
    height, width = size
    noise = np.random.default_rng(0).normal(0, 5, (height + NOISE_MARGIN, width + NOISE_MARGIN, 3))
    return noise.clip(0, 20).astype(np.uint8), (-noise).clip(0, 20).astype(np.uint8)
