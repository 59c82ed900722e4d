"""Every backbone, neck and head as ONNX and as TorchScript: what the file finds is what the model finds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from centernet import CenterNet, build_centernet
from centernet.export import ExportOptions, export
from centernet.export.comparison import PLACE, UNMATCHED, difference, trial_images
from centernet.inference.opening import open_runtime
from centernet.inference.torch_runtime import TorchRuntime
from centernet.network import backbones, heads, necks

pytestmark = pytest.mark.slow

Part = tuple[str, dict[str, Any]]
SIDE = 256
SKELETON = {"names": ["head", "middle", "tail"]}
BACKBONES: dict[str, Part] = {
    **{name: ("ResNet", {"name": name}) for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")},
    "resnet18-same": ("ResNet", {"name": "resnet18", "padding": "same"}),
    "resnet18-three-stages": ("ResNet", {"name": "resnet18", "num_stages": 3}),
    "mobilenet_v2": ("MobileNetV2", {}),
    "mobilenet_v2-same": ("MobileNetV2", {"padding": "same", "last_conv": True}),
    "mobilenet_v3_small": ("MobileNetV3", {"size": "small"}),
    "mobilenet_v3_large": ("MobileNetV3", {"size": "large"}),
    "shufflenet_v2": ("ShuffleNetV2", {"width": "0.5", "activation": "leaky_relu"}),
    "resnet50-v2": ("ResNetV2", {}),
    "mobilenet_v2-taps": ("MobileNetV2", {"padding": "same", "last_conv": True, "taps": [3, 6, 10, 18]}),
    "dla34": ("DLA", {}),
    "darknet53": ("DarkNet", {}),
    "hourglass-small": ("Hourglass", {"channels": [32, 32, 48], "blocks": [1, 1, 2]}),
    "efficientnet_lite0": ("Timm", {"name": "tf_efficientnet_lite0"}),
    "mobilenetv4": ("Timm", {"name": "mobilenetv4_conv_small"}),
}
NECKS: dict[str, Part] = {
    **{f"simple-{u}": ("SimpleNeck", {"upsampling": u}) for u in ("deconvolution", "bilinear", "nearest")},
    **{f"simple-{c}": ("SimpleNeck", {"convolution": c}) for c in ("separable", "deformable", "none")},
    **{f"fpn-{u}": ("FPN", {"width": 32, "upsampling": u}) for u in ("deconvolution", "bilinear", "nearest")},
    "fpn-weighted-separable": ("FPN", {"width": 32, "fusion": "weighted", "convolution": "separable"}),
    "lite": ("LiteFPN", {}),
    "ghost": ("GhostPAN", {"width": 16}),
    "ghost-corner": ("GhostPAN", {"width": 16, "norm": False, "point": 0.0, "tower_depth": 0}),
    "simple-deconvolution3": ("SimpleNeck", {"upsampling": "deconvolution3"}),
    "tapered": ("TaperedFPN", {"channels": [48, 32, 16], "convolution": "linear_separable"}),
    "dla-up": ("DLAUp", {}),
    "dla-up-v0": ("DLAUp", {"convolution": "normal", "fusion": "concatenation"}),
    "shortcut": ("ShortcutNeck", {"channels": [48, 32], "shortcuts": [1, 2]}),
    "direct": ("Direct", {}),
    "bifpn": ("BiFPN", {"width": 16, "rounds": 2}),
}
HEADS: dict[str, Part] = {
    "ltrb-exponential": ("LTRBHead", {"form": "exponential"}),
    "ltrb-softplus": ("LTRBHead", {"form": "softplus", "norm": True, "depth": 2}),
    "ltrb-distribution": ("LTRBHead", {"form": "distribution", "bins": 6}),
    "ltrb-quality": ("LTRBHead", {"quality": 1.0}),
    "ltrb-class-specific": ("LTRBHead", {"class_specific": True}),
    "ltrb-relu-corner": ("LTRBHead", {"form": "relu", "origin": "corner"}),
    "size-offset": ("SizeOffsetHead", {}),
    "size-of-sides": ("SizeOffsetHead", {"size": "sides"}),
    "size-without-offset": ("SizeOffsetHead", {"offset": False, "class_specific": True}),
    "size-offset-separable": ("SizeOffsetHead", {"convolution": "separable"}),
}
HEATMAPS: dict[str, Part] = {
    "heatmap-separable": ("HeatmapHead", {"convolution": "separable", "depth": 2}),
    "heatmap-thin": ("HeatmapHead", {"depth": 0, "order": "class_maximum", "kernel": 5}),
}
EXTRA: dict[str, Part] = {
    "embedding": ("EmbeddingHead", {"dim": 16}),
    "dense": ("DenseHead", {"channels": 3}),
    "keypoints": ("KeypointHead", {"skeleton": SKELETON}),
    "keypoints-regressed": ("KeypointHead", {"skeleton": SKELETON, "heatmap": False}),
    "box3d": ("Box3DHead", {}),
    "box3d-original": ("Box3DHead", {"offset": False}),
}
SMALL_NECK: Part = ("FPN", {"width": 16})
SMALL_BACKBONE: Part = ("ResNet", {"name": "resnet18", "num_stages": 3})
CASES = (
    {name: {"backbone": part} for name, part in BACKBONES.items()}
    | {name: {"neck": part} for name, part in NECKS.items()}
    | {name: {"box": part} for name, part in HEADS.items()}
    | {name: {"heatmap": part} for name, part in HEATMAPS.items()}
    | {name: {"embedding": part} for name, part in EXTRA.items()}
)


def build(parts: dict[str, Part]) -> CenterNet:
    def section(part: Part) -> dict[str, Any]:
        return {"class_path": part[0], "init_args": part[1]}

    simple = parts.get("neck", ("", {}))[0] == "SimpleNeck"
    default = ("ResNet", {"name": "resnet18"}) if simple else SMALL_BACKBONE
    if parts.get("backbone", ("",))[0] == "Timm":
        pytest.importorskip("timm")
    heads = {
        "heatmap": section(parts.get("heatmap", ("HeatmapHead", {"width": 16}))),
        "box": section(parts.get("box", ("LTRBHead", {"width": 16}))),
    }
    if "embedding" in parts:
        heads["embedding"] = section(parts["embedding"])
    neck = parts.get("neck", SMALL_NECK)
    if neck[0] == "LiteFPN" and "backbone" not in parts:
        neck = (neck[0], {"widths": [16, 24, 32], "depths": [0, 1, 1]})
    torch.manual_seed(0)
    model = build_centernet(
        {
            "model": {
                "num_classes": 3,
                "backbone": section(parts.get("backbone", default)),
                "neck": section(neck),
                "heads": heads,
                "preprocessing": {"size": [SIDE, SIDE]},
            }
        }
    )
    # Norms that fit the data, residual branches that add little, and ends that tell places apart: as numbers go, like a
    # trained network. With weights as they are drawn, a hundred layers make rounding errors large in any runtime.
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
                if name.endswith(".bn3"):
                    module.weight.fill_(0.2)
        model.train()(model.normalize(trial_images(4, (192, 256)).permute(0, 3, 1, 2)))
        for head in model.network.every_head:
            if hasattr(head, "find_peaks"):
                head.layers[-1].weight.normal_(std=0.3)
        model.eval()
    return model


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
@pytest.mark.parametrize("name", CASES)
def test_every_part(name: str, suffix: str, tmp_path: Path) -> None:
    """The runtimes of files, on images of other sizes than those that the export itself has tried."""
    model = build(CASES[name])
    eager = TorchRuntime(model.network)
    plain, boxed = (
        open_runtime(export(model.network, tmp_path / f"{boxed}{suffix}", ExportOptions(letterbox=boxed)))
        for boxed in (False, True)
    )
    for count, size in ((1, (SIDE, SIDE)), (3, (192, 320))):
        images = trial_images(count, size).numpy()
        found = dict(eager(images, 100))
        found["bboxes"] = found["bboxes"].clip(0, [*size[::-1], *size[::-1]])
        compare(found, plain(images, 100))
    for size in ((167, 250), (351, 259), (2 * SIDE, 2 * SIDE), (576, 768)):
        image = trial_images(1, size).numpy()
        found = eager(model.preprocessing(image[0])[None], 100)
        found["bboxes"] = model.preprocessing.to_original(found["bboxes"], size)
        compare(found, boxed(image, 100))


def compare(expected: dict[str, Any], got: Mapping[str, Any]) -> None:
    found = difference(expected, got, place_tolerance=PLACE)
    assert found.scores <= 1e-4 and found.boxes <= 0.05 and found.unmatched <= UNMATCHED * found.total, str(found)


def test_all_parts_are_tested() -> None:
    known = {*backbones.__all__, *necks.__all__, *heads.__all__} - {"Backbone", "Neck", "Head"}
    tested = {part[0] for parts in CASES.values() for part in parts.values()} | {"HeatmapHead"}
    assert known == tested
