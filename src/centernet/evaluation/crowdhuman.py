"""CrowdHuman's figures: average precision, log-average miss rate MR-2, and Jaccard index JI.

The rules are those of the evaluation that the data set's users share, `lib/evaluate` of CrowdDet (Chu et al., 2020,
arXiv:2003.09163; https://github.com/xg-chu/CrowdDet):

- All boxes, true ones too, are cut at the picture first: x1 and y1 to at most W - 1 and H - 1, x2 and y2 to W and H.
- The detections of a picture are taken by falling score. Each takes the free person with the highest IoU above .5. Only
  where there is none, it doesn't count if more than half of it lies in a region to ignore.
- AP is the area under precision over recall, by trapezoids from the first detection on.
- MR-2 (Dollár et al., 2012) is the geometric mean of the miss rates at nine numbers of false positives per picture.
- JI, for a limit on the scores: in each picture the matching of persons and detections with the largest sum of IoU, k
  pairs above .5; then k / (m + n - k) with m persons and n detections, those without a partner that lie in a region to
  ignore taken off. The mean over the pictures that have any, at the best of the limits 0, .1 … .9.

Persons may be wholly hidden behind others, so the truth should be full bodies; read it with ``amodal: true``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from centernet.detections import Detections
from centernet.evaluation.records import Truth

FPPI = (0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0)
"""False positives per picture at which MR-2 looks."""

SCORE_LIMITS = tuple(round(0.1 * i, 1) for i in range(10))
_OVERLAP = 0.5
_EPSILON = 1e-6  # in divisors

Floats = NDArray[np.float64]


class SizedTruth(Truth, Protocol):
    """The true objects of an image of known size; `centernet.data.Annotation` is one."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


@dataclass(frozen=True)
class CrowdHumanResult:
    """What an evaluation found; `str()` of it is a table for people.

    Attributes:
        stats: AP, MR-2 (lower is better) and JI, 0 … 1; -1 where there is no person.
        miss_rates: by false positives per picture.
        ji_by_score: Jaccard index by score limit.
        images: number of pictures.
        objects: number of persons that count.
        true_positives, false_positives: number of detections of each kind; the others do not count.
    """

    stats: Mapping[str, float]
    miss_rates: Mapping[float, float]
    ji_by_score: Mapping[float, float]
    images: int
    objects: int
    true_positives: int
    false_positives: int

    def __str__(self) -> str:
        return self.table()

    def table(self) -> str:
        """The figures as lines of text."""
        counts = f"{self.true_positives} true, {self.false_positives} false positives"
        best = max(self.ji_by_score, key=lambda limit: self.ji_by_score[limit])
        lines = [f"{self.images} images, {self.objects} objects, {counts}", ""]
        lines += [f"{name:<6}{'–' if value < 0 else format(value, '.3f'):>8}" for name, value in self.stats.items()]
        lines += ["", f"JI at the score limit {best:g}; miss rates by false positives per image:"]
        lines.append("".join(f"{place:>8g}" for place in self.miss_rates))
        lines.append("".join(f"{rate:>8.3f}" for rate in self.miss_rates.values()))
        return "\n".join(lines)


@dataclass(frozen=True)
class _Image:
    """One picture, boxes ``x1 y1 x2 y2`` cut at its edges: M persons, I regions to ignore, N detections, best first."""

    persons: Floats
    ignored: Floats
    boxes: Floats
    scores: Floats


