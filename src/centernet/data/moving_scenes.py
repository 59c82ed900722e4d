"""Scenes that move: objects with constant looks that come and go, meet, hide one another, and pass by or turn back.

After a meeting it cannot be told from places and speeds alone which of the two is which: both go on to the same two
places whether they crossed or turned back, and while they met one was hidden. Their looks tell.

All lengths are pixels, times are frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .scenes import NOISE_MARGIN, Colour, Scene, SceneObject, random_background

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

_ROUND = (60, 90)  # frames from one place of rest to the next, with a meeting in between
_REST = (4, 13)  # frames that a meeting lasts
_LEAVES = 0.2  # how often an object goes on out of the picture after a meeting
_SMOOTH = 9  # frames over which a path is averaged: nothing stops or turns at once


@dataclass(frozen=True)
class MovingScene:
    """A sequence, to be drawn frame by frame.

    Attributes:
        size: (height, width).
        background: uint8 H×W×3, the same in all frames.
        objects: from the back to the front; identities count from 0.
        paths: float64 T×N×2, the centre of each object in each frame; outside of the picture while it is away.
    """

    size: tuple[int, int]
    background: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]
    paths: Points

    def __len__(self) -> int:
        return len(self.paths)

    def frame(self, number: int) -> Scene:
        """The scene of frame `number`, from 0."""
        places = self.paths[number].tolist()
        objects = [replace(item, centre=(x, y)) for item, (x, y) in zip(self.objects, places, strict=True)]
        return Scene(
            self.size, self.background, objects, noise=(37 * number % NOISE_MARGIN, 23 * number % NOISE_MARGIN)
        )


def random_moving_scene(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    length: int,
    speed: float,
    objects: int,
    object_size: tuple[float, float],
    shapes: Sequence[str],
) -> MovingScene:
    """A sequence of random objects of about one size, whose colours are far apart.

    Args:
        rng: the only source of chance.
        size: (height, width).
        length: frames.
        speed: how fast time passes; 1 is moderate.
        objects: how many there are, those that are away counted too.
        object_size: smallest and largest diameter, in shorter sides of the picture; one is drawn for all objects, which
            differ from it by a tenth at most.
        shapes: to choose from, each as likely.
    """
    background = random_background(rng, size)
    diameter = math.exp(rng.uniform(*np.log(object_size))) * min(size)
    colours = _distant_colours(rng, objects, background.reshape(-1, 3).mean(axis=0))
    items = tuple(
        SceneObject(
            shape=shapes[int(rng.integers(len(shapes)))],
            centre=(0.0, 0.0),
            size=diameter * rng.uniform(0.9, 1.1),
            aspect=math.exp(rng.uniform(-0.15, 0.15)),
            angle=float(rng.uniform(0, 2 * math.pi)),
            colour=colour,
            edge=None if rng.random() < 0.6 else _shaded(colour, float(rng.choice([0.5, 1.5]))),
            identity=identity,
        )
        for identity, colour in enumerate(colours)
    )
    paths = _paths(rng, size, math.ceil((length - 1) * speed) + 1, objects, diameter)
    times = np.arange(length) * speed
    before = np.minimum(times.astype(int), max(len(paths) - 2, 0))
    share = (times - before)[:, None, None]
    after = np.minimum(before + 1, len(paths) - 1)
    return MovingScene(size, background, items, paths[before] * (1 - share) + paths[after] * share)


def _paths(rng: np.random.Generator, size: tuple[int, int], length: int, objects: int, diameter: float) -> Points:
    """Centres T×N×2: in each round pairs meet halfway, rest, and go on to each other's place or back to their own."""
    places = _apart(rng, size, objects)
    if objects > 1:
        away = rng.random(objects) < _LEAVES
        places[away] = _beyond(places[away], np.array(size[::-1]) / 2, size, diameter)
    times: list[list[float]] = [[0.0] for _ in range(objects)]
    points: list[list[Points]] = [[place] for place in places]

    def go(number: int, time: float, point: Points) -> None:
        times[number].append(time)
        points[number].append(point)

    start = 0.0
    while start < length + _SMOOTH:
        stop = start + rng.integers(*_ROUND)
        pairs, meetings = _meetings(rng, places, size, diameter)
        for (a, b), meeting in zip(pairs.tolist(), meetings, strict=True):
            begin = start + (stop - start) * rng.uniform(0.35, 0.5)
            end = begin + rng.integers(*_REST)
            homes = (places[a], places[b]) if rng.random() < 0.5 else (places[b], places[a])
            for number, home in zip((a, b), homes, strict=True):
                beside = meeting + rng.uniform(-0.12, 0.12, 2) * diameter
                goal = _inside(home + rng.normal(0, diameter / 2, 2), size, diameter)
                if rng.random() < _LEAVES:
                    goal = _beyond(goal[None], meeting, size, diameter)[0]
                for time, point in ((begin, beside), (end, beside), (stop, goal)):
                    go(number, time, point)
        for alone in set(range(objects)) - set(pairs.flat):
            go(alone, stop, _apart(rng, size, objects)[0])
        places = np.array([track[-1] for track in points])
        start = stop
    frames = np.arange(length + _SMOOTH - 1)
    paths = np.empty((length, objects, 2))
    for number in range(objects):
        for axis, values in enumerate(np.array(points[number]).T):
            straight = np.interp(frames, times[number], values)
            paths[:, number, axis] = np.convolve(straight, np.full(_SMOOTH, 1 / _SMOOTH), mode="valid")
    return paths


