"""Charts as lines and ticks in the units of an SVG: the page's template draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 360.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 8.0, 8.0, 34.0
COLOURS = ("#4c7ee0", "#e0762d", "#2f9e62", "#c2405a", "#8a5fd0", "#8c8c2a", "#2a9aa8", "#a86a4a", "#d05fb0", "#6b7684")
_MOST_POINTS = 400


class Line(NamedTuple):
    """A line: its name, colour and points, as an SVG's polyline has them."""

    name: str
    colour: str
    points: str
    alone: tuple[float, float] | None  # the only point


class Chart(NamedTuple):
    """A chart with its ticks: place along the axis, and text."""

    title: str
    across: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    diagonal: str  # points of a line from corner to corner, or nothing


def chart(
    title: str,
    across: str,
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x: tuple[float, float] | None = None,
    y: tuple[float, float] | None = None,
    diagonal: bool = False,
) -> Chart | None:
    """Lay out lines, x and y by name; None where there is nothing to draw. Values that are not finite are left out."""
    kept = {}
    for name, (xs, ys) in series.items():
        points = [(a, b) for a, b in zip(xs, ys, strict=True) if math.isfinite(a) and math.isfinite(b)]
        if points:
            kept[name] = points[:: max(1, len(points) // _MOST_POINTS)]
    if not kept:
        return None
    across_range = x or _range([a for points in kept.values() for a, _ in points])
    up_range = y or _range([b for points in kept.values() for _, b in points])
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def place(a: float, b: float) -> tuple[float, float]:
        share_x = (a - across_range[0]) / (across_range[1] - across_range[0])
        share_y = (b - up_range[0]) / (up_range[1] - up_range[0])
        return round(_LEFT + share_x * (right - _LEFT), 1), round(bottom - share_y * (bottom - _TOP), 1)

    lines = []
    for number, (name, points) in enumerate(kept.items()):
        placed = [place(*point) for point in points]
        text = " ".join(f"{a},{b}" for a, b in placed)
        lines.append(Line(name, COLOURS[number % len(COLOURS)], text, placed[0] if len(placed) == 1 else None))
    x_ticks = [(place(value, up_range[0])[0], _number(value)) for value in _ticks(*across_range)]
    y_ticks = [(place(across_range[0], value)[1], _number(value)) for value in _ticks(*up_range)]
    corners = f"{_LEFT},{bottom} {right},{_TOP}" if diagonal else ""
    return Chart(title, across, lines, x_ticks, y_ticks, corners)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        return low - 0.5, high + 0.5
    room = 0.04 * (high - low)
    return low - (0 if low == 0 else room), high + room


def _ticks(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (times * step) <= 6)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e5 else f"{value:.1e}"
