"""Drawn scenes: objects of several shapes on a background with clutter, as a state that is drawn afterwards.

Lengths are pixels, coordinates are continuous (the centre of the first pixel is at .5, .5), colours are RGB.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

MAX_OBJECTS = 250  # a plane of bytes tells which object a pixel shows
_SHIFT = 4  # bits of a pixel's fraction that OpenCV draws with
_ROUND = (60, 90)  # frames from one place of rest to the next, with a meeting in between
_REST = (4, 13)  # frames that a meeting lasts
_LEAVES = 0.2  # how often an object goes on out of the image after a meeting
_SMOOTH = 9  # frames over which a path is averaged: nothing stops or turns at once


def _circle(count: int, begin: float = 0.0) -> Points:
    angles = begin + np.arange(count) * 2 * np.pi / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


_QUARTER = np.array([[0.95, -0.3], [0.95, 0.3], [0.3, 0.3]])  # of a cross: an arm and the corner behind it
_OUTLINES: dict[str, tuple[Points, ...]] = {  # in the circle of radius 1; the inside is where an odd number goes around
    "disc": (0.9 * _circle(48),),
    "square": (_circle(4),),
    "triangle": (_circle(3),),
    "star": (_circle(10) * np.where(np.arange(10) % 2, 0.42, 1)[:, None],),
    "cross": (np.concatenate([_QUARTER @ np.linalg.matrix_power([[0, 1], [-1, 0]], turn) for turn in range(4)]),),
    "ring": (0.9 * _circle(48), 0.5 * _circle(48)),
}
SHAPES = tuple(_OUTLINES)


class SceneObject(NamedTuple):
    """One object of a scene."""

    shape: str  # one of SHAPES
    centre: tuple[float, float]  # x, y
    size: float  # diameter of the circle around the shape
    aspect: float = 1.0  # width over height, before the shape is turned
    angle: float = 0.0  # in radians, clockwise
    colour: Sequence[float] = (255, 255, 255)
    edge: Sequence[float] | None = None  # colour of the outline
    identity: int = -1  # the same object in other scenes

    def outlines(self) -> list[Points]:
        """Return the closed outlines, M×2 (x, y) each, the outer one first."""
        stretch = np.array([math.sqrt(self.aspect), 1 / math.sqrt(self.aspect)]) * self.size / 2
        return [outline * stretch @ _circle(4, self.angle)[:2] + self.centre for outline in _OUTLINES[self.shape]]


class Scene(NamedTuple):
    """A background (uint8 H×W×3), up to MAX_OBJECTS objects from the back to the front, and the number of the noise."""

    background: NDArray[np.uint8]
    objects: Sequence[SceneObject] = ()
    noise: int = 0


class Style(NamedTuple):
    """Bounds of random scenes."""

    size: tuple[int, int]  # height, width
    shapes: tuple[str, ...]  # to choose from, each as likely
    objects: tuple[int, int]  # fewest, most
    object_size: tuple[float, float]  # smallest and largest diameter, in shorter sides; spread over the logarithm


def draw(scene: Scene, *, whole: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Draw a scene, with smooth edges and a little noise.

    Returns:
        The image, uint8 H×W×3; float32 N×4 boxes around what is visible of each object, or around the whole of it
        within the image (`whole`), all 0 where nothing is visible; and float32 N, the visible share of its own area.
        A side of a box lies on the object's outline, but on the last visible pixel where the outline is hidden.
    """
    height, width = scene.background.shape[:2]
    image, front = scene.background.copy(), np.zeros((height, width), np.uint8)  # front: an object's number, from 1
    outlines = [item.outlines() for item in scene.objects]
    for number, (item, outline) in enumerate(zip(scene.objects, outlines, strict=True), start=1):
        fixed = [fixed_points(points) for points in outline]
        cv2.fillPoly(image, fixed, item.colour, cv2.LINE_AA, _SHIFT)
        if item.edge is not None:
            cv2.polylines(image, fixed, True, item.edge, 1, cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(front, fixed, (number,), cv2.LINE_8, _SHIFT)
    add_noise(image, scene.noise)

    count = len(outlines)
    seen = np.reshape([cv2.boundingRect((front == n).view(np.uint8)) for n in range(1, count + 1)], (-1, 4))
    seen[:, 2:] += seen[:, :2]
    sides = np.reshape([[*outer.min(axis=0), *outer.max(axis=0)] for outer, *_ in outlines], (-1, 4))
    sides = sides.clip(0, [width, height] * 2)
    own = [[cv2.contourArea(points.astype(np.float32)) for points in outline] for outline in outlines]
    pixels = np.bincount(front.ravel(), minlength=count + 1)[1:]
    visible = np.minimum(1, pixels / [max(1, outer - sum(holes)) for outer, *holes in own])
    boxes = np.where(whole | (np.abs(sides - seen) < 1.5), sides, seen) * (pixels > 0)[:, None]
    return image, boxes.astype(np.float32), visible.astype(np.float32)


def random_scene(rng: np.random.Generator, style: Style) -> Scene:
    """Return random objects that stand out from a random background; their centres are inside the image."""
    background = random_background(rng, style.size)
    chosen: list[SceneObject] = []
    for _ in range(rng.integers(*style.objects, endpoint=True)):
        diameter = math.exp(rng.uniform(*np.log(style.object_size))) * min(style.size)
        places = rng.uniform(0.04, 0.96, (2, 2)) * style.size[::-1]
        gaps = [[math.dist(place, o.centre) - (diameter + o.size) / 2 for o in chosen] for place in places]
        x, y = places[np.min(gaps, axis=1, initial=0).argmax()]  # the roomier one: overlaps happen, heaps seldom
        half = max(2, int(diameter / 3))
        around = background[max(0, int(y) - half) : int(y) + half, max(0, int(x) - half) : int(x) + half]
        colours = rng.uniform(0, 255, (6, 3))
        distances = np.linalg.norm(colours - around.mean(axis=(0, 1)), axis=1)
        colour = colours[distances.clip(max=90).argmax()]  # the first that differs enough, or the farthest
        chosen.append(_random_object(rng, style.shapes, diameter, colour)._replace(centre=(x, y)))
    return Scene(background, chosen, int(rng.integers(2**16)))


@functools.lru_cache(maxsize=4)  # a loader that shuffles pays a little more for each frame, others once a video
def random_video(seed: tuple[int, ...], style: Style, identities: range, length: int, speed: float) -> list[Scene]:
    """Return the frames of a video in which objects come and go, meet, hide one another, and pass by or turn back.

    There is one object for each identity, all of about one size, in colours that are far apart. After a meeting their
    looks alone tell which of two is which: whether they crossed or turned back, they go on to the same two places.
    """
    rng = np.random.default_rng(seed)
    background = random_background(rng, style.size)
    diameter = math.exp(rng.uniform(*np.log(style.object_size))) * min(style.size)
    candidates = rng.uniform(0, 255, (16 * len(identities), 3))
    colours, items = [background.mean(axis=(0, 1))], []
    for identity in identities:
        nearest = np.linalg.norm(candidates[:, None] - colours, axis=2).min(axis=1)
        colours.append(candidates[nearest.argmax()])  # far from the background's and from those before
        item = _random_object(rng, style.shapes, diameter * rng.uniform(0.9, 1.1), colours[-1])
        items.append(item._replace(identity=identity))
    paths = _random_paths(rng, style.size, np.arange(length, dtype=np.float64) * speed, len(items), diameter)
    frames = ([item._replace(centre=(x, y)) for item, (x, y) in zip(items, places, strict=True)] for places in paths)
    return [Scene(background, objects, number) for number, objects in enumerate(frames)]


def _random_paths(
    rng: np.random.Generator, size: tuple[int, int], times: Points, count: int, diameter: float
) -> Points:
    """Return centres T×N×2: in each round pairs meet, rest, and go on or back; who has no partner goes anywhere."""
    sides = np.array(size[::-1], dtype=np.float64)
    margin = np.minimum(diameter / 2, sides / 2)
    columns = math.ceil(math.sqrt(count * sides[0] / sides[1]))
    rows = math.ceil(count / columns)
    cells = np.stack(np.divmod(rng.permutation(columns * rows)[:count], rows), axis=1)
    places = (cells + rng.uniform(0.25, 0.75, (count, 2))) * sides / [columns, rows]
    stops = [(np.zeros(count), places)]  # when each object is where, on straight ways in between
    while (now := stops[-1][0])[0] < times[-1] + _SMOOTH:
        partner = np.arange(count)
        pairs = rng.permutation(count)[: count // 2 * 2].reshape(-1, 2)
        partner[pairs] = pairs[:, ::-1]
        pair, alone = np.minimum(partner, np.arange(count)), partner == np.arange(count)
        goals = np.clip(places + rng.normal(0, diameter / 2, (count, 2)), margin, sides - margin)
        leaves = rng.random(count) < _LEAVES * (count > 1)
        goals[leaves, 0] = np.where(goals[leaves, 0] < sides[0] / 2, -diameter, sides[0] + diameter)
        goals[alone] = rng.uniform(margin, sides - margin)
        goals = np.where((rng.random(count) < 0.5)[pair, None], goals[partner], goals)
        halfway = (places + np.where(alone[:, None], goals, places[partner])) / 2
        halfway = np.clip(halfway + rng.normal(0, diameter / 2, (count, 2))[pair], margin, sides - margin)
        halfway += rng.uniform(-0.12, 0.12, (count, 2)) * diameter
        stop = now + rng.integers(*_ROUND)
        begin = now + (stop - now) * rng.uniform(0.35, 0.5, count)[pair]
        stops += [(begin, halfway), (begin + rng.integers(*_REST, count)[pair], halfway), (stop, goals)]
        places = goals
    when, where = (np.array(values) for values in zip(*stops, strict=True))
    frames = times[:, None] + np.arange(_SMOOTH)  # T×9: each time, and those that it is averaged with
    ways = [[np.interp(frames, when[:, n], axis).mean(axis=1) for axis in where[:, n].T] for n in range(count)]
    return np.array(ways).transpose(2, 0, 1)


def _random_object(rng: np.random.Generator, shapes: Sequence[str], size: float, colour: Points) -> SceneObject:
    """Return an object at (0, 0) with a random shape, outline, aspect and angle."""
    shape, aspect = shapes[int(rng.integers(len(shapes)))], math.exp(rng.uniform(-0.15, 0.15))
    edge = (colour * rng.choice([0.5, 1.5])).tolist() if rng.random() < 0.4 else None
    return SceneObject(shape, (0, 0), size, aspect, rng.uniform(0, 2 * math.pi), colour.tolist(), edge)


def random_background(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return soft colours of one tone with texture, lines, curves and dots. None of it looks like one of SHAPES."""
    tone = rng.uniform(60, 195) + rng.uniform(-45, 45, 3)
    cells = int(rng.integers(2, 9))
    coarse = (tone + rng.normal(0, rng.uniform(5, 25), (cells, cells, 3))).clip(0, 255).astype(np.uint8)
    image: NDArray[np.uint8] = np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)

    def places(count: int, low: float = -0.1, high: float = 1.1) -> Points:
        return rng.uniform(low, high, (count, 2)) * size[::-1]

    strokes: tuple[tuple[int, int, int, Callable[[], Points]], ...] = (  # most, widths, points of one
        (5, 1, 3, lambda: places(2)),  # straight lines
        (2, 1, 1, lambda: places(1) + rng.uniform(0.4, 1.2, 2) * min(size) * _circle(72, rng.uniform(0, 7))[:20]),
        (2, 2, 4, lambda: places(1, 0, 1) + places(4, -0.1, 0.1)),  # scribbles
        (19, 1, 4, lambda: places(1).repeat(2, axis=0)),  # dots far smaller than any object
    )
    for most, thin, thick, points in strokes:
        for _ in range(rng.integers(most, endpoint=True)):
            shade, thickness = (tone + rng.normal(0, 45, 3)).tolist(), int(rng.integers(thin, thick, endpoint=True))
            cv2.polylines(image, [fixed_points(points())], False, shade, thickness, cv2.LINE_AA, _SHIFT)
    return image


def fixed_points(points: Points) -> NDArray[np.int32]:
    """Return points as OpenCV takes them: fixed-point numbers, with the centre of the first pixel at 0."""
    return np.asarray(((points - 0.5) * 2**_SHIFT).round(), dtype=np.int32)


def add_noise(image: NDArray[np.uint8], number: int) -> None:
    """Add a little noise to an image, another for each number."""
    cv2.add(image, np.roll(_noise(*image.shape[:2]), 1483 * number), dst=image, dtype=cv2.CV_8U)


@functools.lru_cache(maxsize=4)
def _noise(height: int, width: int) -> NDArray[np.int16]:
    return np.random.default_rng(0).normal(0, 5, (height, width, 3)).clip(-20, 20).astype(np.int16)