class CrowdHumanEvaluator:
    """Collects the images of a validation run and computes CrowdHuman's figures, in original pixels.

    The interface is that of `CocoEvaluator`: images given twice count once, evaluators pickle and merge.

    Args:
        label: of the persons; detections with other labels, and objects of other classes, are passed over.
    """

    def __init__(self, label: int = 0) -> None:
        self.label = label
        self._images: dict[int | str, _Image] = {}

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def update(self, truth: SizedTruth, detections: Detections) -> None:
        """Adds an image.

        Args:
            truth: its true objects (`centernet.data.Annotation`), original pixels. A region to ignore may have the
                label -1.
            detections: what was found in it, original pixels.
        """
        labels, ignore = np.asarray(truth.labels), np.asarray(truth.ignore, np.bool_)
        mine, found = (labels == self.label) | (ignore & (labels == -1)), detections.labels == self.label
        self._add(
            int(truth.image_id),
            np.asarray(truth.boxes, np.float64)[mine],
            ignore[mine],
            detections.bboxes[found].astype(np.float64),
            detections.scores[found].astype(np.float64),
            (truth.height, truth.width),
        )

    def merge(self, other: CrowdHumanEvaluator) -> None:
        """Adds the images of another evaluator."""
        for image_id, image in other._images.items():
            self._images.setdefault(image_id, image)

    def reset(self) -> None:
        """Forgets all images."""
        self._images.clear()

    def compute(self) -> CrowdHumanResult:
        """The figures of all images so far.

        Raises:
            ValueError: there was no image.
        """
        if not self._images:
            raise ValueError("nothing to evaluate: no image was given; is the split empty?")
        images = [self._images[image_id] for image_id in sorted(self._images, key=str)]
        hits, scores = (np.concatenate(parts) for parts in zip(*map(_match, images), strict=True))
        hits = hits[np.argsort(-scores, kind="stable")]
        objects = sum(len(image.persons) for image in images)
        true, false = np.cumsum(hits), np.cumsum(~hits)
        fppi, miss = false / len(images), 1 - true / max(objects, 1)
        rates = {place: _miss_rate(fppi, miss, place) for place in FPPI}
        indices = _jaccard(images)
        stats = {"AP": -1.0, "MR-2": -1.0, "JI": -1.0}
        if objects:
            with np.errstate(divide="ignore"):  # a miss rate of 0 makes the geometric mean 0
                mr = float(np.exp(np.log(list(rates.values())).mean()))
            precision = true / np.arange(1, len(hits) + 1)
            ap = float(((precision[1:] + precision[:-1]) / 2 * np.diff(true / objects)).sum())
            stats = {"AP": ap, "MR-2": mr, "JI": max(indices.values())}
        return CrowdHumanResult(
            stats, rates, indices, len(images), objects, int(hits.sum()), int(len(hits) - hits.sum())
        )

    def _add(
        self,
        image_id: int | str,
        boxes: Floats,
        ignore: NDArray[np.bool_],
        found: Floats,
        scores: Floats,
        size_hw: tuple[float, float],
    ) -> None:
        if image_id in self._images:
            return
        boxes, found = _cut(boxes.reshape(-1, 4), size_hw), _cut(found.reshape(-1, 4), size_hw)
        order = np.argsort(-scores, kind="stable")
        self._images[image_id] = _Image(boxes[~ignore], boxes[ignore], found[order], scores[order])


def evaluate_crowdhuman(
    truth: str | Path, detections: str | Path, *, box: Literal["full", "visible", "head"] = "full"
) -> CrowdHumanResult:
    """Evaluates a file of detections against one of annotations, both with one JSON object a line.

    Args:
        truth: annotations as in the data set: ``ID``, ``gtboxes``.
        detections: ``ID``, ``width``, ``height`` of the picture, and ``dtboxes``, a list of ``box`` (x y width height)
            and ``score``. A picture of the truth that isn't in it has no detections; its boxes are not cut.
        box: which of the true boxes.

    Raises:
        ValueError: a line is not of this form, or a picture of the detections isn't in the truth.
        OSError: a file cannot be read.
    """
    key = {"full": "fbox", "visible": "vbox", "head": "hbox"}[box]
    found = {entry["ID"]: (line, entry) for line, entry in _lines(detections)}
    evaluator = CrowdHumanEvaluator()
    for line, entry in _lines(truth):
        found_line, result = found.pop(entry["ID"], (0, {}))
        try:
            persons = entry["gtboxes"]
            ignore = [p["tag"] != "person" or bool((p.get("extra") or {}).get("ignore", 0)) for p in persons]
            boxes = _corners([p[key] for p in persons])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{truth}: line {line}: not an annotation of CrowdHuman ({error!r})") from error
        try:
            objects = result.get("dtboxes", [])
            hits, scores = _corners([o["box"] for o in objects]), np.array([o["score"] for o in objects], np.float64)
            size_hw = (float(result["height"]), float(result["width"])) if result else (np.inf, np.inf)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{detections}: line {found_line}: not a line of detections ({error!r})") from error
        evaluator._add(entry["ID"], boxes, np.array(ignore, np.bool_), hits, scores, size_hw)
    if found:
        raise ValueError(f"{detections}: {len(found)} pictures are not in {truth}, e.g. {next(iter(found))!r}")
    return evaluator.compute()


