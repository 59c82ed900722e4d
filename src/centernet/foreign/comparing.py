"""The agreement of our boxes with those that another project wrote for the same images."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from centernet.boxes import iou
from centernet.foreign.names import COCO_90_CLASSES, COCO_CLASSES
from centernet.images import IMAGE_SUFFIXES
from centernet.inference import Detector
from centernet.network.network import Network

THRESHOLD = 0.1
"""Boxes of lower scores are left out: among them chance decides which are written."""
SAME_IOU, SAME_SCORE = 0.95, 0.02
WORST = 5


@dataclass(frozen=True)
class Agreement:
    """Boxes of another project, and which of them were found again.

    Attributes:
        images: of the number of `boxes` and the number `found` again, by name.
        overlaps: IoU of each box with its partner of the same class, 0 where there is none.
        differences: of the scores of partners.
        without: images of the results that the folder lacks.
    """

    images: dict[str, tuple[int, int]]
    overlaps: NDArray[np.float64]
    differences: NDArray[np.float64]
    without: int

    @property
    def share(self) -> float:
        """Share of the boxes that were found again."""
        boxes = sum(boxes for boxes, _ in self.images.values())
        return sum(found for _, found in self.images.values()) / boxes if boxes else 1.0

    def __str__(self) -> str:
        count = len(self.overlaps)
        lines = [
            f"{self.share:.1%} of {count:,} boxes with a score from {THRESHOLD} in {len(self.images):,} images are "
            f"found again (class, IoU ≥ {SAME_IOU}, score within {SAME_SCORE})"
        ]
        if count:
            lines.append(
                f"  mean IoU {self.overlaps.mean():.4f}; differences of scores: median "
                f"{np.median(self.differences):.5f}, largest {self.differences.max():.5f}"
            )
        if self.without:
            lines.append(f"  {self.without:,} images of the results are not in the folder")
        worst = sorted(self.images.items(), key=lambda item: item[1][1] - item[1][0])[:WORST]
        lines += [f"  {name}: {found} of {boxes}" for name, (boxes, found) in worst if found < boxes]
        return "\n".join(lines)


def compare(network: Network, results: Path, images: Path) -> Agreement:
    """Detect on the images of another project's results, and match the boxes.

    Args:
        network: as it was read from the other project's file.
        results: a list of `image_id`, `category_id`, `bbox` (x, y, width, height) and `score`, as COCO has it.
        images: folder of the images; a file is that of an id by its name, such as 000000000139.jpg.

    Raises:
        ValueError: another form, or results of none of the images.
    """
    rows = _read(results)
    labels = _labels(network)
    files = {_id(path.stem): path for path in sorted(images.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES}
    by_image: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        by_image[_id(str(row["image_id"]))].append(row)
    there = [image for image in by_image if image in files]
    if not there:
        raise ValueError(f"{results}: none of its {len(by_image)} images is in {images}; are files named by their ids?")
    detector = Detector(network, score_threshold=0.0)
    counts: dict[str, tuple[int, int]] = {}
    overlaps: list[float] = []
    differences: list[float] = []
    for image in there:
        wanted = [row for row in by_image[image] if row["score"] >= THRESHOLD]
        found = detector(files[image])
        same = 0
        for row in wanted:
            x, y, width, height = row["bbox"]
            mine = found.labels == labels.get(row["category_id"], -1)
            overlap = (
                iou(np.array([[x, y, x + width, y + height]]), found.bboxes[mine])[0] if mine.any() else np.zeros(1)
            )
            best = int(overlap.argmax())
            overlaps.append(float(overlap[best]))
            if overlap[best] > 0:
                difference = abs(float(found.scores[mine][best]) - row["score"])
                differences.append(difference)
                same += overlap[best] >= SAME_IOU and difference <= SAME_SCORE
        counts[files[image].name] = (len(wanted), int(same))
    gaps = np.array(differences or [0.0])
    return Agreement(counts, np.array(overlaps), gaps, len(by_image) - len(there))


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(path.read_bytes())
        right = isinstance(rows, list) and all(
            len(row["bbox"]) == 4 and {"image_id", "category_id", "score"} <= row.keys() for row in rows
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: no COCO results ({error})") from error
    if not right or not rows:
        raise ValueError(f"{path}: no COCO results: expected a list of image_id, category_id, bbox and score")
    return rows  # type: ignore[no-any-return]


def _labels(network: Network) -> dict[int, int]:
    """Return the channel of each category's id: COCO's ids have gaps, others count from 1."""
    if network.class_names == COCO_CLASSES:
        return {COCO_90_CLASSES.index(name) + 1: label for label, name in enumerate(COCO_CLASSES)}
    return {label + 1: label for label in range(network.num_classes)}


def _id(text: str) -> str:
    return text.lstrip("0") or "0"
