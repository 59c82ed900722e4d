"""Tiles cover the picture, and every object of it is found once, wherever the borders run."""

from __future__ import annotations

import tracemalloc
from contextlib import nullcontext as nothing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from centernet import boxes as box_ops
from centernet.boxes import intersection_over_area, iou
from centernet.cli.main import main
from centernet.images import ImageError, Preprocessing, windows
from centernet.inference import Detector, detector as detector_module, tiling
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


# ---------------------------------------------------------------------- many boxes


def pairs_one_by_one(boxes: Any, labels: Any, cut: Any, view: Any, views: Any) -> Any:
    """All pairs of views, each box of one against each of the other: the rule itself, in memory by the square."""
    found: list[Any] = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0, bool), np.zeros(0, bool))]
    for a in range(len(views)):
        for b in range(a + 1, len(views)):
            low, high = np.maximum(views[a, :2], views[b, :2]), np.minimum(views[a, 2:], views[b, 2:])
            i, j = (
                np.flatnonzero(
                    (view == v) & (boxes[:, :2] < high).all(axis=1) & (boxes[:, 2:] > low).all(axis=1)
                )
                for v in (a, b)
            )  # fmt: skip
            if (high <= low).any() or not len(i) or not len(j):
                continue
            limits = np.tile(low, 2), np.tile(high, 2)
            seen = [np.clip(boxes[rows], *limits).astype(np.float32) for rows in (i, j)]
            alike = labels[i][:, None] == labels[j]
            agreement = iou(*seen) * alike
            same = agreement >= tiling.SAME
            best = agreement == agreement.max(axis=1, keepdims=True)
            best &= agreement == agreement.max(axis=0, keepdims=True)
            part = (intersection_over_area(boxes[i], boxes[j]) >= tiling.PART) & cut[i][:, None] & ~cut[j]
            part |= (intersection_over_area(boxes[j], boxes[i]).T >= tiling.PART) & cut[j] & ~cut[i][:, None]
            p, q = np.nonzero(same | (part & alike))
            found.append((i[p], j[q], same[p, q], best[p, q]))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def seen_in_views(seed: int, most: int) -> tuple[Any, ...]:
    """Arguments of `merge`: random objects of all sizes, as views of random sizes see them with some noise."""
    rng = np.random.default_rng(seed)
    size, tile = rng.integers(100, 800, 2), rng.integers(60, 400, 2)
    overlap = rng.uniform(0, 0.6)
    views = tiles((size[0], size[1]), (tile[0], tile[1]), overlap)
    if seed % 3:
        views = np.concatenate([[[0, 0, size[1], size[0]]], views])
    views = views + (np.tile(rng.integers(0, 500, 2), 2) if seed % 5 == 0 else 0)
    count = int(rng.integers(0, most))
    centres = views[:, :2].min(axis=0) + rng.random((count, 2)) * size[::-1]
    sides, labels = rng.random((count, 2)) ** 3 * size[::-1], rng.integers(0, 3, count)
    objects = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    limits = np.tile(views[:, None, :2], 2), np.tile(views[:, None, 2:], 2)
    boxes = np.clip(objects + rng.normal(0, seed % 4, (len(views), count, 4)), *limits)  # views × objects × 4
    boxes = np.round(boxes) if seed % 2 else boxes  # with ties
    least = (boxes[..., 2:] - boxes[..., :2]).min(axis=-1)
    view, which = np.nonzero((least >= 0 if seed % 7 == 0 else least > 0) & (rng.random(least.shape) < 0.9))
    scores = np.round(rng.random(len(view)), 2 if seed % 2 else 6).astype(np.float32)
    shared = float(tile[0] * overlap), float(tile[1] * overlap)
    return boxes[view, which].astype(np.float32), labels[which], scores, view, views, shared


