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

import numpy as np
from numpy.typing import NDArray

from centernet.boxes import elementwise_iou, xywh_to_xyxy
from centernet.evaluation.records import Records, Table

TRUE_POSITIVE, FALSE_POSITIVE, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class VocClassResult:
    """Figures of one class.

    Attributes:
        name: of the class.
        objects: number of true objects that count.
        ap_11point, ap_allpoint: average precision 0 … 1; -1 where no object counts.
        true_positives, false_positives, ignored: number of detections of each kind.
    """

    name: str
    objects: int
    ap_11point: float
    ap_allpoint: float
    true_positives: int
    false_positives: int
    ignored: int


@dataclass(frozen=True)
class VocResult:
    """What an evaluation found; `str()` of it is a table for people.

    Attributes:
        stats: the means over the classes with objects, -1 if there is none: mAP_11point and mAP_allpoint.
        per_class: the figures of each class, in the order of the labels.
        images: number of images.
    """

    stats: Mapping[str, float]
    per_class: tuple[VocClassResult, ...]
    images: int

    def __str__(self) -> str:
        return self.table()

    def table(self) -> str:
        """The figures of each class and their means, as lines of text."""
        width = max([len(result.name) for result in self.per_class] + [len("class")])
        lines = [f"{'class':<{width}}{'objects':>9}{'AP 11-pt':>10}{'AP':>8}{'TP':>8}{'FP':>8}{'ignored':>9}"]
        for r in self.per_class:
            lines.append(
                f"{r.name:<{width}}{r.objects:>9}{_text(r.ap_11point):>10}{_text(r.ap_allpoint):>8}"
                f"{r.true_positives:>8}{r.false_positives:>8}{r.ignored:>9}"
            )
        objects = sum(result.objects for result in self.per_class)
        means = f"{_text(self.stats['mAP_11point']):>10}{_text(self.stats['mAP_allpoint']):>8}"
        lines.append(f"{'mean':<{width}}{objects:>9}{means}")
        return "\n".join(lines)


class VocEvaluator(Records):
    """Collects the images of a validation run and computes Pascal VOC's figures, in original pixels.

    The interface is that of `CocoEvaluator`: images given twice count once, evaluators pickle and merge. A region to
    ignore whose label is -1 stands for one of each class.

    Args:
        class_names: the classes, by label.
        iou_threshold: a detection fits a true box from this IoU on.
        inclusive: whether a side is ``x2 - x1 + 1`` (see the head of this file).
    """

    def __init__(self, class_names: Sequence[str], *, iou_threshold: float = 0.5, inclusive: bool = False) -> None:
        super().__init__(class_names)
        self.iou_threshold = iou_threshold
        self.inclusive = inclusive

    def compute(self) -> VocResult:
        """The figures of all images so far.

        Raises:
            ValueError: there was no image.
        """
        table = self.table()
        verdicts = judge(table, iou_threshold=self.iou_threshold, inclusive=self.inclusive)
        order = np.lexsort((-table.score, table.label))  # by class, then by falling score; equal ones as they came
        names = self.class_names
        ends = np.searchsorted(table.label[order], np.arange(len(names) + 1))
        objects = np.bincount(table.truth_label[~table.truth_ignore], minlength=len(names))
        results = []
        for label, name in enumerate(names):
            of_class = verdicts[order[ends[label] : ends[label + 1]]]
            hits = of_class[of_class != IGNORED] == TRUE_POSITIVE
            ap_11point, ap_allpoint = average_precision(hits, int(objects[label]))
            results.append(
                VocClassResult(
                    name=name,
                    objects=int(objects[label]),
                    ap_11point=ap_11point,
                    ap_allpoint=ap_allpoint,
                    true_positives=int(hits.sum()),
                    false_positives=int((~hits).sum()),
                    ignored=int((of_class == IGNORED).sum()),
                )
            )
        counting = [result for result in results if result.objects]
        stats = {
            "mAP_11point": float(np.mean([r.ap_11point for r in counting])) if counting else -1.0,
            "mAP_allpoint": float(np.mean([r.ap_allpoint for r in counting])) if counting else -1.0,
        }
        return VocResult(stats, tuple(results), table.num_images)


def judge(table: Table, *, iou_threshold: float, inclusive: bool) -> NDArray[np.int8]:
    """Whether each detection is a true positive (1), a false positive (0) or not counted (-1): M int8.

    Which true box decides about a detection does not depend on the others, so all are found at once; only who was first
    at a box is a question of order.
    """
    verdicts = np.full(len(table.score), FALSE_POSITIVE, np.int8)
    best, iou = _best_truth(table, inclusive=inclusive)
    fits = np.flatnonzero(iou >= iou_threshold)
    ignored = table.truth_ignore[best[fits]]
    verdicts[fits[ignored]] = IGNORED
    claims = fits[~ignored]
    claims = claims[np.argsort(-table.score[claims], kind="stable")]
    _, first = np.unique(best[claims], return_index=True)
    verdicts[claims[first]] = TRUE_POSITIVE
    return verdicts


def average_precision(hits: NDArray[np.bool_], objects: int) -> tuple[float, float]:
    """11-point and all-point average precision.

    Args:
        hits: whether each detection that counts is a true positive, by falling score.
        objects: number of true objects.

    Returns:
        The mean, over the recalls 0, .1 … 1, of the best precision at that recall or more; and the area under the curve
        of the best precision at each recall or more. Both -1 without objects.
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


def _best_truth(table: Table, *, inclusive: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(index of the true box of its class and image with the highest IoU, that IoU) by detection; -1, -1 if none."""
    classes = int(max(table.label.max(initial=-1), table.truth_label.max(initial=-1))) + 1
    truth_key = table.truth_image * classes + table.truth_label
    key = table.image * classes + table.label
    truth_order = np.argsort(truth_key, kind="stable")
    start = np.searchsorted(truth_key[truth_order], key, side="left")
    count = np.searchsorted(truth_key[truth_order], key, side="right") - start

    # All pairs of a detection and a true box of its image and class, one after the other.
    detection = np.repeat(np.arange(len(key)), count)
    first_pair = np.cumsum(count) - count
    truth = truth_order[np.arange(len(detection)) - np.repeat(first_pair - start, count)]
    found, true = xywh_to_xyxy(table.xywh), xywh_to_xyxy(table.truth_xywh)
    iou = elementwise_iou(found[detection], true[truth], inclusive=inclusive)

    best_truth = np.full(len(key), -1, np.int64)
    best_iou = np.full(len(key), -1.0)
    some = np.flatnonzero(count)
    if len(some):
        best_iou[some] = np.maximum.reduceat(iou, first_pair[some])
        winners = np.flatnonzero(iou == best_iou[detection])[::-1]  # written last to first: of equals the first stays
        best_truth[detection[winners]] = truth[winners]
    return best_truth, best_iou


def _text(figure: float) -> str:
    return "–" if figure < 0 else f"{figure:.3f}"
