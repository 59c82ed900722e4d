"""The findings of a validation, as plain values: the page is drawn from them, and `report.json` holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centernet.boxes import xyxy_to_xywh
from centernet.evaluation import CocoResult
from centernet.evaluation.coco import of_classes, run_library
from centernet.evaluation.collecting import Collected, Ints
from centernet.evaluation.error_bars import ErrorBars
from centernet.evaluation.errors import Errors
from centernet.evaluation.matches import AREAS, IOU_LIMITS, Matches
from centernet.evaluation.reliability import LEAST_SCORE, best_f1, judged
from centernet.inference.validation import Validation
from centernet.report.tracks import describe_tracks

KIND_NAMES = {
    "Miss": "missed",
    "Cls": "mislabelled",
    "Loc": "badly placed",
    "Both": "mislabelled and badly placed",
    "Dupe": "doubled",
    "Bkg": "found where nothing is",
}
"""Kinds of errors by TIDE's names for them, in plain words."""
SIZE_NAMES = ("small", "medium", "large")
_MOST_CLASSES = 60  # whose curves and confusions are kept
_BINS = 10


def diagnose(validation: Validation, bars: ErrorBars, *, threshold: float | None = None) -> dict[str, Any]:
    """Return what there is to say of a validation, as values for JSON.

    Args:
        validation: whose figures have been computed.
        bars: their intervals.
        threshold: the score from which on an object is shown to people: errors are counted from there; None for the
            one with the best F1.
    """
    result = validation.compute() if validation.result is None else validation.result
    names = validation.evaluator.class_names
    collected = validation.evaluator.collected()
    matches = Matches.of(collected, len(names))
    classes = _classes(result.coco, bars, matches)
    overall = _overall(matches)
    limit = overall["threshold"] if threshold is None else threshold
    content: dict[str, Any] = {
        "images": result.coco.images,
        "objects": result.coco.objects,
        "detections": result.coco.detections,
        "figures": result.stats,
        "intervals": bars.to_dict(),
        "threshold": limit,
        "best_f1": overall,
        "classes": classes,
        "by_iou": _by_iou(result.coco),
        "data": _data(collected, names),
    }
    shown = _most_common(result.coco)
    content |= _library(collected, names, shown, limit)
    content["calibration"] = _calibration(validation)
    content["confusions"] = _confusions(collected, names, limit)
    content["tracking"] = describe_tracks(validation, result.tracking)
    content["faults"] = _faults(content)
    return content


def above(collected: Collected, limit: float) -> Collected:
    """Return the same with the detections alone that score at least so much."""
    keep = collected.score >= limit
    columns = {name: getattr(collected, name)[keep] for name in ("image", "boxes", "label", "score")}
    return replace(collected, **columns)


def _classes(result: CocoResult, bars: ErrorBars, matches: Matches) -> list[dict[str, Any]]:
    """Return the figures of each class that occurs, those with most objects first."""
    counted, true = matches.counted[0, 0], matches.true[0, 0]
    bounds = np.searchsorted(matches.label, np.arange(len(result.per_class) + 1))
    rows = []
    for label, one in enumerate(result.per_class):
        here = slice(bounds[label], bounds[label + 1])
        if not one.objects and not counted[here].any():
            continue
        keep = counted[here]
        threshold, f1, precision, recall = best_f1(matches.score[here][keep], true[here][keep], one.objects)
        rows.append({
            "name": one.name, "objects": one.objects, "AP": one.ap, "AP50": one.stats["AP50"],
            "AR100": one.stats["AR100"], "interval": bars.classes.get(one.name), "found": int(true[here].sum()),
            "threshold": threshold, "F1": f1, "precision": precision, "recall": recall,
        })  # fmt: skip
    return sorted(rows, key=lambda row: (-row["objects"], row["name"]))


def _overall(matches: Matches) -> dict[str, float]:
    """Return the score with the best F1 over all classes together, at an IoU of .5."""
    keep = matches.counted[0, 0]
    names = ("threshold", "F1", "precision", "recall")
    values = best_f1(matches.score[keep], matches.true[0, 0][keep], int(matches.objects[0].sum()))
    return dict(zip(names, values, strict=True))


def _by_iou(result: CocoResult) -> list[list[float]]:
    """Return pairs of an IoU limit and the AP at it, over the classes with objects."""
    values = np.array([one.ap_by_iou for one in result.per_class if one.objects]).reshape(-1, len(IOU_LIMITS))
    means = values.mean(axis=0).tolist() if len(values) else []
    return [[round(float(limit), 2), ap] for limit, ap in zip(IOU_LIMITS, means, strict=False)]


