"""Pascal VOC's average precision at one IoU limit, in both forms: 11-point (2007) and all-point (2010 on).

The rules are those of the development kit's `VOCevaldet.m` (Everingham et al., The Pascal Visual Object Classes
Challenge, IJCV 2010).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .collecting import Collected, EvaluationResult, Evaluator, text_table
from .pairs import Pairs

TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class VocClassResult:
    """Average precision of one class (-1 where no object counts), and numbers of objects and detections."""

    name: str
    objects: int
    ap_11point: float
    ap_allpoint: float
    true_positives: int
    false_positives: int
    ignored: int


@dataclass(frozen=True)
class VocResult(EvaluationResult):
    """Pascal VOC's figures: mAP_11point and mAP_allpoint, means over the classes with objects; -1 if there is none."""

    title: ClassVar[str] = "Pascal VOC, IoU .5"

    stats: Mapping[str, float]
    per_class: tuple[VocClassResult, ...]
    images: int

    def table(self) -> str:
        """Return the figures of each class and their means as lines of text."""
        rows: list[list[str | int | float]] = [["class", "objects", "AP 11-pt", "AP", "TP", "FP", "ignored"]]
        for r in self.per_class:
            counts = r.true_positives, r.false_positives, r.ignored
            rows.append([r.name, r.objects, r.ap_11point, r.ap_allpoint, *counts])
        objects = sum(result.objects for result in self.per_class)
        rows.append(["mean", objects, self.stats["mAP_11point"], self.stats["mAP_allpoint"], "", "", ""])
        return "\n".join(text_table(rows))


class VocEvaluator(Evaluator):
    """Computes Pascal VOC's figures. A region to ignore whose label is -1 stands for one of each class.

    Args:
        class_names: the classes, by label.
        iou_threshold: a detection fits a true box from this IoU on.
        inclusive: a side is ``x2 - x1 + 1``, for files whose numbers were never shifted. The kit's own boxes are
            inclusive pixels from 1: its ``1 1 W H`` is ``0 0 W H`` in this package, with the same sides.
    """

    def __init__(self, class_names: Sequence[str], *, iou_threshold: float = 0.5, inclusive: bool = False) -> None:
        super().__init__(class_names)
        self.iou_threshold = iou_threshold
        self.inclusive = inclusive

    def compute(self) -> VocResult:
        """Compute the average precision of each class, and the means."""
        collected = self.collected().with_a_region_for_each_class(len(self.class_names))
        verdicts = judge(collected, iou_threshold=self.iou_threshold, inclusive=self.inclusive)
        label = collected.label
        order = np.lexsort((-collected.score, label))  # by class, then by falling score; equal ones as they came
        names = self.class_names
        ends = np.searchsorted(label[order], np.arange(len(names) + 1))
        objects = collected.count_objects(len(names))
        results = []
        for i, name in enumerate(names):
            of_class = verdicts[order[ends[i] : ends[i + 1]]]
            hits = of_class[of_class != IGNORED] == TRUE_POSITIVE
            ap_11point, ap_allpoint = average_precision(hits, int(objects[i]))
            counts = int(hits.sum()), int((~hits).sum()), int((of_class == IGNORED).sum())
            results.append(VocClassResult(name, int(objects[i]), ap_11point, ap_allpoint, *counts))
        counting = np.array([(r.ap_11point, r.ap_allpoint) for r in results if r.objects]).reshape(-1, 2)
        means = counting.mean(axis=0).tolist() if len(counting) else (-1.0, -1.0)
        stats = dict(zip(("mAP_11point", "mAP_allpoint"), means, strict=True))
        return VocResult(stats, tuple(results), collected.num_images)


def judge(collected: Collected, *, iou_threshold: float, inclusive: bool) -> NDArray[np.int8]:
    """Judge each detection: a true positive (1), a false positive (0) or not counted (-1), M int8.

    The true box of its class and image with the highest IoU decides about a detection. Below the limit it is a false
    positive; if that box is to be ignored (difficult) it does not count; if a detection with a higher score took that
    box it is a false positive, even where another one would fit.
    """
    classes = int(max(collected.label.max(initial=-1), collected.truth_label.max(initial=-1))) + 1
    truth_key = collected.truth_image * classes + collected.truth_label
    key = collected.image * classes + collected.label
    truth_order, order = np.argsort(truth_key, kind="stable"), np.argsort(key, kind="stable")
    truths, boxes = collected.truth_boxes[truth_order], collected.boxes[order]
    pairs = Pairs.find(truth_key[truth_order], truths, key[order], boxes, inclusive=inclusive)
    pairs = pairs.where(pairs.iou >= iou_threshold)
    by_overlap = np.lexsort((pairs.truth, -pairs.iou, pairs.found))
    _, first = np.unique(pairs.found[by_overlap], return_index=True)
    best = by_overlap[first]
    truth, found = truth_order[pairs.truth[best]], order[pairs.found[best]]

    verdicts = np.full(len(key), FALSE_POSITIVE, np.int8)
    ignored = collected.truth_ignore[truth]
    verdicts[found[ignored]] = IGNORED
    truth, found = truth[~ignored], found[~ignored]
    by_score = np.lexsort((found, -collected.score[found]))
    _, first = np.unique(truth[by_score], return_index=True)
    verdicts[found[by_score[first]]] = TRUE_POSITIVE
    return verdicts


def average_precision(hits: NDArray[np.bool_], objects: int) -> tuple[float, float]:
    """Compute the 11-point and the all-point average precision; both are -1 without objects.

    They are the mean, over the recalls 0, .1 … 1, of the best precision at that recall or more, and the area under the
    curve of the best precision at each recall or more. `hits` are the true positives (bool) among the detections that
    count, by falling score.
    """
    if objects == 0:
        return -1.0, -1.0
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or more
    best = np.append(best, 0.0)
    # found / objects >= i / 10, in whole numbers: a recall of exactly .3 counts for .3.
    eleven = best[np.searchsorted(10 * found, objects * np.arange(11))]
    return float(eleven.mean()), float(best[:-1][hits].sum() / objects)
