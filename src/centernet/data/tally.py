"""The figures of a data set, and the boxes that it has twice, counted on its columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .. import boxes as box_ops
from ..annotations.problems import Problem
from ..images import Preprocessing
from .columns import Columns
from .sample import Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS = (1, 2, 4, 8, 16, 32)
"""Between the bins of `Tally.cells`: the shorter side of a box in cells of the output grid."""
TINY = 1.5
"""Pixels of the image: a box with both sides below it is no object's, in these units."""

_EXAMPLES = 3


@dataclass(frozen=True)
class Tally:
    """Figures of a data set with C classes."""

    images: int  # samples that can be read
    empty: int  # of them, those without an object
    objects: Ints  # C
    ignored: Ints  # C + 1, boxes to ignore; the last are those of any class
    images_with: Ints  # C, samples with at least one object of the class
    cells: Ints  # C×7, objects by the shorter side of their boxes in cells of the output grid, see `CELLS`
    sharing: int  # objects whose centre cell another object of their image has too
    hidden: int  # of them, those that the other object's class leaves no peak of their own
    tiny: int  # objects with both sides below `TINY`
    most_objects: int  # of a sample
    sizes: dict[tuple[int, int], int]  # how many images have each (height, width), the most frequent first
    first_of: list[list[tuple[int, list[float]]]]  # for each class the first object of three samples: sample and box


def fit_sizes(columns: Columns, sizes: NDArray[np.int32], *, amodal: bool) -> Columns:
    """Return the columns as their images show them: of the real sizes, cut there as a sample's boxes are.

    Args:
        columns: of N images.
        sizes: int32 N×2, the real (height, width); 0 where an image cannot be read, which leaves none of its boxes.
        amodal: boxes that reach into the image stay whole.
    """
    rows = np.flatnonzero((sizes != columns.sizes).any(axis=1)[columns.samples()])
    boxes, keep = columns.boxes.copy(), np.ones(len(columns.boxes), np.bool_)
    height, width = sizes[columns.samples()[rows]].T
    clipped = box_ops.clip(boxes[rows], (height, width))
    keep[rows] = (clipped[:, 2:] > clipped[:, :2]).all(axis=1)
    if not amodal:
        boxes[rows] = clipped
    return replace(columns, boxes=boxes, sizes=sizes).take(np.flatnonzero(keep))


def tally(columns: Columns, num_classes: int, preprocessing: Preprocessing, stride: int) -> Tally:
    """Count what a network is shown in evaluation.

    Args:
        columns: as `fit_sizes` returns them.
        num_classes: C.
        preprocessing: of the network's input.
        stride: input pixels a cell of the output grid.
    """
    rows = np.flatnonzero(~columns.ignore)
    of, labels, boxes = columns.samples()[rows], columns.labels[rows], columns.boxes[rows]
    readable = columns.sizes[:, 0] > 0
    sizes, size_of, times = np.unique(columns.sizes[readable], axis=0, return_inverse=True, return_counts=True)
    size_of = size_of.reshape(-1)[np.cumsum(readable)[of] - 1]
    matrices = np.array([preprocessing.matrix((height, width)) for height, width in sizes.tolist()]).reshape(-1, 2, 3)
    inputs = np.array([preprocessing.output_size((height, width)) for height, width in sizes.tolist()]).reshape(-1, 2)
    in_cells = box_ops.transform(boxes[:, None], matrices[size_of])[:, 0] / stride
    last = -(-inputs // stride)[size_of, ::-1] - 1  # x and y of the last cell
    x, y = ((in_cells[:, :2] + in_cells[:, 2:]) / 2).astype(np.int64).clip(0, last).T
    longest = int(last.max(initial=0)) + 1
    centre = (of * longest + y) * longest + x
    _, group, sharers = np.unique(centre, return_inverse=True, return_counts=True)
    bins = np.searchsorted(CELLS, (in_cells[:, 2:] - in_cells[:, :2]).min(axis=1), side="right")
    cells = np.bincount(labels * (len(CELLS) + 1) + bins, minlength=num_classes * (len(CELLS) + 1))
    classes_in_images, first = np.unique(labels * len(columns) + of, return_index=True)
    starts = np.searchsorted(classes_in_images, np.arange(num_classes + 1) * len(columns))
    in_image = np.bincount(of, minlength=len(columns))[readable]
    order = np.argsort(-times, kind="stable")
    return Tally(
        images=len(in_image),
        empty=int((in_image == 0).sum()),
        objects=np.bincount(labels, minlength=num_classes),
        ignored=np.bincount(columns.labels[columns.ignore] % (num_classes + 1), minlength=num_classes + 1),
        images_with=np.diff(starts),
        cells=cells.reshape(num_classes, len(CELLS) + 1),
        sharing=int((sharers[group] > 1).sum()),
        hidden=len(rows) - len(np.unique(centre * num_classes + labels)),
        tiny=int(((boxes[:, 2:] - boxes[:, :2]) < TINY).all(axis=1).sum()),
        most_objects=int(in_image.max(initial=0)),
        sizes=dict(zip(map(tuple, sizes[order].tolist()), times[order].tolist(), strict=True)),
        first_of=[
            [(int(of[i]), boxes[i].tolist()) for i in part[:_EXAMPLES]] for part in np.split(first, starts[1:-1])
        ],
    )


def repeated_boxes(columns: Columns, class_names: Sequence[str]) -> Iterator[tuple[int, Problem]]:
    """Find objects with the same box, to the pixel; not those that are hardly larger than one.

    Yields:
        The sample, and what is wrong with it.
    """
    rows = np.flatnonzero(~columns.ignore & (columns.boxes[:, 2:] - columns.boxes[:, :2] >= TINY).all(axis=1))
    of, rounded = columns.samples()[rows], columns.boxes[rows].round()
    order = np.lexsort((*rounded.T[::-1], of))
    new = (np.diff(of[order]) != 0) | (np.diff(rounded[order], axis=0) != 0).any(axis=1)
    starts = np.flatnonzero(np.concatenate([[True], new, [True]]))
    for place in np.flatnonzero(np.diff(starts) > 1):
        same = order[starts[place] : starts[place + 1]]
        sample, (x1, y1, x2, y2) = int(of[same[0]]), columns.boxes[rows[same[0]]].tolist()
        path, where = str(columns.paths[sample]), f"[{x1:g}, {y1:g}, {x2:g}, {y2:g}] (x1 y1 x2 y2)"
        times = Counter(class_names[label] for label in columns.labels[rows[same]])
        for name, count in times.items():
            if count > 1:
                text = f"{count} objects {name!r} with the same box {where}; each counts in evaluation"
                yield sample, Problem(path, "duplicate-box", text)
        if len(times) > 1:
            yield sample, Problem(path, "ambiguous-box", f"the same box {where} is {' and '.join(map(repr, times))}")