def _most_common(result: CocoResult) -> Ints:
    """Return the labels of the classes with most objects, with at least one."""
    objects = np.array([one.objects for one in result.per_class])
    order = np.argsort(-objects, kind="stable")[:_MOST_CLASSES]
    return order[objects[order] > 0]


def _library(collected: Collected, names: Sequence[str], shown: Ints, limit: float) -> dict[str, Any]:
    """Return what the library says: precision–recall curves, TIDE's errors, calibration."""
    number = len(names)
    collected = collected.with_a_region_for_each_class(number)
    used = np.unique(collected.truth_label[~collected.truth_ignore])
    small = of_classes(collected, used, number)
    small = replace(small, truth_boxes=xyxy_to_xywh(small.truth_boxes), boxes=xyxy_to_xywh(small.boxes))
    place = {label: row for row, label in enumerate(used.tolist())}
    errors = Errors.of(above(collected, limit), number)
    content: dict[str, Any] = {"errors": [], "curves": {}}
    costs: dict[str, float] = {}
    if len(small.label) and len(small.truth_label):
        evaluation = run_library(small, [names[label] for label in used.tolist()])
        evaluation.accumulate()
        precision = evaluation.eval["precision"] if evaluation.eval else np.zeros((10, 101, 0, 4, 3))
        costs = evaluation.tide_errors()["delta_ap"]
        content["curves"] = {
            "recall": np.linspace(0, 1, 101).round(2).tolist(),
            "overall": {str(limit): _curve(precision[row, :, :, 0, 2]) for row, limit in ((0, 0.5), (5, 0.75))},
            "classes": {names[label]: _curve(precision[0, :, [place[label]], 0, 2].T) for label in shown[:8].tolist()},
        }
    counts = errors.counts()
    for kind, name in KIND_NAMES.items():
        content["errors"].append({"kind": kind, "name": name, "count": counts[kind], "cost": float(costs.get(kind, 0))})
    return content


def _curve(values: NDArray[np.float64]) -> list[float]:
    """Return 101 precisions, the mean over the classes that have objects."""
    there = values[:, (values > -1).all(axis=0)]
    return there.mean(axis=1).round(4).tolist() if there.shape[1] else []


def _calibration(validation: Validation) -> dict[str, Any]:
    """Return how often detections of each score are right, and the mean distance of the two."""
    kept, right = judged(validation.evaluator)
    bins = np.clip((_BINS * kept.score).astype(int), 0, _BINS - 1)
    rows, error = [], 0.0
    for one in np.unique(bins).tolist():
        here = bins == one
        score, share = float(kept.score[here].mean()), float(right[here].mean())
        rows.append({"from": one / _BINS, "score": score, "right": share, "detections": int(here.sum())})
        error += abs(score - share) * here.mean()
    sure = float((kept.score - right).mean()) if len(right) else 0.0
    return {"least_score": LEAST_SCORE, "bins": rows, "error": float(error), "too_sure": sure}


def _confusions(collected: Collected, names: Sequence[str], limit: float) -> dict[str, Any]:
    """Return the confusion matrix over the most frequent classes and the background, and the most frequent pairs.

    Rows are true classes, columns found ones; the last of each is the background, the one before it all other classes.
    """
    kept = above(collected, limit)
    objects = kept.count_objects(len(names))
    seen = objects + np.bincount(kept.label, minlength=len(names))
    order = np.argsort(-seen, kind="stable")[:_MOST_CLASSES]
    order = order[seen[order] > 0]
    rest = bool((seen > 0).sum() > len(order))
    place = np.full(len(names), len(order))
    place[order] = np.arange(len(order))
    headings = [names[label] for label in order.tolist()] + ["other classes"] * rest
    counting = ~kept.truth_ignore
    if not len(headings):
        return {"classes": [], "matrix": [], "pairs": []}
    import hotcoco

    images = [{"id": i + 1} for i in range(kept.num_images)]
    categories = [{"id": i + 1, "name": str(i)} for i in range(len(headings))]
    truth = kept.truth_image[counting] + 1, place[kept.truth_label[counting]] + 1
    boxes = xyxy_to_xywh(kept.truth_boxes[counting])
    dataset = hotcoco.COCO.from_arrays(images, categories, *truth, boxes)
    rows = np.column_stack([kept.image + 1, xyxy_to_xywh(kept.boxes), kept.score, place[kept.label] + 1])
    matrix = hotcoco.COCOeval(dataset, dataset.load_res(rows), "bbox").confusion_matrix(min_score=limit)["matrix"]
    cells = np.asarray(matrix, np.int64)
    pairs = [
        {"true": headings[row], "found": headings[column], "count": int(cells[row, column])}
        for row, column in np.argwhere(cells[:-1, :-1] > 0).tolist()
        if row != column
    ]
    pairs.sort(key=lambda pair: -pair["count"])
    return {"classes": headings, "matrix": cells.tolist(), "pairs": pairs[:40]}