def _lines(path: str | Path) -> list[tuple[int, dict[str, Any]]]:
    entries = []
    for line, text in enumerate(Path(path).read_bytes().split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path}: line {line} is no JSON: {error}") from error
        if not isinstance(entry, dict) or "ID" not in entry:
            raise ValueError(f"{path}: line {line}: expected an object with an ID, got {entry!r:.100}")
        entries.append((line, entry))
    return entries


def _corners(boxes: Sequence[Sequence[float]]) -> Floats:
    xywh = np.array(boxes, np.float64).reshape(-1, 4)
    return np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])


def _cut(boxes: Floats, size_hw: tuple[float, float]) -> Floats:
    height, width = size_hw
    return np.clip(boxes, 0, [width - 1, height - 1, width, height])


def _overlaps(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """IoU, and the share of each box of `a` inside each of `b`: N×M."""
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    intersection = (high - low).clip(min=0).prod(axis=-1)
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (a, b))
    union = area_a[:, None] + area_b - intersection
    return intersection / (union + _EPSILON), intersection / (area_a[:, None] + _EPSILON)


def _inside_ignored(boxes: Floats, image: _Image) -> NDArray[np.bool_]:
    largest: Floats = _overlaps(boxes, image.ignored)[1].max(axis=1, initial=0)
    return largest > _OVERLAP


def _match(image: _Image) -> tuple[NDArray[np.bool_], Floats]:
    """Whether each detection that counts is a true positive, and its score."""
    iou = _overlaps(image.boxes, image.persons)[0]
    iou[iou <= _OVERLAP] = 0
    hits = np.zeros(len(image.boxes), np.bool_)
    for row in np.flatnonzero(iou.any(axis=1)):  # in the order of the scores; who comes first takes a person away
        best = iou[row].argmax()
        if iou[row, best] > 0:
            hits[row] = True
            iou[:, best] = 0
    counts = hits | ~_inside_ignored(image.boxes, image)
    return hits[counts], image.scores[counts]


def _miss_rate(fppi: Floats, miss: Floats, place: float) -> float:
    """At the first point with so many false positives per picture, or the last point."""
    if not len(fppi):
        return 1.0
    return float(miss[min(int(np.searchsorted(fppi, place)), len(miss) - 1)])


def _jaccard(images: Sequence[_Image]) -> dict[float, float]:
    """The mean Jaccard index by score limit."""
    from scipy.optimize import linear_sum_assignment  # a third of a second to import, for this alone

    ratios: dict[float, list[float]] = {limit: [] for limit in SCORE_LIMITS}
    for image in images:
        iou = _overlaps(image.boxes, image.persons)[0]
        iou[iou <= _OVERLAP] = 0
        free_boxes, free_persons = _inside_ignored(image.boxes, image), _inside_ignored(image.persons, image)
        for limit in SCORE_LIMITS:
            count = int((image.scores > limit).sum())
            rows, columns = linear_sum_assignment(iou[:count], maximize=True)
            pairs = iou[rows, columns] > 0
            off_boxes, off_persons = free_boxes[:count].copy(), free_persons.copy()
            off_boxes[rows[pairs]] = False
            off_persons[columns[pairs]] = False
            k, n, m = int(pairs.sum()), count - int(off_boxes.sum()), len(off_persons) - int(off_persons.sum())
            if m or n:
                ratios[limit].append(k / (m + n - k + _EPSILON))
    return {limit: float(np.mean(values)) if values else 0.0 for limit, values in ratios.items()}
