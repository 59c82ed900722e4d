"""Work that doesn't grow with the square of what a file holds: four times as much takes about four times as long."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from centernet import Detections, documents
from centernet.annotations.class_names import places_of
from centernet.annotations.content import judge
from centernet.annotations.image_names import Endings, ImageNames
from centernet.annotations.json_stream import opened_text, read_lists
from centernet.annotations.problems import choose_class_names, with_nearest
from centernet.data import Annotation
from centernet.evaluation import VocEvaluator
from centernet.evaluation.pairs import Pairs, best_assignment
from centernet.evaluation.tracking import TrackingEvaluator, Tracks
from centernet.inference import Frame
from centernet.inference.selecting import Seen, Selection
from centernet.inference.thresholds import class_labels
from centernet.inference.tiling import merge, tiles


def names_of_images(number: int) -> None:
    """One file name in every folder, as sequences have it."""
    images = [f"sequences/{place:06}/img1/000001.jpg" for place in range(number)]
    assert list(ImageNames(images).find_all(images).values()) == list(range(number))
    endings = Endings(images)
    assert all(endings.find(name.partition("/")[2]) == [place] for place, name in enumerate(images))


def classes(number: int) -> None:
    names = [f"class {place}" for place in range(number)]
    assert len(choose_class_names(reversed(names), names, "", "classes")) == number
    assert class_labels(names, names)[-1] == places_of(names, names)[-1] == number - 1


def misspelt_classes(number: int) -> None:
    assert "did you mean" in with_nearest(
        [f"clas {place}" for place in range(number // 10)], ["class 1", "class 2"] * 50
    )


def identities(number: int) -> None:
    """Each with one box, to which the results give another number."""
    frames, places = np.arange(number) // 10, np.arange(number) % 10
    boxes = np.stack([places * 20, places * 0, places * 20 + 10, places * 0 + 10], axis=1).astype(float)
    evaluator = TrackingEvaluator(["a"])
    truth, found = (Tracks(frames, ids, boxes) for ids in (np.arange(number), np.arange(number)[::-1]))
    evaluator.update("x", truth, found, num_frames=number)
    assert evaluator.compute().classes["a"]["x"]["IDF1"] == 1


def boxes_of_tiles(number: int) -> None:
    """A row of objects of which each overlaps the next: in the order of their scores each decides about the next."""
    views = tiles((512, 128 * number), (512, 512), 0.5)
    x = np.arange(number) * 100.0
    boxes = np.stack([x, x * 0 + 10, x + 180, x * 0 + 200], axis=1).astype(np.float32)
    view = np.minimum(np.arange(number), len(views) - 1)
    boxes[:, [0, 2]] += np.arange(number)[:, None] % 2
    scores = np.linspace(1, 0.1, number, dtype=np.float32)
    rows, *_ = merge(boxes, np.zeros(number, np.int64), scores, view, views)
    assert len(rows) <= number


def boxes_of_an_image(number: int) -> None:
    side = int(number**0.5) + 1
    place = np.arange(number)
    boxes = np.stack([place % side * 10, place // side * 10, place % side * 10 + 8, place // side * 10 + 8], axis=1)
    evaluator = VocEvaluator(["a"])
    ones = np.ones(number)
    truth = SimpleNamespace(image_id=0, boxes=boxes, labels=place * 0, ignore=place < 0, areas=64 * ones)
    evaluator.update(truth, Detections(boxes.astype(np.float32), place * 0, ones.astype(np.float32)))
    assert evaluator.compute().stats["mAP_allpoint"] == pytest.approx(1)


def regions_of_any_class(number: int) -> None:
    evaluator = VocEvaluator([f"class {place}" for place in range(number)])
    for image in range(number // 20):
        box = np.array([[0, 0, 10, 10]], np.float32)
        truth = SimpleNamespace(image_id=image, boxes=box, labels=[-1], ignore=[True], areas=[100.0])
        evaluator.update(truth, Detections(box, [image], [0.5]))
    assert sum(result.ignored for result in evaluator.compute().per_class) == number // 20


def selected_images(number: int) -> None:
    selection = Selection(10, np.full(3, 0.5), lambda annotation: None)
    rng, none = np.random.default_rng(0), np.zeros(0, np.int64)
    for place in range(number):
        path, pixels = Path(f"{place}.png"), rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        boxes = np.zeros((0, 4), np.float32)
        annotation = Annotation(path, place, 16, 16, boxes, none, none, none > 0, boxes[:, 0])
        scores = rng.uniform(0.05, 1, 3).astype(np.float32)
        selection.add(Seen(Frame(pixels, path.name, path, place), annotation, np.arange(3), scores, None))
    assert len(selection.choose()) == 10


CASES: dict[Callable[[int], Any], int] = {
    names_of_images: 2_000,
    classes: 5_000,
    misspelt_classes: 5_000,
    identities: 2_000,
    boxes_of_tiles: 5_000,
    boxes_of_an_image: 4_000,
    regions_of_any_class: 2_000,
    selected_images: 3_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_four_times_as_much_takes_no_sixteen_times_as_long(case: Callable[[int], Any]) -> None:
    case(60)  # imports

    def seconds(number: int) -> float:
        start = time.process_time()
        case(number)
        return time.process_time() - start

    number = CASES[case]
    small = min(seconds(number) for _ in range(3))
    assert min(seconds(4 * number) for _ in range(2)) < 9 * small + 0.05


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_each_case_gives_what_is_right(case: Callable[[int], Any]) -> None:
    case(60)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("inclusive", [False, True])
def test_a_crowded_frame_has_the_pairs_of_all_with_all(
    seed: int, inclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    truth, found = (np.repeat(rng.integers(0, 30, (n, 2)), 2, axis=0).reshape(n, 4).astype(float) for n in (70, 50))
    for boxes in (truth, found):
        boxes[:, 2:] += rng.integers(0, 12, (len(boxes), 2))
    frames = np.arange(70) // 35, np.arange(50) // 25
    expected = Pairs.find(frames[0], truth, frames[1], found, inclusive=inclusive)
    monkeypatch.setattr("centernet.evaluation.pairs._MANY", 100)
    monkeypatch.setattr("centernet.evaluation.pairs._AT_A_TIME", 1)
    got = Pairs.find(frames[0], truth, frames[1], found, inclusive=inclusive)
    assert len(expected.iou) > 60
    for name in ("truth", "found", "iou", "spans"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    scores = expected.iou[: np.searchsorted(expected.truth, 35)]
    pairs = scores, expected.truth[: len(scores)], expected.found[: len(scores)], (35, 25)
    sparse = best_assignment(*pairs)
    monkeypatch.setattr("centernet.evaluation.pairs._MANY", 1 << 22)
    dense = best_assignment(*pairs)
    assert scores[sparse].sum() == pytest.approx(scores[dense].sum()) and len(np.unique(pairs[1][sparse])) == len(
        sparse
    )


def test_what_compressed_annotations_unpack_to_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"images": [], "annotations": [{"bbox": [1, 2, 3, 4]}] * 2000, "categories": []}
    text = json.dumps(content)
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(text.encode()))
    with opened_text(path) as file:
        assert file.read() == text
    assert judge(path).role == "boxes"
    size = path.stat().st_size
    assert len(text) > 50 * size
    monkeypatch.setattr(documents, "UNPACKED", 4096)
    with pytest.raises(ValueError, match=r"unpacks to more than .*gunzip"):
        list(read_lists(path))
    assert judge(path).role == "broken"
    monkeypatch.setattr(documents, "RATIO", len(text) // size + 1)  # the limit is the larger of the two
    assert len(list(read_lists(path))) == 2003
