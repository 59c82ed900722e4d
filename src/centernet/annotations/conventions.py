"""Conventions that a file's boxes seem to follow in place of those of its format, told by their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ENOUGH = 5  # boxes on the very same edge, and at least this share of all: more than chance
_SHARE = 0.01


def look_normalised(boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> str | None:
    """Return a sentence if all boxes are shares of their images instead of pixels; see `look_misnumbered`."""
    known = np.isfinite(boxes).all(axis=1)
    if not known.any() or not np.nanmax(sizes[known], initial=0) > 32:
        return None
    values = boxes[known]
    if values.min() < -0.01 or values.max() > 1.01 or (values[:, 2:] - values[:, :2]).max() <= 0:
        return None
    return f"all {len(values)} boxes lie in 0 .. 1: they look like shares of their images, and are read as pixels"


def look_misnumbered(boxes: NDArray[np.float64], sizes: NDArray[np.float64], *, first: int) -> str | None:
    """Return a sentence if many boxes touch the edges of their images one pixel away from where their format has it.

    Args:
        boxes: N×4, x1 y1 x2 y2 in whole pixels as the file numbers them; others are not judged.
        sizes: N×2, (height, width) of their images; NaN where unknown.
        first: the number that the format gives the first pixel. With 1 the last pixel is part of the box.
    """
    known = np.isfinite(boxes).all(axis=1) & np.isfinite(sizes).all(axis=1)
    low, high, limits = boxes[known, :2], boxes[known, 2:], sizes[known, ::-1]
    if not len(low) or (boxes[known] % 1).any():
        return None

    def many(flags: NDArray[Any]) -> int:
        rows = flags.any(axis=1)
        different = len(np.unique(boxes[known][rows], axis=0)) if rows.any() else 0
        return int(rows.sum()) if different >= _ENOUGH and rows.mean() >= _SHARE else 0

    before, after = "the first pixel of an image is", "the last pixel of an image is not in any box:"
    if first and (count := many(low == 0)) and (low >= 0).all():
        return f"{count} of {len(low)} boxes begin at 0, and the format counts from 1: {before} counted as 0 here"
    if not first and (count := many(low == 1)) and (low >= 1).all():
        return f"{count} of {len(low)} boxes begin at 1 and none at 0, where the format counts from: {before} 1 here"
    if not first and (count := many(high == limits - 1)) and (high < limits).all() and (low == 0).any():
        return f"{after} {count} of {len(low)} boxes end one pixel before the edge and none at it"
    return None
