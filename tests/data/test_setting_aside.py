"""A part set aside: whole videos and groups of near-duplicates, each class in its share, the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from centernet.data import Annotation, ChosenImages, Columns, DataError, DetectionDataset, Synthetic, VideoSequence
from centernet.data.setting_aside import set_aside, write_lists


def data(root: Path, labels: Sequence[Sequence[int]], looks: Sequence[int] | None = None) -> DetectionDataset:
    """Images with one box for each label; those of one look are nearly the same."""
    annotations = []
    for index, own in enumerate(labels):
        rng = np.random.default_rng(index if looks is None else looks[index])
        pixels = np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        path = root / f"{index % 3}" / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels.astype(int) + index % 2, 0, 255).astype(np.uint8)).save(path)
        boxes = np.tile(np.array([1, 1, 20, 20], np.float32), (len(own), 1))
        none, areas = np.full(len(own), -1), np.full(len(own), 361, np.float32)
        annotations.append(Annotation(path, index, 48, 64, boxes, np.array(own, np.int64), none, none >= 0, areas))
    names = [f"class {label}" for label in range(1 + max((max(own) for own in labels if own), default=0))]
    return DetectionDataset(names, Columns.of(annotations))


def test_each_class_has_its_share_and_something_to_train_on(tmp_path: Path) -> None:
    labels = [[0]] * 60 + [[1]] * 20 + [[0, 2]] * 10 + [[3]] * 2 + [[4]] + [[]] * 10
    dataset = data(tmp_path, labels)
    parts = set_aside(dataset)
    assert sorted([*parts.train, *parts.val]) == list(range(len(dataset)))
    assert abs(len(parts.val) - 0.2 * len(dataset)) <= 2 and "at random" in parts.how
    table = dataset.columns.select(parts.val).label_table()
    counts = np.bincount(table.labels, minlength=5).tolist()
    assert abs(counts[0] - 14) <= 2 and counts[1:3] == [4, 2] and counts[3] <= 1 and counts[4] == 0
    assert all(np.array_equal(a, b) for a, b in zip(parts[:2], set_aside(dataset)[:2], strict=True))
    assert not np.array_equal(parts.val, set_aside(dataset, seed=1).val)


def test_near_duplicates_stay_together(tmp_path: Path) -> None:
    looks = [index // 3 for index in range(30)]
    parts = set_aside(data(tmp_path, [[0]] * 30, looks))
    assert not {looks[index] for index in parts.train} & {looks[index] for index in parts.val}
    assert len(parts.val) == 6 and "10 groups of near-duplicates stay together" in parts.how


def test_videos_stay_whole(tmp_path: Path) -> None:
    still = data(tmp_path, [[0]] * 40)
    videos = [VideoSequence(f"v{start}", start, start + 8, 10.0) for start in range(0, 40, 8)]
    dataset = DetectionDataset(still.class_names, still.columns, sequences=videos)
    parts = set_aside(dataset)
    assert len(parts.val) == 8 and np.ptp(parts.val) == 7 and "whole videos, of 5" in parts.how
    alone = DetectionDataset(still.class_names, still.columns, sequences=[VideoSequence("v", 0, 40, 10.0)])
    parts = set_aside(alone)
    assert parts.val.tolist() == list(range(32, 40)) and "of one video: the last 8" in parts.how


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_images(tmp_path: Path, count: int) -> None:
    parts = set_aside(data(tmp_path, [[index] for index in range(count)]))
    assert len(parts.val) == 1 and len(parts.train) == max(1, count - 1)
    assert ("one image" in parts.how) == (count == 1)


def test_lists_are_read_again(tmp_path: Path) -> None:
    dataset = data(tmp_path / "data", [[0]] * 12)
    parts = set_aside(dataset)
    for path, indices in zip(write_lists(dataset, parts, tmp_path / "run"), parts[:2], strict=True):
        chosen = ChosenImages(dataset, path)
        assert [chosen.path(i) for i in range(len(chosen))] == [dataset.path(i) for i in indices]
    moved = data(tmp_path / "elsewhere", [[0]] * 12)
    assert len(ChosenImages(moved, tmp_path / "run/val.txt")) == len(parts.val)
    (tmp_path / "other.txt").write_text("1/999.png\n")
    with pytest.raises(DataError, match=r"line 1, 1/999.png: no image ends so.*list one of other data"):
        ChosenImages(dataset, tmp_path / "other.txt")
    (tmp_path / "other.txt").write_text("\n")
    with pytest.raises(DataError, match="no image is named"):
        ChosenImages(dataset, tmp_path / "other.txt")


def test_drawn_scenes_have_no_files_but_names() -> None:
    assert len(set_aside(Synthetic(10, size=(48, 64))).val) == 2
