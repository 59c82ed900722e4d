"""KITTI's tracking labels (Geiger et al., CVPR 2012; https://www.cvlibs.net/datasets/kitti/eval_tracking.php).

A row has 17 columns: frame (from 0), identity, type, truncated, occluded, alpha, left, top, right, bottom, and seven of
the object in space; results have a score behind them. Corners are taken as they are, as by the benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .problems import Reports, with_nearest
from .rows import BoxRows
from .text import TextTable

KITTI_CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person", "Person_sitting", "Cyclist", "Tram", "Misc")
"""The types of objects."""
DONT_CARE = "DontCare"
"""The type of regions that nobody labelled."""
NEIGHBOURS = {"Van": "Car", "Person": "Pedestrian", "Person_sitting": "Pedestrian"}
"""Types too like another for the evaluation to hold them against it. (Person is how tracking labels say sitting.)"""
MAX_OCCLUSION, MAX_TRUNCATION = (0, 1, 2), (0.15, 0.3, 0.5)
"""Limits of the three levels of difficulty: easy, moderate, hard."""
TRUTH_WIDTHS = (17,)
RESULT_WIDTHS = (17, 18)
KIND_COLUMN = 2


def read_truth(
    names: Sequence[str], path: Path, report: Reports, *, max_occlusion: int, max_truncation: int
) -> BoxRows:
    """Read the rows of a label file that are to become boxes; `images` are the frames as numbered there."""
    table = TextTable.read(path, TRUTH_WIDTHS, words_column=KIND_COLUMN)
    table = table.numbers(report, used=[3, 4, 6, 7, 8, 9], whole=[0, 1], what="row of a label file")
    table = table.without_repeated(report)
    words = [str(word) for word in table.words]

    def unknown(row: int) -> str:
        return f"the type {with_nearest([words[row]], KITTI_CLASSES)} is none of KITTI's"

    table = table.keep(np.isin(words, [*KITTI_CLASSES, DONT_CARE]), report, "unknown-class", unknown)
    meant = {kind: kind if kind in names else NEIGHBOURS.get(kind, "") for kind in KITTI_CLASSES}
    label_of = {kind: names.index(name) for kind, name in meant.items() if name in names} | {DONT_CARE: -1}
    table = table.select(np.isin(table.words, list(label_of)))
    values, kinds = table.values, table.words
    labels = np.array([label_of[kind] for kind in kinds.tolist()], dtype=np.int64)
    ignore = ~np.isin(kinds, names) | (values[:, 4] > max_occlusion) | (values[:, 3] > max_truncation)
    return BoxRows.of_tracks(table, values[:, 6:10], labels, ignore, difficulty(values[:, 3], values[:, 4]))


def difficulty(truncation: NDArray[np.float64], occlusion: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return the lowest level whose limits each object keeps: 0 easy, 1 moderate, 2 hard, 3 none of them."""
    beyond = (truncation[:, None] > MAX_TRUNCATION) | (occlusion[:, None] > MAX_OCCLUSION)  # the limits rise
    return np.asarray(beyond.sum(axis=1), np.int8)
