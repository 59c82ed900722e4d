"""Names of the classes that published networks have, in the order of their channels."""

from __future__ import annotations

from centernet.annotations.voc import VOC_CLASSES

_COCO = """
person/bicycle/car/motorcycle/airplane/bus/train/truck/boat/traffic light/fire hydrant/stop sign/parking meter/bench/
bird/cat/dog/horse/sheep/cow/elephant/bear/zebra/giraffe/backpack/umbrella/handbag/tie/suitcase/frisbee/skis/snowboard/
sports ball/kite/baseball bat/baseball glove/skateboard/surfboard/tennis racket/bottle/wine glass/cup/fork/knife/spoon/
bowl/banana/apple/sandwich/orange/broccoli/carrot/hot dog/pizza/donut/cake/chair/couch/potted plant/bed/dining table/
toilet/tv/laptop/mouse/remote/keyboard/cell phone/microwave/oven/toaster/sink/refrigerator/book/clock/vase/scissors/
teddy bear/hair drier/toothbrush
"""
COCO_CLASSES = tuple(_COCO.replace("\n", "").split("/"))

KITTI_CLASSES = ("Pedestrian", "Car", "Cyclist")
"""In the order of the original's 3D detector."""

_NOT_IN_COCO = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
_named = iter(COCO_CLASSES)
COCO_90_CLASSES = tuple(f"unused {i}" if i in _NOT_IN_COCO else next(_named) for i in range(1, 91))
"""COCO's categories by their ids 1 … 90, ten of which no object has: TensorFlow's networks have a channel for each."""

PUBLISHED = {
    80: ("COCO", COCO_CLASSES),
    20: ("Pascal VOC", VOC_CLASSES),
    90: ("COCO, by category id", COCO_90_CLASSES),
    1: ("one class, person", ("person",)),
}
"""Number of classes → what published networks of so many were trained on, and the names."""