def _meetings(rng: np.random.Generator, places: Points, size: tuple[int, int], diameter: float) -> tuple[Any, Points]:
    """Who meets whom, int64 P×2, and where, P×2: of some ways to pair them the one with most room between meetings."""
    count = len(places) // 2
    best, most = (np.zeros((0, 2), dtype=np.int64), np.zeros((0, 2))), -1.0
    for _ in range(4 if count else 0):
        pairs = rng.permutation(len(places))[: 2 * count].reshape(count, 2)
        meetings = _inside(places[pairs].mean(axis=1) + rng.normal(0, diameter / 2, (count, 2)), size, diameter)
        apart = np.linalg.norm(meetings[:, None] - meetings[None], axis=2) + np.where(np.eye(count), np.inf, 0)
        if apart.min() > most:
            best, most = (pairs, meetings), float(apart.min())
    return best


def _apart(rng: np.random.Generator, size: tuple[int, int], count: int) -> Points:
    """Random places N×2, one to a cell of a grid over the picture."""
    columns = math.ceil(math.sqrt(count * size[1] / size[0]))
    rows = math.ceil(count / columns)
    cells = rng.permutation(rows * columns)[:count]
    corner = np.stack([cells % columns, cells // columns], axis=1)
    shares: Points = (corner + rng.uniform(0.25, 0.75, (count, 2))) / [columns, rows]
    return shares * [size[1], size[0]]


def _inside(places: Points, size: tuple[int, int], diameter: float) -> Points:
    """The nearest places …×2 where an object is in the picture, most of it at least."""
    margin = np.minimum(diameter / 2, np.array(size[::-1]) / 2)
    inside: Points = np.clip(places, margin, np.array(size[::-1]) - margin)
    return inside


def _beyond(places: Points, origin: Points, size: tuple[int, int], diameter: float) -> Points:
    """Places N×2 outside of the picture, where the ways from the origin through the given ones lead."""
    directions = places - origin
    directions[np.abs(directions).max(axis=1) < 1] = [1, 0]
    limits = np.array(size[::-1]) + diameter
    with np.errstate(divide="ignore"):
        ways = np.where(directions > 0, (limits - origin) / directions, (-diameter - origin) / directions)
    outside: Points = origin + directions * np.where(directions == 0, np.inf, ways).min(axis=1)[:, None]
    return outside


def _distant_colours(rng: np.random.Generator, count: int, background: NDArray[np.float64]) -> list[Colour]:
    """Random colours, each far from the background's and from those before it."""
    candidates = rng.uniform(0, 255, (16 * count, 3))
    chosen = [background]
    nearest = np.full(len(candidates), np.inf)
    for _ in range(count):
        nearest = np.minimum(nearest, np.linalg.norm(candidates - chosen[-1], axis=1))
        chosen.append(candidates[int(np.argmax(nearest))])
    return [(int(red), int(green), int(blue)) for red, green, blue in chosen[1:]]


def _shaded(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, int(value * factor)) for value in colour)
    return red, green, blue
