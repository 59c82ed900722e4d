"""CrowdHuman's figures: average precision, log-average miss rate MR-2, and Jaccard index JI.

The rules are those of `lib/evaluate` of CrowdDet (Chu et al., 2020, arXiv:2003.09163): see docs/datasets.md. Persons
may be wholly hidden behind others, so the truth should be full bodies; read it with ``amodal: true``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from centernet.annotations.crowdhuman import BOX_KEYS
from centernet.boxes import xywh_to_xyxy
from centernet.documents import read_json_text

from .collecting import Bools, Collected, EvaluationResult, Evaluator, Floats, ImageColumns, text_table

FPPI = (0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0)
"""Numbers of false positives per image at which MR-2 takes the miss rate."""

SCORE_LIMITS = tuple(round(0.1 * i, 1) for i in range(10))
_OVERLAP = 0.5
_EPSILON = 1e-6  # in divisors


@dataclass(frozen=True)
class CrowdHumanResult(EvaluationResult):
    """CrowdHuman's figures: AP, MR-2 (lower is better) and JI, 0 … 1; -1 where there is no person.

    Beside them miss rates by false positives per image, and Jaccard indices by limit of the scores; `objects` are
    persons that count, and so do true and false positives.
    """

    title: ClassVar[str] = "CrowdHuman"

    stats: Mapping[str, float]
    miss_rates: Mapping[float, float]
    ji_by_score: Mapping[float, float]
    images: int
    objects: int
    true_positives: int
    false_positives: int

    def table(self) -> str:
        """Return the figures as lines of text."""
        counts = f"{self.true_positives} true, {self.false_positives} false positives"
        best = max(self.ji_by_score, key=lambda limit: self.ji_by_score[limit])
        lines = [f"{self.images} images, {self.objects} objects, {counts}", "", *text_table(list(self.stats.items()))]
        lines += ["", f"JI at the score limit {best:g}; miss rates by false positives per image:"]
        rates = ["", *map("{:g}".format, self.miss_rates)], ["", *self.miss_rates.values()]
        return "\n".join([*lines, *text_table(rates)])


class _Image(NamedTuple):
    """One image, boxes ``x1 y1 x2 y2`` cut at its edges: M persons, I regions to ignore, N detections, best first."""

    persons: Floats
    ignored: Floats
    boxes: Floats
    scores: Floats


class CrowdHumanEvaluator(Evaluator):
    """Computes CrowdHuman's figures of the persons: of the class ``person``, or the first one where none has that name.

    Objects and detections of other classes are passed over; a region to ignore may have the label -1.
    """

    def compute(self) -> CrowdHumanResult:
        """Compute AP, MR-2 and JI."""
        label = self.class_names.index("person") if "person" in self.class_names else 0
        return _evaluate(self.collected(), label)


def evaluate_crowdhuman(
    truth: str | Path, detections: str | Path, *, box: Literal["full", "visible", "head"] = "full"
) -> CrowdHumanResult:
    """Evaluate a file of detections against one of annotations, both with one JSON object a line.

    Args:
        truth: annotations as in the data set: ``ID``, ``gtboxes``.
        detections: ``ID``, ``width``, ``height`` of the image, and ``dtboxes``, a list of ``box`` (x y width height)
            and ``score``. An image of the truth that isn't in it has no detections; its boxes are not cut.
        box: the true boxes to use.

    Raises:
        ValueError: a line is not of this form, or an image of the detections isn't in the truth.
        OSError: a file cannot be read.
    """
    found, images = _lines(detections), []
    for name, (line, entry) in sorted(_lines(truth).items()):
        found_line, result = found.pop(name, (0, {}))
        try:
            persons = entry["gtboxes"]
            ignore = [p["tag"] != "person" or bool((p.get("extra") or {}).get("ignore", 0)) for p in persons]
            boxes = _corners([p[BOX_KEYS[box]] for p in persons])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{truth}: line {line}: not an annotation of CrowdHuman ({error!r})") from error
        try:
            objects = result.get("dtboxes", [])
            hits, scores = _corners([o["box"] for o in objects]), np.array([o["score"] for o in objects], np.float64)
            size_hw = (float(result["height"]), float(result["width"])) if result else (np.inf, np.inf)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{detections}: line {found_line}: not a line of detections ({error!r})") from error
        zeros, found_zeros = np.zeros(len(boxes), np.int64), np.zeros(len(hits), np.int64)
        columns = boxes, zeros, np.array(ignore, np.bool_), zeros, zeros, hits, found_zeros, scores
        images.append(ImageColumns(*columns, size_hw))
    if found:
        raise ValueError(f"{detections}: {len(found)} images are not in {truth}, e.g. {next(iter(found))!r}")
    return _evaluate(Collected.of(images), label=0)


def _evaluate(collected: Collected, label: int) -> CrowdHumanResult:
    """Compute the figures of one class."""
    images = _cut_images(collected, label)
    hits, scores = (np.concatenate(parts) for parts in zip(*map(_match, images), strict=True))
    hits = hits[np.argsort(-scores, kind="stable")]
    objects = sum(len(image.persons) for image in images)
    true, false = np.cumsum(hits), np.cumsum(~hits)
    # The miss rate at the first point with so many false positives per image, or at the last point.
    miss = 1 - true / max(objects, 1) if len(hits) else np.ones(1)
    places = np.minimum(np.searchsorted(false / len(images), FPPI), len(miss) - 1)
    rates = dict(zip(FPPI, miss[places].tolist(), strict=True))
    indices = _jaccard(images)
    stats = {"AP": -1.0, "MR-2": -1.0, "JI": -1.0}
    if objects:
        with np.errstate(divide="ignore"):  # a miss rate of 0 makes the geometric mean 0
            mr = float(np.exp(np.log(list(rates.values())).mean()))
        precision = true / np.arange(1, len(hits) + 1)
        ap = float(((precision[1:] + precision[:-1]) / 2 * np.diff(true / objects)).sum())
        stats = {"AP": ap, "MR-2": mr, "JI": max(indices.values())}
    return CrowdHumanResult(stats, rates, indices, len(images), objects, int(hits.sum()), int(len(hits) - hits.sum()))


def _cut_images(collected: Collected, label: int) -> list[_Image]:
    """Return the objects and detections of one class image by image, their boxes cut at the image's edges."""
    height, width = collected.sizes.T
    limits = np.column_stack([width - 1, height - 1, width, height])
    truth = np.clip(collected.truth_boxes, 0, limits[collected.truth_image])
    boxes = np.clip(collected.boxes, 0, limits[collected.image])
    mine = (collected.truth_label == label) | (collected.truth_label == -1)
    found = np.lexsort((-collected.score, collected.image))  # best first, equal ones as they came
    found = found[collected.label[found] == label]
    numbers = np.arange(1, collected.num_images)
    truth_starts, starts = (c.searchsorted(numbers) for c in (collected.truth_image[mine], collected.image[found]))
    true, ignore = np.split(truth[mine], truth_starts), np.split(collected.truth_ignore[mine], truth_starts)
    hits, scores = np.split(boxes[found], starts), np.split(collected.score[found], starts)
    return [_Image(t[~i], t[i], h, s) for t, i, h, s in zip(true, ignore, hits, scores, strict=True)]


