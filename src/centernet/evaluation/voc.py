"""Pascal VOC's average precision at one IoU limit, in both forms: 11-point (2007) and all-point (2010 on).

The rules are those of the development kit's `VOCevaldet.m` (Everingham et al., The Pascal Visual Object Classes
Challenge, IJCV 2010). The detections of a class are taken by falling score. The true box of the class and image with
the highest IoU decides about each: below the limit it is a false positive; if that box is to be ignored (difficult) it
does not count; if an earlier detection took that box it is a false positive, even where another one would fit.

The kit's own boxes are inclusive pixels from 1: its box ``1 1 W H`` is ``0 0 W H`` here, with the same sides. So boxes
in this package's continuous coordinates give the kit's figures as they are; `inclusive` is for files whose numbers
were never shifted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from centernet.boxes import elementwise_iou

from .collecting import Collected, EvaluationResult, Evaluator, text_table

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
        inclusive: a side is ``x2 - x1 + 1`` (see the head of this file).
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
        return VocResult(
            dict(zip(("mAP_11point", "mAP_allpoint"), means, strict=True)), tuple(results), collected.num_images
        )


def judge(collected: Collected, *, iou_threshold: float, inclusive: bool) -> NDArray[np.int8]:
    """Judge each detection: a true positive (1), a false positive (0) or not counted (-1), M int8."""
    # The true box that decides about a detection does not depend on the others; who was first is a question of order.
    verdicts = np.full(len(collected.score), FALSE_POSITIVE, np.int8)
    best, iou = _best_truth(collected, inclusive=inclusive)
    fits = np.flatnonzero(iou >= iou_threshold)
    ignored = collected.truth_ignore[best[fits]]
    verdicts[fits[ignored]] = IGNORED
    claims = fits[~ignored]
    claims = claims[np.argsort(-collected.score[claims], kind="stable")]
    _, first = np.unique(best[claims], return_index=True)
    verdicts[claims[first]] = TRUE_POSITIVE
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


def _best_truth(collected: Collected, *, inclusive: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the true box of its class and image with the highest IoU, and that IoU, of each detection; -1 if none."""
    classes = int(max(collected.label.max(initial=-1), collected.truth_label.max(initial=-1))) + 1
    truth_key = collected.truth_image * classes + collected.truth_label
    key = collected.image * classes + collected.label
    truth_order = np.argsort(truth_key, kind="stable")
    start = np.searchsorted(truth_key[truth_order], key, side="left")
    count = np.searchsorted(truth_key[truth_order], key, side="right") - start

    # All pairs of a detection and a true box of its image and class, one after the other.
    detection = np.repeat(np.arange(len(key)), count)
    first_pair = np.cumsum(count) - count
    truth = truth_order[np.arange(len(detection)) - np.repeat(first_pair - start, count)]
    true, found = collected.truth_boxes, collected.boxes
    iou = elementwise_iou(found[detection], true[truth], inclusive=inclusive)

    best_truth = np.full(len(key), -1, np.int64)
    best_iou = np.full(len(key), -1.0)
    some = np.flatnonzero(count)
    if len(some):
        best_iou[some] = np.maximum.reduceat(iou, first_pair[some])
        winners = np.flatnonzero(iou == best_iou[detection])[::-1]  # written last to first: of equals the first stays
        best_truth[detection[winners]] = truth[winners]
    return best_truth, best_iou
