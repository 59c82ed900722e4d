"""COCO's figures for keypoints, average precision by object keypoint similarity (OKS), and the share of correct
keypoints (PCK).

OKS of two poses is the mean over the labelled keypoints of exp(−d² / (2 · area · (2σ)²)), with the distance d, the
object's area, and σ of the kind of keypoint: it stands where the IoU of boxes stands in detection. The matching is done
by `hotcoco`. PCK (Yang and Ramanan, 2013): a labelled keypoint is right within a share of the longer side of its
object's box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import hotcoco
import numpy as np
from numpy.typing import NDArray

from centernet.annotations.found_boxes import load_json
from centernet.annotations.keypoints import KEYPOINTS, skeleton_of
from centernet.boxes import iou, xyxy_to_xywh
from centernet.detections import Detections
from centernet.skeleton import Skeleton

from .collecting import EvaluationResult, text_table

if TYPE_CHECKING:
    from .collecting import Truth

FIGURES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
"""The ten, in COCO's order; the best 20 detections of an image count, objects from 32² pixels on are medium."""
PCK_SHARE = 0.2
"""Share of the longer side of its box within which a keypoint is right."""
_LEAST_IOU = 0.5  # of a detection's box, to be the one whose keypoints are compared


@dataclass(frozen=True)
class KeypointResult(EvaluationResult):
    """COCO's ten figures for keypoints, and PCK: the share of labelled keypoints that are right, those of objects that
    were not found counting as wrong.

    Attributes:
        stats: `FIGURES` and PCK; -1 where there is no object with keypoints.
        pck_by_keypoint: by name; -1 where none is labelled.
        images, objects, detections: their numbers; objects are those with a labelled keypoint that are not to be
            ignored.
        ap_by_oks: average precision at OKS .50, .55 … .95.
    """

    title: ClassVar[str] = "keypoints"

    stats: Mapping[str, float]
    pck_by_keypoint: Mapping[str, float]
    images: int
    objects: int
    detections: int
    ap_by_oks: tuple[float, ...]

    def table(self) -> str:
        """Return the figures, then PCK of each keypoint, as lines of text."""
        names, values = [*FIGURES], [self.stats[name] for name in FIGURES]
        over_all = text_table([["", *names[:5]], ["", *values[:5]], ["", *names[5:]], ["", *values[5:]]])
        rows = text_table(
            [
                ["keypoint", f"PCK@{PCK_SHARE:g}"],
                *([name, value] for name, value in self.pck_by_keypoint.items()),
                ["all", self.stats["PCK"]],
            ]
        )
        counts = f"{self.images} images, {self.objects} objects with keypoints, {self.detections} detections"
        return "\n".join([counts, "", *over_all, "", *rows])


class _Image(NamedTuple):
    """Truth and detections of one image."""

    truth_boxes: NDArray[Any]
    truth_labels: NDArray[Any]
    truth_ignore: NDArray[Any]
    truth_areas: NDArray[Any]
    truth_points: NDArray[Any]  # N×K×3, x y visibility
    boxes: NDArray[Any]
    labels: NDArray[Any]
    scores: NDArray[Any]
    points: NDArray[Any]  # M×K×3, x y score


