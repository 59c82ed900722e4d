"""Boxes around shapes: ``x1 y1 x2 y2`` of points, turned rectangles and ellipses. Angles are in degrees, clockwise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Box: TypeAlias = tuple[float, float, float, float]


def around(points: Iterable[Sequence[float]]) -> Box:
    """Return the box around points, each x and y."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def around_turned(box: Sequence[float], degrees: float, pivot: Sequence[float] | None = None) -> Box:
    """Return the box around a rectangle that is turned about a point, its centre where none is given."""
    x1, y1, x2, y2 = box
    if not degrees:
        return x1, y1, x2, y2
    x, y = ((x1 + x2) / 2, (y1 + y2) / 2) if pivot is None else pivot
    cos, sin = _cos_sin(degrees)
    corners = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    return around((x + (u - x) * cos - (v - y) * sin, y + (u - x) * sin + (v - y) * cos) for u, v in corners)


def around_ellipse(centre: Sequence[float], radii: Sequence[float], degrees: float) -> Box:
    """Return the box around an ellipse that is turned about its centre."""
    (x, y), (rx, ry), (cos, sin) = centre, radii, _cos_sin(degrees)
    half_width, half_height = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    return x - half_width, y - half_height, x + half_width, y + half_height


def _cos_sin(degrees: float) -> tuple[float, float]:
    """Cosine and sine, exact for right angles."""
    quarter, rest = divmod(degrees, 90)
    if rest == 0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarter) % 4]
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
