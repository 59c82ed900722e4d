"""Make the packaged `coco-lite` of NanoDet-Plus-m-1.5x's weights, with batch norms multiplied into its convolutions.

python tools/coco_lite.py nanodet_plus_m_1.5x_416_folded.safetensors --output coco-lite

The network is https://github.com/RangiLyu/nanodet's (Apache-2.0); names of tensors change, no number does. What the
configuration says of calibration and figures was measured by `centernet evaluate` and benchmarks/coco_lite.py.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from centernet.lineage import Lineage
from centernet.network import Network
from centernet.network.build import build_network
from centernet.network.tensor_files import read_weights
from centernet.network.weights import CONFIG, save_network

STRIDES = (8, 16, 32, 64)
CLASS_NAMES = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
]
SECTION: dict[str, Any] = {
    "class_names": CLASS_NAMES,
    "backbone": {
        "class_path": "ShuffleNetV2",
        "init_args": {"width": "1.5", "activation": "leaky_relu", "norm": False, "finest": 8},
    },
    "neck": {"class_path": "GhostPAN", "init_args": {"width": 128, "norm": False, "point": 0.0}},
    "heads": {
        "heatmap": {"class_path": "HeatmapHead", "init_args": {"depth": 0}},
        "box": {"class_path": "LTRBHead", "init_args": {"depth": 0, "form": "distribution"}},
    },
    "nms_iou": 0.6,
    "num_candidates": 300,
    "peak_margin": 0.5,
    "merge_boxes": True,
    "level_assignment": "fit",
    "num_detections": 100,
    "calibration": {
        "temperature": 0.3551,
        "shift": 0.6645,
        "score_threshold": 0.2729,
        "class_thresholds": {"person": 0.3072},
    },
    "preprocessing": {
        "size": [416, 416],
        "resize": "stretch",
        "channels": "bgr",
        "mean": [0.406, 0.456, 0.485],
        "std": [0.225, 0.224, 0.229],
    },
}
FIGURES = {"AP": 0.365, "AP50": 0.53, "AP75": 0.384}
ABOUT = {
    "task": "detection",
    "measured_on": "206 images of COCO val2017 (50 recompressed, 156 reduced to 480 px)",
    "bad_at": [
        "small objects (AP .18)",
        "crowded tables",
        "chairs, plants and bottles among others of their kind",
        "drawings, aerial, thermal and medical images",
        "anything outside the eighty classes, which it may take for one of them",
    ],
}
LINEAGE = Lineage(
    name="coco-lite",
    sources=(
        "NanoDet-Plus-m-1.5x at 416 px, release v1.0.0-alpha-1 of https://github.com/RangiLyu/nanodet, converted to "
        "this package's layers",
        "reached through two int8 copies of that release: GitHub Deepdive543443/ncnn-android-nanodet 1481b24 and "
        "l-sf/Nanodet_openvino_quant_deploy ccb0f67, neither with a licence file of its own; weights are the middle of "
        "what both copies allow",
        "trained on COCO train2017: photographs from Flickr, under Flickr's terms of use; annotations under CC BY 4.0",
    ),
    licence="Apache-2.0",
    notices=(
        "NanoDet-Plus, Copyright 2020-2021 RangiLyu. All rights reserved. Licensed under the Apache License, Version "
        "2.0.\nChanged: rebuilt from int8 copies, and converted to the layers of the package centernet.\n",
    ),
    limits=(
        "If it is trained on images of Pascal VOC 2007's test half, never evaluate what comes of it on that test set.",
        "Not for any use where a miss or a false alarm can do harm.",
    ),
)

_SEPARABLE = {"depthwise": "0", "pointwise": "2"}
_GHOST = {"ghost1": "first", "ghost2": "second", "primary_conv": "primary", "cheap_operation": "cheap"}


def converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of NanoDet-Plus by the names that they have in the network of `SECTION`."""
    tensors = {}
    for name, value in state.items():
        if found := re.fullmatch(r"head\.gfl_cls\.(\d)\.(weight|bias)", name):
            stride, kind = STRIDES[int(found[1])], found[2]
            classes = len(CLASS_NAMES)
            tensors[f"heads.heatmap.{stride}.layers.0.{kind}"] = value[:classes]
            tensors[f"heads.box.{stride}.layers.0.{kind}"] = value[classes:]
        else:
            tensors[name if name.startswith("backbone.") else _renamed(name)] = value
    return tensors


def _renamed(name: str) -> str:
    part, *rest = name.split(".")[1:]
    kind = rest[-1]
    if part == "reduce_layers":
        return f"neck.reduce.{STRIDES[int(rest[0])]}.0.{kind}"
    if part == "downsamples":
        return f"neck.down.{STRIDES[int(rest[0])]}.{_SEPARABLE[rest[1]]}.{kind}"
    if part in ("extra_lvl_in_conv", "extra_lvl_out_conv"):
        return f"neck.extra_{part.split('_')[2]}.64.{_SEPARABLE[rest[1]]}.{kind}"
    if part == "cls_convs":
        return f"neck.towers.{STRIDES[int(rest[0])]}.{rest[1]}.{_SEPARABLE[rest[2]]}.{kind}"
    stride = (16, 8)[int(rest[0])] if part == "top_down_blocks" else (16, 32)[int(rest[0])]
    block = f"neck.{part.removesuffix('_blocks')}.{stride}"
    if rest[3] == "shortcut":
        return f"{block}.shortcut.{int(rest[4]) // 2}.0.{kind}"
    return f"{block}.{_GHOST[rest[3]]}.{_GHOST[rest[4]]}.0.{kind}"


def build(path: str) -> Network:
    """Build the network with the weights of a file, in evaluation mode."""
    network = build_network({"model": SECTION})
    network.load_state_dict(converted(read_weights(path)))
    network.lineage = LINEAGE
    return network.eval()


def save(network: Network, folder: str) -> Path:
    """Write the model with all that its configuration says of it."""
    path = save_network(network, folder, figures=FIGURES)
    config = yaml.safe_load((path / CONFIG).read_text(encoding="utf-8"))
    lineage = config.pop("lineage")
    content = yaml.safe_dump({**config, "about": ABOUT, "lineage": lineage}, sort_keys=False, allow_unicode=True)
    (path / CONFIG).write_text(content, encoding="utf-8")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="a .safetensors file with NanoDet-Plus's names")
    parser.add_argument("--output", required=True, help="folder for the model")
    given = parser.parse_args()
    print(f"wrote {save(build(given.weights), given.output)}")