class KeypointEvaluator:
    """Collects truth and detections with keypoints, in original pixels, image by image, and computes the figures.

    As in COCO, objects without a labelled keypoint and regions to ignore are no objects that can be missed. It can be
    pickled, and take over what another has (`merge`). An image that was given twice counts once.

    Args:
        class_names: by label.
        skeleton: of the truth: names, and sigmas for OKS.

    Example:
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> from centernet import Detections
        >>> from centernet.column import Column
        >>> skeleton = Skeleton(("head", "tail"))
        >>> columns = {"boxes": np.array([[10, 10, 60, 50]]), "labels": np.array([0]), "areas": np.array([2000])}
        >>> points = np.array([[[12.0, 20, 2], [55, 40, 1]]])
        >>> truth = SimpleNamespace(image_id=7, ignore=np.array([False]), data={"keypoints": points}, **columns)
        >>> column = Column("keypoints", "points", (2, 3), skeleton=skeleton)
        >>> found = Detections([[10, 10, 60, 49]], [0], [0.9], columns=[column], data={"keypoints": points})
        >>> evaluator = KeypointEvaluator(["cat"], skeleton)
        >>> evaluator.update(truth, found)
        >>> round(evaluator.compute().stats["AP"], 3)
        1.0
    """

    def __init__(self, class_names: Sequence[str], skeleton: Skeleton) -> None:
        self.class_names, self.skeleton = tuple(class_names), skeleton
        self._images: dict[int, _Image] = {}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def update(self, truth: Truth, detections: Detections) -> None:
        """Add an image; one whose id is known already is passed over.

        Args:
            truth: of an image, whose `data` has keypoints N×K×3.
            detections: with keypoints; of a skeleton that has those of the truth by name.

        Raises:
            ValueError: detections without keypoints, or without one that the truth has.
        """
        image_id = int(truth.image_id)
        if image_id in self._images:
            return
        points = getattr(truth, "data")[KEYPOINTS]  # noqa: B009 - not of every truth
        self._images[image_id] = _Image(
            np.array(truth.boxes, np.float64).reshape(-1, 4),
            np.array(truth.labels, np.int64),
            np.array(truth.ignore, np.bool_),
            np.array(truth.areas, np.float64),
            np.array(points, np.float64).reshape(-1, len(self.skeleton), 3),
            detections.bboxes.astype(np.float64),
            detections.labels.copy(),
            detections.scores.astype(np.float64),
            self._ordered(detections),
        )

    def merge(self, other: KeypointEvaluator) -> None:
        """Add the images of another evaluator where they are not here yet."""
        self._images = other._images | self._images

    def compute(self) -> KeypointResult:
        """Compute the figures of all images so far; no image at all is a ValueError."""
        if not self._images:
            raise ValueError("nothing to evaluate: no image was given; is the split empty?")
        images = [self._images[image_id] for image_id in sorted(self._images)]
        truth, found = list[dict[str, Any]](), list[dict[str, Any]]()
        for number, image in enumerate(images, start=1):
            truth += _truth_rows(image, number, len(truth))
            found += _found_rows(image, number)
        labels = sorted({row["category_id"] - 1 for row in truth if row["num_keypoints"]})
        categories = [{"id": label + 1, "name": self.class_names[label]} for label in labels]
        dataset = {"images": [{"id": number} for number in range(1, len(images) + 1)], "annotations": truth}
        figures, by_oks = _oks(dataset | {"categories": categories}, found, self.skeleton.sigmas)
        right, total = _correct(images, len(self.skeleton))
        shares = [float(r / t) if t else -1.0 for r, t in zip(right.tolist(), total.tolist(), strict=True)]
        pck = float(right.sum() / total.sum()) if total.sum() else -1.0
        objects = sum(bool(row["num_keypoints"]) and not row["iscrowd"] for row in truth)
        by_name = dict(zip(self.skeleton.names, shares, strict=True))
        return KeypointResult(figures | {"PCK": pck}, by_name, len(images), objects, len(found), by_oks)

    def _ordered(self, detections: Detections) -> NDArray[np.float64]:
        """Return the keypoints of detections in the truth's order."""
        points = detections.keypoints
        if points is None:
            if len(detections):
                raise ValueError("the detections have no keypoints: is the model one with a keypoint head?")
            return np.zeros((0, len(self.skeleton), 3))
        own = next(column.skeleton for column in detections.columns if column.name == KEYPOINTS)
        if own is None or own.names == self.skeleton.names:
            if points.shape[1] != len(self.skeleton):
                raise ValueError(f"the detections have {points.shape[1]} keypoints, the truth {len(self.skeleton)}")
            return points.astype(np.float64)
        places = {name: place for place, name in enumerate(own.names)}
        if missing := [name for name in self.skeleton.names if name not in places]:
            raise ValueError(f"the detections lack keypoints that the truth has: {', '.join(missing)}")
        return points[:, [places[name] for name in self.skeleton.names]].astype(np.float64)


def evaluate_keypoints(
    truth: str | Path | Mapping[str, Any], detections: str | Path | Sequence[Mapping[str, Any]]
) -> KeypointResult:
    """Evaluate keypoints in COCO's result form against annotations in COCO's form, as pycocotools does.

    Args:
        truth: a JSON file, or what is in one; its categories name the keypoints.
        detections: a JSON file, or the list in it, of ``image_id``, ``category_id``, ``keypoints`` and ``score``.

    Raises:
        ValueError: no category names keypoints, or an entry lacks them.
        OSError: a file cannot be read.
    """
    dataset: Any = load_json(Path(truth)) if isinstance(truth, str | Path) else truth
    rows: Any = load_json(Path(detections)) if isinstance(detections, str | Path) else detections
    named = [entry for entry in dataset["categories"] if entry.get("keypoints")]
    if not named:
        raise ValueError("no category of the annotations names keypoints (its list keypoints)")
    skeleton = skeleton_of(named[0]["keypoints"])
    evaluator = KeypointEvaluator([str(entry["name"]) for entry in named], skeleton)
    label_of = {entry["id"]: label for label, entry in enumerate(named)}
    of_image: dict[Any, tuple[list[Any], list[Any]]] = {entry["id"]: ([], []) for entry in dataset["images"]}
    for place, (entries, what) in enumerate(((dataset["annotations"], "annotation"), (rows, "detection"))):
        for number, entry in enumerate(entries):
            if len(entry.get("keypoints", ())) != 3 * len(skeleton):
                raise ValueError(f"{what} {number}: expected {3 * len(skeleton)} numbers as keypoints")
            if entry["category_id"] in label_of and entry["image_id"] in of_image:
                of_image[entry["image_id"]][place].append(entry)
    for number, (objects, found) in enumerate(of_image.values()):
        evaluator._images[number] = _of_entries(objects, found, label_of, len(skeleton))
    return evaluator.compute()


