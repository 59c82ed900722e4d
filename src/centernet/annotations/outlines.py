"""Boxes around outlines: polygons and run-length encoded masks as COCO's `segmentation` has them, turned rectangles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from .text import number

Box: TypeAlias = tuple[float, float, float, float]


def outline_box(segmentation: Any) -> Box:
    """Return ``x1 y1 x2 y2`` of the box around an outline.

    Args:
        segmentation: polygons ``[x1, y1, x2, y2, …]``, one or a list of them (points ``[x, y]`` are taken too), or a
            mask ``{"size": [height, width], "counts": …}`` whose counts are a list or COCO's compressed text.

    Raises:
        ValueError: it is none of these, or has no area that could be found.
    """
    if isinstance(segmentation, dict):
        return _mask_box(segmentation.get("size"), segmentation.get("counts"))
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("its segmentation is no polygon and no mask")
    parts = segmentation if isinstance(segmentation[0], (list, dict)) else [segmentation]
    if len(parts) > 2 and all(isinstance(part, list) and len(part) == 2 for part in parts):
        parts = [parts]  # one polygon, of points
    boxes = [outline_box(part) if isinstance(part, dict) else _polygon_box(part) for part in parts]
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return min(x1), min(y1), max(x2), max(y2)


def _polygon_box(values: Any) -> Box:
    if isinstance(values, list) and values and all(isinstance(value, list) and len(value) == 2 for value in values):
        values = [coordinate for point in values for coordinate in point]
    if not isinstance(values, list) or len(values) < 6 or len(values) % 2:
        raise ValueError(f"a polygon has three points or more, x and y of each, got {values!r:.60}")
    try:
        numbers = [number(value) if isinstance(value, str) else float(value) for value in values]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"a polygon's points are numbers, got {values!r:.60}") from error
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a polygon's points are finite numbers")
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def turned_box(x: float, y: float, width: float, height: float, angle: float) -> Box:
    """Return the upright box around a rectangle that is turned by `angle` (in radians) about its centre (x, y)."""
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    across, down = (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2
    return x - across, y - down, x + across, y + down


def _mask_box(size: Any, counts: Any) -> Box:
    """Return the box around a mask: its runs go down the columns, the first is of background."""
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int and 0 < n < 2**31 for n in size)):
        raise ValueError(f"a mask has its size as [height, width], got {size!r:.60}")
    height, pixels = size[0], size[0] * size[1]
    runs = _decompress(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and 0 <= run <= pixels for run in runs):
        raise ValueError(f"a mask's counts are lengths of runs, got {counts!r:.60}")
    ends = np.cumsum(np.array([0, *runs], dtype=np.int64))
    if ends[-1] != pixels:
        raise ValueError(f"a mask's runs fill it, got {ends[-1]} of {size[0]}×{size[1]} pixels (height×width)")
    first, last = ends[1:-1:2], ends[2::2] - 1
    first, last = first[last >= first], last[last >= first]
    if not len(first):
        raise ValueError("its mask is empty")
    left, right = first // height, last // height
    top, bottom = np.where(left < right, 0, first % height), np.where(left < right, height - 1, last % height)
    return float(left.min()), float(top.min()), float(right.max() + 1), float(bottom.max() + 1)


def _decompress(text: str) -> Sequence[int]:
    """Return the runs of COCO's compressed text: five bits a character, the sixth says that the number goes on.

    From the fourth number on each is the difference to the last but one (pycocotools, rleFrString).
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("a mask's counts are no compressed text of COCO")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        value -= (1 << shift) if bits & 16 else 0
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("a mask's counts are cut off")
    return runs
