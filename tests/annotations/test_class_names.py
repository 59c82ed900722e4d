"""Class names of different data sets that mean the same."""

from __future__ import annotations

from centernet.annotations.class_names import SYNONYMS, class_key, joined_names, places_of
from centernet.annotations.voc import VOC_CLASSES
from centernet.cli.synonyms import COCO


def test_all_classes_of_voc_are_classes_of_coco() -> None:
    places = places_of(VOC_CLASSES, COCO)
    renamed = {name: COCO[place] for name, place in zip(VOC_CLASSES, places, strict=True) if place >= 0}
    assert len(renamed) == 20 and {name: other for name, other in renamed.items() if name != other} == {
        "aeroplane": "airplane", "diningtable": "dining table", "motorbike": "motorcycle",
        "pottedplant": "potted plant", "sofa": "couch", "tvmonitor": "tv",
    }  # fmt: skip
    assert len(joined_names([VOC_CLASSES, COCO])) == len(set(map(class_key, COCO))) == 80


def test_names_are_told_apart_but_for_spelling() -> None:
    assert class_key("Traffic-Light") == class_key("traffic_light") != class_key("trafficlights")
    assert class_key("C") != class_key("C++") and class_key("安全帽") == "安全帽"
    assert places_of(["car", "Car", "cart"], ["Car", "car"]) == [1, 0, -1]  # the very same name comes first
    groups = [{class_key(name) for name in names} for names in SYNONYMS]
    assert all(len(keys) == 1 for keys in groups) and len(set.union(*groups)) == len(groups)