def _data(collected: Collected, names: Sequence[str]) -> dict[str, Any]:
    """Return counts of the data: images without objects, objects by size, classes that are not there."""
    counting = ~collected.truth_ignore
    area, label = collected.truth_area[counting], collected.truth_label[counting]
    low, high = np.array(AREAS)[1:].T
    by_size = ((area[:, None] >= low) & (area[:, None] < high)).sum(axis=0)
    empty = collected.num_images - len(np.unique(collected.truth_image[counting]))
    absent = len(names) - len(np.unique(label))
    sides = np.sqrt(np.maximum(area, 1))
    edges = [0, *(2.0 ** np.arange(3, 11)).tolist()]
    counts, _ = np.histogram(sides, [*edges, np.inf])
    return {
        "images_without_objects": int(empty),
        "ignored": int((~counting).sum()),
        "sizes": dict(zip(SIZE_NAMES, by_size.tolist(), strict=True)),
        "sides": [[edge, int(count)] for edge, count in zip(edges, counts, strict=True)],
        "classes": len(names),
        "classes_without_objects": int(absent),
    }


def _faults(content: dict[str, Any]) -> list[str]:
    """Return sentences on what costs most, the worst first."""
    found: list[tuple[float, str]] = []
    total = max(content["objects"], 1)
    for error in content["errors"]:
        if error["count"]:
            noun = "objects are" if error["kind"] == "Miss" else "detections are"
            text = f"{error['count']:,} {noun} {error['name']}"
            if error["kind"] == "Miss":
                text += f", of {total:,}"
            found.append((error["cost"], f"{text}: mending that alone would raise AP50 by {error['cost']:.3f}"))
    figures, sizes = content["figures"], content["data"]["sizes"]
    known = {name: figures.get(f"AP{name[0]}", -1) for name in SIZE_NAMES if sizes[name] >= 10}
    known = {name: ap for name, ap in known.items() if ap >= 0}
    if len(known) > 1:
        worst, best = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        gap = known[best] - known[worst]
        if gap > 0.05:
            text = f"{worst} objects: AP {known[worst]:.3f}, of {best} ones {known[best]:.3f}"
            found.append((gap * sizes[worst] / total, f"{text}; {sizes[worst]:,} of {total:,} objects are {worst}"))
    rows = [row for row in content["classes"] if row["objects"] >= 10]
    if len(rows) > 2:
        low = sorted(rows, key=lambda row: row["AP"])[:3]
        mean = sum(row["AP"] for row in rows) / len(rows)
        loss = sum(mean - row["AP"] for row in low) / len(rows)
        texts = ", ".join(f"{row['name']} {row['AP']:.3f}" for row in low)
        found.append((loss, f"worst classes of at least ten objects, by AP: {texts} (the mean is {mean:.3f})"))
    never = [row["name"] for row in content["classes"] if row["objects"] and not row["found"]]
    if never:
        some = ", ".join(never[:8]) + ", …" * (len(never) > 8)
        share = len(never) / max(sum(1 for row in content["classes"] if row["objects"]), 1)
        found.append((share, f"never found: {len(never)} of the classes that are there: {some}"))
    pairs = content["confusions"]["pairs"]
    if pairs and pairs[0]["count"] > 1:
        texts = ", ".join(f"{pair['true']} for {pair['found']} ({pair['count']})" for pair in pairs[:3])
        found.append((0.0, f"taken most often: {texts}"))
    error = content["calibration"].get("error", 0)
    if error > 0.05:
        sure = "too sure" if content["calibration"]["too_sure"] > 0 else "not sure enough"
        found.append((0.01, f"scores are {sure}: they lie {error:.3f} off the share that is right"))
    found += [(cost, text) for cost, text in (content.get("tracking") or {}).get("faults", ())]
    return [text for _, text in sorted(found, key=lambda fault: -fault[0])]
