"""The Safety-Helmet-Wearing-Dataset: its counts, its layout and its known slip."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from centernet.data import SafetyHelmet
from centernet.testing import check_dataset


@pytest.mark.parametrize("split", ["train", "val"])
def test_counts_are_those_of_a_search_of_the_raw_files(shared: Path, split: str) -> None:
    root = shared / "data/helmet"
    raw: Counter[str] = Counter()
    stems = (root / f"ImageSets/Main/{split}.txt").read_text().split()
    for stem in stems:
        raw.update(re.findall(r"<name>(\w+)</name>", (root / f"Annotations/{stem}.xml").read_text()))
    dataset = SafetyHelmet(root, split)
    assert dataset.class_names == ("hat", "person") and len(dataset) == len(stems) and dataset.problems == []
    objects, _, _ = dataset.label_arrays()
    assert dict(zip(dataset.class_names, objects.tolist(), strict=True)) == dict(raw)
    check_dataset(dataset)


def test_the_boxes_called_dog_are_hats(tmp_path: Path) -> None:
    """As the author said of 000377.xml; its picture, as others, ends in .JPG in some copies."""
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / "VOC2028" / name).mkdir(parents=True)
    Image.new("RGB", (750, 558)).save(tmp_path / "VOC2028/JPEGImages/000377.JPG", format="jpeg")
    (tmp_path / "VOC2028/ImageSets/Main/trainval.txt").write_text("000377\n")
    box = "<bndbox><xmin>{}</xmin><ymin>102</ymin><xmax>{}</xmax><ymax>185</ymax></bndbox>"
    rows = [("hat", 0, 142, 177), ("dog", 1, 622, 705), ("person", 0, 10, 40)]
    objects = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult>{box.format(x1, x2)}</object>"
        for name, difficult, x1, x2 in rows
    )
    xml = f"<annotation><size><width>750</width><height>558</height></size>{objects}</annotation>"
    (tmp_path / "VOC2028/Annotations/000377.xml").write_text(xml)
    for root in (tmp_path, tmp_path / "VOC2028"):
        dataset = SafetyHelmet(root, "trainval", strict=True)
        assert dataset.annotation(0).labels.tolist() == [0, 0, 1]
        assert dataset.annotation(0).ignore.tolist() == [False, True, False]  # the author also marked it difficult
        assert SafetyHelmet(root, "trainval", difficult="keep").annotation(0).ignore.tolist() == [False] * 3
    check_dataset(dataset)