def _lines(path: str | Path) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return the number and the object of each line by the ID."""
    entries = {}
    for line, text in enumerate(Path(path).read_bytes().split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            entry = read_json_text(text)
        except ValueError as error:
            raise ValueError(f"{path}: line {line} is not JSON: {error}") from error
        if not isinstance(entry, dict) or "ID" not in entry:
            raise ValueError(f"{path}: line {line}: expected an object with an ID, got {entry!r:.100}")
        entries[str(entry["ID"])] = line, entry
    return entries


def _corners(boxes: Sequence[Sequence[float]]) -> Floats:
    return xywh_to_xyxy(np.array(boxes, np.float64).reshape(-1, 4))


def _overlaps(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return the IoU, and the share of each box of `a` inside each of `b`: N×M."""
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    intersection = (high - low).clip(min=0).prod(axis=-1)
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (a, b))
    union = area_a[:, None] + area_b - intersection
    return intersection / (union + _EPSILON), intersection / (area_a[:, None] + _EPSILON)


def _close_pairs(image: _Image) -> Floats:
    """Return the IoU of each detection with each person, 0 where it isn't above the limit."""
    iou = _overlaps(image.boxes, image.persons)[0]
    return np.where(iou > _OVERLAP, iou, 0)


def _inside_ignored(boxes: Floats, image: _Image) -> Bools:
    largest: Floats = _overlaps(boxes, image.ignored)[1].max(axis=1, initial=0)
    return largest > _OVERLAP


def _match(image: _Image) -> tuple[Bools, Floats]:
    """Return True for each detection that is a true positive, False for a false one, and their scores."""
    iou = _close_pairs(image)
    hits = np.zeros(len(image.boxes), np.bool_)
    for row in np.flatnonzero(iou.any(axis=1)):  # in the order of the scores; who comes first takes a person away
        best = iou[row].argmax()
        if iou[row, best] > 0:
            hits[row] = True
            iou[:, best] = 0
    counts = hits | ~_inside_ignored(image.boxes, image)
    return hits[counts], image.scores[counts]


def _jaccard(images: Sequence[_Image]) -> dict[float, float]:
    """Return the mean Jaccard index by score limit."""
    from scipy.optimize import linear_sum_assignment  # a third of a second to import, for this alone

    ratios: dict[float, list[float]] = {limit: [] for limit in SCORE_LIMITS}
    for image in images:
        iou = _close_pairs(image)
        free_boxes, free_persons = _inside_ignored(image.boxes, image), _inside_ignored(image.persons, image)
        for limit in SCORE_LIMITS:
            count = int((image.scores > limit).sum())
            rows, columns = linear_sum_assignment(iou[:count], maximize=True)
            pairs = iou[rows, columns] > 0
            k = int(pairs.sum())
            alone = count - k - np.delete(free_boxes[:count], rows[pairs]).sum()
            missed = len(free_persons) - k - np.delete(free_persons, columns[pairs]).sum()
            if k or alone or missed:
                ratios[limit].append(k / (k + alone + missed + _EPSILON))
    return {limit: float(np.mean(values)) if values else 0.0 for limit, values in ratios.items()}