@pytest.mark.parametrize("seed", range(14))
def test_a_sweep_joins_what_a_comparison_of_all_pairs_joins(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = seen_in_views(seed, 100)
    monkeypatch.setattr(box_ops, "BLOCK", 64 if seed % 2 else 1 << 18)
    swept = merge(*given)
    monkeypatch.setattr(tiling, "_pairs", pairs_one_by_one)
    for one, other in zip(swept, merge(*given), strict=True):
        np.testing.assert_array_equal(one, other)


def test_memory_of_joining_grows_with_the_number_of_boxes() -> None:
    """Many boxes of one class: a comparison of all with all would take 40 GB."""
    rng, number = np.random.default_rng(0), 100_000
    views = tiles((20_000, 20_000), (2000, 2000))
    views = np.concatenate([[[0, 0, 20_000, 20_000]], views])
    view = rng.integers(0, len(views), number)
    low = views[view, :2] + rng.random((number, 2)) * (views[view, 2:] - views[view, :2] - 100)
    boxes = np.concatenate([low, low + rng.uniform(10, 100, (number, 2))], axis=1).astype(np.float32)
    scores = rng.random(number).astype(np.float32)
    tracemalloc.start()
    merge(boxes, np.zeros(number, np.int64), scores, view, views, (500, 500))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1000 * number  # bytes


# ---------------------------------------------------------------------- large files


@pytest.fixture(params=["rasterio", "without"])
def large_files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Count every file as large, with rasterio where that is installed, and without."""
    if request.param == "rasterio":
        pytest.importorskip("rasterio")
    else:
        monkeypatch.setattr(windows, "find_spec", lambda name: None)
    monkeypatch.setattr(detector_module, "LARGE", 0)
    return str(request.param)


def same(found: Any, expected: Any) -> None:
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found.bboxes, expected.bboxes, atol=1)
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.02)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_large_file_gives_what_its_array_gives(suffix: str, tmp_path: Path, large_files: str) -> None:
    image, _ = scattered(3, (600, 900), largest=31)
    Image.fromarray(image).save(tmp_path / f"large.{suffix}")
    for options in ({"tile": 128}, {"tile": (128, 96)}, {"region": (300, 100, 400, 180)}):
        detector = Detector(FindBlobs(), num_detections=1000, **options)  # type: ignore[arg-type]
        same(detector(tmp_path / f"large.{suffix}"), detector(image))
        same(detector([tmp_path / f"large.{suffix}"] * 2)[1], detector(image))
    both = {"tile": 128, "region": (300, 100, 700, 500), "num_detections": 1000}
    for more in ({}, {"classes": ["white"]}, {"score_threshold": 0.6}, {"num_detections": 20}):
        detector = Detector(FindBlobs(), **(both | more))
        with pytest.warns(UserWarning, match=r"are kept") if "num_detections" in more else nothing():
            same(detector(tmp_path / f"large.{suffix}"), detector(image))


def test_a_large_file_that_cannot_be_read_leaves_the_others(tmp_path: Path, large_files: str) -> None:
    image, boxes = scattered(4, (400, 560), largest=31)
    for name in ("a", "b", "c"):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    noise = np.random.default_rng(0).integers(0, 255, image.shape).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "b.png")
    data = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[: len(data) // 2])  # tiles before the damage are seen
    errors: list[ImageError] = []
    detector = Detector(FindBlobs(), tile=128, num_detections=1000)
    found = list(detector.stream(tmp_path, on_error=errors.append))
    assert [frame.name for frame, _ in found] == ["a.png", "c.png"]
    assert [len(one) for _, one in found] == [len(boxes)] * 2
    assert len(errors) == 1 and "b.png" in str(errors[0])
    with pytest.raises(ImageError, match=r"b\.png"):
        list(detector.stream(tmp_path))


def test_objects_left_out_for_their_number_are_told() -> None:
    image, _ = scattered(1, (400, 560), largest=31)
    with pytest.warns(UserWarning, match=r"at least \d+ objects .* best 10 are kept; raise num_detections"):
        assert len(Detector(FindBlobs(), tile=128, num_detections=10)(image)) == 10


def test_a_file_too_large_for_memory_is_refused_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(windows, "find_spec", lambda name: None)
    monkeypatch.setattr(detector_module, "LARGE", 0)
    Image.fromarray(np.zeros((2000, 2000), np.uint8)).save(tmp_path / "large.png")
    line = ["detect", str(tmp_path / "large.png"), "--output", str(tmp_path / "out"), "--tile", "1500"]
    assert main([*line, "--format", "json", "--max-memory", "0.02"]) == 1
    assert "2000×2000 pixels take 0.028 GB to decode, more than the 0.02 GB" in capsys.readouterr().err
    assert main([*line, "--format", "images,json", "--max-memory", "0.05"]) == 1
    error = capsys.readouterr().err
    assert "take 0.064 GB to draw on" in error and "--format json or csv" in error and "--max-memory 1" in error
    assert (tmp_path / "out" / "detections.json").is_file()
    assert main([*line, "--format", "json", "--max-memory", "1"]) == 0
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    assert main(["detect", str(tmp_path / "large.png"), "--output", str(tmp_path / "out")]) == 1
    assert "look at it in tiles, --tile" in capsys.readouterr().err
    assert main([*line, "--format", "json"]) == 0, "what is asked for in tiles is no bomb"
