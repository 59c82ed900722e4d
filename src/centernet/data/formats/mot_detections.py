"""Detections as MOTChallenge gives them out beside its sequences, to track without a detector of one's own."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...detections import Detections
from ..sample import DataError, DataWarning
from .reading import Reports, describe_problems, number, table, whole


def read_mot_detections(
    path: str | os.PathLike[str], *, class_names: Sequence[str] = ("pedestrian",), strict: bool = False
) -> dict[int, Detections]:
    """The detections of a ``det.txt``, by the number of the frame, best first.

    A row is: frame, -1, left, top, width, height, score, and up to three further columns, in any order. Boxes come out
    as ``x1 y1 x2 y2`` (x1 = left - 1), unclipped; scores as they are, which may be any numbers. All have the label 0.

    Args:
        path: of the file.
        class_names: passed on; the first is the class of all boxes.
        strict: a row that is wrong is an error, instead of being left out and named in a warning.

    Returns:
        Frames that have no row are not in it.

    Raises:
        DataError: the file cannot be opened; with `strict` a row that is wrong.
    """
    path = Path(path)
    report = Reports(strict=strict)
    frames: dict[int, list[list[float]]] = {}
    try:
        table_rows = list(table(path, ",", {7, 8, 9, 10}, report))
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror})") from error
    for line, fields in table_rows:
        try:
            frame = whole(fields[0])
            left, top, width, height, score = map(number, fields[2:7])
        except ValueError:
            report(path, "bad-row", f"line {line}: {','.join(fields):.100} is no row of numbers; it is left out")
            continue
        if not all(map(math.isfinite, (left, top, width, height, score))) or min(width, height) <= 0:
            text = f"line {line}: the box {left:g} {top:g} {width:g} {height:g} (left top width height) is left out"
            report(path, "bad-box", text)
            continue
        x1, y1 = left - 1, top - 1
        frames.setdefault(frame, []).append([score, x1, y1, x1 + width, y1 + height])
    if report.found:
        warnings.warn("\n".join([f"{path}:", *describe_problems(report.found, 5)]), DataWarning, stacklevel=2)
    result = {}
    for frame in sorted(frames):
        values = np.array(frames[frame])
        values = values[np.argsort(-values[:, 0], kind="stable")]
        labels = np.zeros(len(values), dtype=np.int64)
        result[frame] = Detections(values[:, 1:], labels, values[:, 0], class_names=tuple(class_names))
    return result
