"""Scenes that move: objects with constant looks that come and go, meet, hide one another, and pass by or turn back.

After a meeting it cannot be told from places and speeds alone which of the two is which: both go on to the same two
places whether they crossed or turned back, and while they met one was hidden. Their looks tell.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .scenes import NOISE_MARGIN, Scene, SceneObject, random_background, random_object, to_colour

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

_ROUND = (60, 90)  # frames from one place of rest to the next, with a meeting in between
_REST = (4, 13)  # frames that a meeting lasts
_LEAVES = 0.2  # how often an object goes on out of the image after a meeting
_SMOOTH = 9  # frames over which a path is averaged: nothing stops or turns at once


class MovingScene(NamedTuple):
    """A background (uint8 H×W×3), the objects from the back to the front, and float64 T×N×2 paths: the centre (x, y) of
    each object in each frame, outside of the image while it is away."""

    background: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]
    paths: Points

    def frame(self, number: int) -> Scene:
        """Return the scene of frame `number`, from 0."""
        places = self.paths[number].tolist()
        objects = [replace(item, centre=(x, y)) for item, (x, y) in zip(self.objects, places, strict=True)]
        return Scene(self.background, objects, (37 * number % NOISE_MARGIN, 23 * number % NOISE_MARGIN))


@functools.lru_cache(maxsize=4)  # a loader that shuffles pays a little more for each frame, others once a video
def random_moving_scene(
    seed: tuple[int, ...],
    size: tuple[int, int],
    *,
    length: int,
    speed: float,
    identities: range,
    object_size: tuple[float, float],
    shapes: tuple[str, ...],
) -> MovingScene:
    """Return a sequence of random objects of about one size, whose colours are far apart.

    Args:
        seed: of all chance.
        size: (height, width).
        length: frames.
        speed: how fast time passes; 1 is moderate.
        identities: of the objects, those that are away counted too.
        object_size: smallest and largest diameter, in shorter sides of the image; one is drawn for all objects, which
            differ from it by a tenth at most.
        shapes: to choose from, each as likely.
    """
    rng = np.random.default_rng(seed)
    background = random_background(rng, size)
    diameter = math.exp(rng.uniform(*np.log(object_size))) * min(size)
    candidates = rng.uniform(0, 255, (16 * len(identities), 3))
    colours = [background.reshape(-1, 3).mean(axis=0)]
    while len(colours) <= len(identities):  # far from the background's and from those before
        nearest = np.linalg.norm(candidates[:, None] - np.array(colours), axis=2).min(axis=1)
        colours.append(candidates[int(np.argmax(nearest))])
    items = tuple(
        replace(random_object(rng, (0.0, 0.0), diameter * rng.uniform(0.9, 1.1), to_colour(colour), shapes), identity=i)
        for i, colour in zip(identities, colours[1:], strict=True)
    )
    paths = _random_paths(rng, size, math.ceil((length - 1) * speed) + 1, len(identities), diameter)
    times = np.arange(length) * speed
    before = np.minimum(times.astype(int), max(len(paths) - 2, 0))
    share = (times - before)[:, None, None]
    after = np.minimum(before + 1, len(paths) - 1)
    return MovingScene(background, items, paths[before] * (1 - share) + paths[after] * share)


def _random_paths(
    rng: np.random.Generator, size: tuple[int, int], length: int, objects: int, diameter: float
) -> Points:
    """Return centres T×N×2: in each round pairs meet halfway, rest, and go on to each other's place or back to their
    own; who has no partner goes anywhere."""
    sides = np.array(size[::-1], dtype=np.float64)
    margin = np.minimum(diameter / 2, sides / 2)
    rows = max(1, round(math.sqrt(objects * size[0] / size[1])))
    columns = math.ceil(objects / rows)
    cells = np.stack(np.divmod(rng.permutation(rows * columns)[:objects], columns)[::-1], axis=1)
    places = (cells + rng.uniform(0.25, 0.75, (objects, 2))) * sides / [columns, rows]
    times, stops = [np.zeros(objects)], [places]  # of each object, on straight ways in between
    while times[-1][0] < length + _SMOOTH:
        order = rng.permutation(objects)
        first, second, alone = np.split(order, [objects // 2, objects // 2 * 2])
        goals = np.clip(places + rng.normal(0, diameter / 2, places.shape), margin, sides - margin)
        leaves = rng.random(objects) < _LEAVES * (objects > 1)
        goals[leaves, 0] = np.where(goals[leaves, 0] < sides[0] / 2, -diameter, sides[0] + diameter)
        goals[alone] = rng.uniform(margin, sides - margin)
        crossing = rng.random(len(first)) < 0.5
        goals[first[crossing]], goals[second[crossing]] = goals[second[crossing]], goals[first[crossing]]
        halfway = (places + goals) / 2
        halfway[first] = halfway[second] = np.clip(
            (places[first] + places[second] + rng.normal(0, diameter, (len(first), 2))) / 2, margin, sides - margin
        )
        halfway += rng.uniform(-0.12, 0.12, halfway.shape) * diameter
        stop = times[-1] + rng.integers(*_ROUND)
        begin = times[-1] + (stop - times[-1]) * rng.uniform(0.35, 0.5, objects)
        begin[second] = begin[first]
        end = begin + rng.integers(*_REST, objects)
        end[second] = end[first]
        times += [begin, end, stop]
        stops += [halfway, halfway, goals]
        places = goals
    frames, average = np.arange(length + _SMOOTH - 1), np.full(_SMOOTH, 1 / _SMOOTH)
    when, where = np.array(times), np.array(stops)
    ways = [
        [np.convolve(np.interp(frames, when[:, n], where[:, n, axis]), average, mode="valid") for n in range(objects)]
        for axis in (0, 1)
    ]
    return np.array(ways).transpose(2, 1, 0)