def _of_entries(objects: list[Any], found: list[Any], label_of: Mapping[Any, int], count: int) -> _Image:
    """Return an image of entries of COCO's lists; a detection without a box has that around its keypoints."""

    def column(entries: list[Any], key: str, default: Any = 0) -> NDArray[np.float64]:
        return np.array([entry.get(key, default) for entry in entries], np.float64)

    boxes = np.array([entry["bbox"] for entry in objects], np.float64).reshape(-1, 4)
    points = column(found, "keypoints").reshape(-1, count, 3)
    around = np.concatenate([points[..., :2].min(axis=1), points[..., :2].max(axis=1)], axis=1)
    for row, entry in enumerate(found):
        if "bbox" in entry:
            x, y, width, height = entry["bbox"]
            around[row] = x, y, x + width, y + height
    labels = [np.array([label_of[entry["category_id"]] for entry in part], np.int64) for part in (objects, found)]
    return _Image(
        np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        labels[0],
        column(objects, "iscrowd") > 0,
        column(objects, "area"),
        column(objects, "keypoints").reshape(-1, count, 3),
        around,
        labels[1],
        column(found, "score"),
        points,
    )


def _truth_rows(image: _Image, number: int, before: int) -> list[dict[str, Any]]:
    boxes, rows = xyxy_to_xywh(image.truth_boxes), list[dict[str, Any]]()
    for row, label in enumerate(image.truth_labels.tolist()):
        points = image.truth_points[row]
        rows.append(
            {
                "id": before + len(rows) + 1,
                "image_id": number,
                "category_id": max(label, 0) + 1,
                "bbox": boxes[row].tolist(),
                "area": float(image.truth_areas[row]),
                "iscrowd": int(image.truth_ignore[row]),
                "keypoints": points.ravel().tolist(),
                "num_keypoints": int((points[:, 2] > 0).sum()),
            }
        )
    return rows


def _found_rows(image: _Image, number: int) -> list[dict[str, Any]]:
    rows = zip(image.labels.tolist(), image.scores.tolist(), image.points, strict=True)
    return [
        {"image_id": number, "category_id": label + 1, "score": score, "keypoints": points.ravel().tolist()}
        for label, score, points in rows
    ]


def _oks(
    dataset: dict[str, Any], found: list[dict[str, Any]], sigmas: Sequence[float]
) -> tuple[dict[str, float], tuple[float, ...]]:
    """Run the library. Returns the figures, and AP by OKS limit."""
    known = {category["id"] for category in dataset["categories"]}
    if not known:
        return dict.fromkeys(FIGURES, -1.0), (-1.0,) * 10
    rows = [row for row in found if row["category_id"] in known]
    dataset["annotations"] = [row for row in dataset["annotations"] if row["category_id"] in known]
    if not rows:  # the library has no form for none
        return dict.fromkeys(FIGURES, 0.0), (0.0,) * 10
    truth = hotcoco.COCO(dataset)
    evaluation = hotcoco.COCOeval(truth, truth.load_res(rows), "keypoints")
    evaluation.params.kpt_oks_sigmas = list(sigmas)
    evaluation.evaluate()
    evaluation.accumulate()
    arrays = evaluation.eval
    if arrays is None:
        raise RuntimeError("hotcoco gave no result")
    precision, recall = arrays["precision"][..., 0], arrays["recall"][..., 0]  # 10 × 101 × C × 3, and 10 × C × 3
    parts = [(slice(None), 0), (0, 0), (5, 0), (slice(None), 1), (slice(None), 2)]
    values = [_mean(array[limit, ..., size]) for array in (precision, recall) for limit, size in parts]
    return dict(zip(FIGURES, values, strict=True)), tuple(_mean(precision[limit, ..., 0]) for limit in range(10))


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean of the values that are not -1, which marks what has no object."""
    there = values[values > -1]
    return float(there.mean()) if there.size else -1.0


def _correct(images: Sequence[_Image], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each keypoint how many are right, and how many are labelled."""
    right, total = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for image in images:
        objects = np.flatnonzero(~image.truth_ignore & (image.truth_points[..., 2] > 0).any(axis=1))
        labelled = image.truth_points[objects, :, 2] > 0
        total += labelled.sum(axis=0)
        partner = _partners(image, objects)
        there = partner >= 0
        gaps = image.points[partner[there], :, :2] - image.truth_points[objects[there], :, :2]
        sides = image.truth_boxes[objects[there], 2:] - image.truth_boxes[objects[there], :2]
        near = np.hypot(gaps[..., 0], gaps[..., 1]) <= PCK_SHARE * sides.max(axis=1, initial=0)[:, None]
        right += (near & labelled[there]).sum(axis=0)
    return right, total


def _partners(image: _Image, objects: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each object the detection that it is given to, -1 for none: best scores first, by the boxes."""
    partner = np.full(len(objects), -1, np.int64)
    if not len(objects) or not len(image.scores):
        return partner
    overlaps = iou(image.boxes, image.truth_boxes[objects])
    overlaps[image.labels[:, None] != image.truth_labels[objects]] = 0
    for row in np.argsort(-image.scores, kind="stable").tolist():
        free = np.where(partner < 0, overlaps[row], 0)
        if (best := int(free.argmax())) >= 0 and free[best] >= _LEAST_IOU:
            partner[best] = row
    return partner
