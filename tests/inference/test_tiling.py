"""Tiles cover the picture, and every object of it is found once, wherever the borders run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest

from centernet.boxes import iou
from centernet.images import Preprocessing
from centernet.inference import Detector
from centernet.inference.tiling import merge, tiles


@pytest.mark.parametrize(
    ("size", "tile", "overlap"),
    [
        ((1000, 1800), (512, 512), 0.25),
        ((512, 512), (512, 512), 0.25),
        ((100, 3000), (512, 512), 0.25),
        ((513, 700), (512, 512), 0.0),
        ((997, 1009), (64, 96), 0.5),
        ((3000, 40), (32, 32), 0.9),
        ((5, 7), (512, 512), 0.25),
    ],
)
def test_tiles_cover_the_picture_and_overlap(size: Any, tile: Any, overlap: float) -> None:
    found = tiles(size, tile, overlap)
    covered = np.zeros(size, int)
    for x1, y1, x2, y2 in found:
        covered[y1:y2, x1:x2] += 1
    assert covered.min() >= 1
    assert (found[:, 0] >= 0).all() and (found[:, 2] <= size[1]).all() and (found[:, 3] <= size[0]).all()
    height, width = min(tile[0], size[0]), min(tile[1], size[1])
    assert {(y2 - y1, x2 - x1) for x1, y1, x2, y2 in found.tolist()} == {(height, width)}
    for starts, side in ((np.unique(found[:, 0]), width), (np.unique(found[:, 1]), height)):
        assert (np.diff(starts) <= max(1, side * (1 - overlap)) + 1).all()  # whole pixels: one more at most
    # Not one tile more than needed along an axis.
    step = max(1, width * (1 - overlap))
    assert len(np.unique(found[:, 0])) <= 1 + np.ceil(max(0, size[1] - width) / step)


@dataclass
class FindBlobs:
    """Each bright patch of an input is an object, its label by its colour: what a perfect network would say."""

    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing((128, 128), pad_value=0))
    class_names: tuple[str, ...] = ("red", "white")

    def __call__(self, images: np.ndarray, num_detections: int) -> dict[str, Any]:
        n, k = len(images), num_detections
        bboxes, labels = np.zeros((n, k, 4), np.float32), np.zeros((n, k), np.int64)
        scores = np.zeros((n, k), np.float32)
        for i, image in enumerate(images):
            _, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 0] > 100).astype(np.uint8), connectivity=4)
            for j, (x, y, w, h, area) in enumerate(stats[1 : k + 1].tolist()):
                if area >= 4:
                    bboxes[i, j] = x, y, x + w, y + h
                    labels[i, j] = image[y + h // 2, x + w // 2, 1] > 100
                    scores[i, j] = 0.5 + 0.4 * min(1, area / 400)
            order = np.argsort(-scores[i], kind="stable")
            bboxes[i], labels[i], scores[i] = bboxes[i][order], labels[i][order], scores[i][order]
        return {"bboxes": bboxes, "labels": labels, "scores": scores}


def scattered(seed: int, size: tuple[int, int], largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Rectangles that are apart, of 4 to `largest` pixels, and the picture of them."""
    rng = np.random.default_rng(seed)
    image, boxes = np.zeros((*size, 3), np.uint8), []
    for _ in range(400):
        w, h = rng.integers(4, largest + 1, 2)
        x, y = rng.integers(0, size[1] - w), rng.integers(0, size[0] - h)
        if not image[max(0, y - 8) : y + h + 8, max(0, x - 8) : x + w + 8].any():
            image[y : y + h, x : x + w] = (255, 255, 255) if rng.random() < 0.5 else (255, 0, 0)
            boxes.append((x, y, x + w, y + h))
    return image, np.array(boxes, np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_objects_that_fit_the_overlap_are_found_once_and_exactly(seed: int) -> None:
    image, boxes = scattered(seed, (400, 560), largest=31)
    found = Detector(FindBlobs(), tile=128, num_detections=1000)(image)
    assert len(boxes) > 40 and len(found) == len(boxes)
    assert (iou(boxes, found.bboxes).max(axis=1) > 0.999).all()
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_large_and_small_objects_together(seed: int) -> None:
    """What is longer than a tile is found in the look at the whole, or joined from its parts."""
    image, boxes = scattered(seed, (400, 560), largest=310)
    found = Detector(FindBlobs(), tile=128, num_detections=1000)(image)
    best = iou(boxes, found.bboxes).max(axis=1)
    assert (best > 0.7).mean() > 0.85  # thin ones are a pixel wide in the look at the whole
    twice = np.triu(iou(found.bboxes, found.bboxes), 1)
    assert (twice < 0.3).all(), "an object was counted twice"
    assert len(found) <= 1.1 * len(boxes)


def test_an_object_cut_by_a_border_is_joined() -> None:
    """Seen by no view as a whole: thin, so that the look at the whole loses it, and longer than the overlap."""
    image = np.zeros((128, 1280, 3), np.uint8)
    image[60:64, 20:1220] = 255
    found = Detector(FindBlobs(), tile=128)(image)
    assert len(found) == 1
    np.testing.assert_allclose(found.bboxes[0], [20, 60, 1220, 64], atol=1)


def test_neighbours_at_a_border_stay_two() -> None:
    views = np.array([[0, 0, 100, 100], [75, 0, 175, 100]])
    boxes = np.array([[80, 10, 99, 60], [81, 62, 98, 95], [80, 10, 110, 60], [81, 62, 108, 95]], np.float32)
    labels, scores = np.zeros(4, np.int64), np.array([0.8, 0.7, 0.6, 0.5], np.float32)
    rows, joined, _ = merge(boxes, labels, scores, np.array([0, 0, 1, 1]), views)
    assert sorted(rows.tolist()) == [2, 3], "of each, the whole one"
    np.testing.assert_array_equal(joined[np.argsort(rows)], boxes[2:])


def test_boxes_of_one_view_or_of_different_classes_are_never_one_object() -> None:
    views = np.array([[0, 0, 200, 200], [0, 0, 100, 200], [50, 0, 200, 200]])
    box = np.array([[60, 50, 90, 90]] * 3, np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    one_view = merge(box, np.zeros(3, np.int64), scores, np.array([1, 1, 1]), views)
    assert one_view[0].tolist() == [0, 1, 2]
    classes = merge(box, np.array([0, 1, 2]), scores, np.array([0, 1, 2]), views)
    assert classes[0].tolist() == [0, 1, 2]
    same = merge(box, np.zeros(3, np.int64), scores, np.array([0, 1, 2]), views)
    assert same[0].tolist() == [0] and same[2].tolist() == pytest.approx([0.9])


def test_a_weak_whole_box_does_not_take_out_a_strong_part() -> None:
    views = np.array([[0, 0, 100, 100], [0, 0, 175, 100]])
    boxes = np.array([[40, 10, 99, 60], [20, 0, 160, 100]], np.float32)  # cut, strong; and something vague around it
    rows, _, _ = merge(boxes, np.zeros(2, np.int64), np.array([0.9, 0.05], np.float32), np.array([0, 1]), views)
    assert rows.tolist() == [0, 1]


def test_nothing_found_is_nothing_merged() -> None:
    views = tiles((200, 200), (64, 64))
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64)
    assert [len(part) for part in merge(*empty, views)] == [0, 0, 0]
    assert len(Detector(FindBlobs(), tile=128)(np.zeros((200, 300, 3), np.uint8))) == 0


def test_tiles_of_the_network_s_size_and_small_pictures() -> None:
    image, boxes = scattered(0, (400, 560), largest=31)
    found = Detector(FindBlobs(), tile=True, num_detections=1000)(image)
    assert len(found) == len(boxes)
    assert len(Detector(FindBlobs(), tile=1000, num_detections=1000)(image)) < len(boxes)  # one look at the whole
    stacked = Detector(FindBlobs(), tile=128).stacked([image, image[:200]], 10)
    assert stacked["bboxes"].shape == (2, 10, 4) and (stacked["scores"] > 0).all()


def test_a_region_is_looked_at_and_boxes_are_the_picture_s() -> None:
    image, boxes = scattered(1, (400, 560), largest=31)
    region = (100, 50, 300, 250)
    inside = (boxes[:, :2] >= region[:2]).all(axis=1) & (boxes[:, 2:] <= region[2:]).all(axis=1)
    outside = (boxes[:, :2] >= region[2:]).any(axis=1) | (boxes[:, 2:] <= region[:2]).any(axis=1)
    found = Detector(FindBlobs(), tile=128, num_detections=1000, region=region)(image)
    assert (iou(boxes[inside], found.bboxes).max(axis=1) > 0.999).all()
    assert (iou(boxes[outside], found.bboxes).max(axis=1) == 0).all()
    assert (found.bboxes >= [*region[:2], *region[:2]]).all() and (found.bboxes <= [*region[2:], *region[2:]]).all()
    one = Detector(FindBlobs(), region=(0, 0, 128, 128))(image)  # at its own scale
    assert (iou(boxes[(boxes[:, 2:] <= 128).all(axis=1)], one.bboxes).max(axis=1) > 0.999).all()


def test_classes_are_filtered_by_name() -> None:
    image, _ = scattered(2, (128, 128), largest=31)
    everything = Detector(FindBlobs())(image)
    white = Detector(FindBlobs(), classes=["white"])(image)
    assert 0 < len(white) < len(everything) and set(white.names) == {"white"}
    np.testing.assert_array_equal(white.bboxes, everything.filter(labels=[1]).bboxes)
    stacked = Detector(FindBlobs(), classes=["white"]).stacked(image, 50)
    assert (stacked["scores"][0] > 0).sum() == len(white)
    with pytest.raises(ValueError, match=r"'whit'.*did you mean 'white'"):
        Detector(FindBlobs(), classes=["whit"])


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"tile": 8}, "at least 32 pixels, got 8"),
        ({"tile_overlap": 1.0}, "tile_overlap: expected"),
        ({"region": (10, 10, 10, 20)}, "region: expected x1 y1 x2 y2"),
        ({"region": (10, 10, 20)}, "region: expected x1 y1 x2 y2"),
    ],
)
def test_options_out_of_range_are_named(option: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Detector(FindBlobs(), **option)


def test_a_region_outside_of_the_picture_is_told_with_its_name() -> None:
    with pytest.raises(ValueError, match=r"image_000000: the region \(100, 0, 200, 50\) lies outside .* 64×64"):
        Detector(FindBlobs(), region=(100, 0, 200, 50))(np.zeros((64, 64, 3), np.uint8))
