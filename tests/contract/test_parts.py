"""The contract suites over every backbone, neck and head, and their combinations."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
import torch

from centernet import build_centernet
from centernet.network import backbones, heads, necks
from centernet.testing import check_backbone, check_head, check_neck

SMALL_BACKBONES: dict[str, Any] = {
    "resnet18": lambda: backbones.ResNet("resnet18"),
    "resnet18-same": lambda: backbones.ResNet("resnet18", padding="same"),
    "resnet18-three-stages": lambda: backbones.ResNet("resnet18", num_stages=3),
    "resnet50": lambda: backbones.ResNet("resnet50"),
    "mobilenet_v2": lambda: backbones.MobileNetV2(),
    "mobilenet_v2-same": lambda: backbones.MobileNetV2(padding="same", last_conv=True),
    "shufflenet_v2": lambda: backbones.ShuffleNetV2("0.5"),
    "shufflenet_v2-folded": lambda: backbones.ShuffleNetV2("0.5", activation="leaky_relu", norm=False, finest=8),
    "mobilenet_v3_small": lambda: backbones.MobileNetV3("small"),
    "mobilenet_v3_large": lambda: backbones.MobileNetV3("large"),
    "resnet50-1x1": lambda: backbones.ResNet("resnet50", stride_in_1x1=True),
    "resnet50-v2": lambda: backbones.ResNetV2(),
    "mobilenet_v2-taps": lambda: backbones.MobileNetV2(padding="same", last_conv=True, taps=[3, 6, 10, 18]),
    "mobilenet_v2-wide": lambda: backbones.MobileNetV2(width=1.5, padding="same", last_conv=True, last_channels=640),
    "dla34": lambda: backbones.DLA(),
    "darknet53": lambda: backbones.DarkNet(),
    "hourglass-small": lambda: backbones.Hourglass(channels=(16, 16, 24), blocks=(1, 1, 2)),
}
LARGE_BACKBONES: dict[str, Any] = {
    name: partial(backbones.ResNet, name) for name in ("resnet34", "resnet101", "resnet152")
}
NECKS: dict[str, Any] = {
    **{f"simple-{u}": partial(necks.SimpleNeck, upsampling=u) for u in ("deconvolution", "bilinear", "nearest")},
    **{f"simple-{c}": partial(necks.SimpleNeck, convolution=c) for c in ("separable", "deformable", "none")},
    **{f"fpn-{u}": partial(necks.FPN, upsampling=u) for u in ("deconvolution", "bilinear", "nearest")},
    "fpn-weighted-separable": partial(necks.FPN, fusion="weighted", convolution="separable"),
    "fpn-deformable": partial(necks.FPN, convolution="deformable"),
    "lite": necks.LiteFPN,
    "ghost": necks.GhostPAN,
    "ghost-folded": partial(necks.GhostPAN, norm=False, extra_levels=2, tower_depth=0, point=0.0),
    "simple-deconvolution3": partial(necks.SimpleNeck, upsampling="deconvolution3"),
    "tapered": necks.TaperedFPN,
    "tapered-linear": partial(necks.TaperedFPN, convolution="linear_separable"),
    "tapered-bilinear": partial(necks.TaperedFPN, upsampling="bilinear", convolution="linear_separable"),
    "dla-up": necks.DLAUp,
    "dla-up-v0": partial(necks.DLAUp, convolution="normal", fusion="concatenation"),
    "shortcut": necks.ShortcutNeck,
    "direct": necks.Direct,
    "bifpn": necks.BiFPN,
    "bifpn-once": partial(necks.BiFPN, rounds=1, convolution="normal"),
}
SEARCHES = ("gaussian", "movenet", "original", "tensorflow")
HEADS: dict[str, Any] = {
    **{f"heatmap-{r}": partial(heads.HeatmapHead, radius=r) for r in ("original", "corrected", "ellipse")},
    "heatmap-quality": partial(heads.HeatmapHead, loss="quality_focal", convolution="separable", depth=2),
    "heatmap-clamped": partial(heads.HeatmapHead, logit_clamp=1e-4, norm=True),
    "heatmap-thin": partial(heads.HeatmapHead, depth=0, order="class_maximum", kernel=5),
    **{
        f"ltrb-{form}-{sampling}-{loss}": partial(heads.LTRBHead, form=form, sampling=sampling, loss=loss)
        for form, (sampling, loss) in itertools.product(
            ("exponential", "softplus", "distribution"),
            (("center", "iou"), ("center3x3", "diou"), ("ellipse", "giou"), ("ellipse", "ciou")),
        )
    },
    **{
        f"embedding-{loss}": partial(heads.EmbeddingHead, loss=loss, dim=16)
        for loss in ("cross_entropy", "focal", "triplet", "supervised_contrastive")
    },
    "embedding-separable": partial(heads.EmbeddingHead, convolution="separable", norm=True),
    "ltrb-class-specific": partial(heads.LTRBHead, form="distribution", class_specific=True, quality=1.0),
    "ltrb-relu-corner": partial(heads.LTRBHead, form="relu", origin="corner"),
    "size-offset": heads.SizeOffsetHead,
    "size-clamped": partial(heads.SizeOffsetHead, clamp=True, convolution="linear_separable"),
    "size-of-sides": partial(heads.SizeOffsetHead, size="sides"),
    "size-without-offset": partial(heads.SizeOffsetHead, offset=False, class_specific=True),
    "box3d": heads.Box3DHead,
    "box3d-zoom": partial(heads.Box3DHead, focal_length=700.0, convolution="separable"),
    "box3d-original": partial(heads.Box3DHead, offset=False),
    "dense": partial(heads.DenseHead, channels=3),
    **{f"keypoints-{search}": partial(heads.KeypointHead, search=search) for search in SEARCHES},
    "keypoints-regressed": partial(heads.KeypointHead, heatmap=False, skeleton={"names": ["head", "tail"]}),
    "keypoints-shared": partial(heads.KeypointHead, offset="shared", search="original", convolution="separable"),
    "keypoints-around": partial(heads.KeypointHead, offset_radius=2, radius="ellipse"),
    "keypoints-in-the-middle": partial(heads.KeypointHead, offset="none", logit_clamp=1e-4),
    "size-offset-smooth": partial(heads.SizeOffsetHead, loss="smooth_l1", convolution="separable"),
}


@pytest.mark.parametrize("name", SMALL_BACKBONES)
def test_backbone(name: str) -> None:
    check_backbone(SMALL_BACKBONES[name]())


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE_BACKBONES)
def test_large_backbone(name: str) -> None:
    check_backbone(LARGE_BACKBONES[name]())


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv4_conv_small", "swin_tiny_patch4_window7_224"])
def test_timm_backbone(name: str) -> None:
    pytest.importorskip("timm")
    check_backbone(backbones.Timm(name), size=(128, 192))


@pytest.mark.parametrize("name", NECKS)
def test_neck(name: str) -> None:
    check_neck(NECKS[name])


@pytest.mark.parametrize("name", HEADS)
def test_head(name: str) -> None:
    check_head(HEADS[name])


def test_all_parts_are_tested() -> None:
    """A new part has its place in the tables above."""
    tested = {
        *(type(build()).__name__ for build in SMALL_BACKBONES.values()),
        *(getattr(build, "func", build).__name__ for build in (*NECKS.values(), *HEADS.values())),
    }
    known = {*backbones.__all__, *necks.__all__, *heads.__all__} - {"Backbone", "Neck", "Head", "Timm"}
    assert known == tested


@pytest.mark.parametrize("box", ["LTRBHead", "SizeOffsetHead"])
@pytest.mark.parametrize("neck", ["SimpleNeck", "FPN", "LiteFPN", "GhostPAN"])
@pytest.mark.parametrize("backbone", ["ResNet", "MobileNetV2", "MobileNetV3", "ShuffleNetV2"])
@pytest.mark.parametrize("size", [(64, 96), (61, 70)])
def test_any_combination_detects_at_any_size(backbone: str, neck: str, box: str, size: tuple[int, int]) -> None:
    arguments = {"ResNet": {"name": "resnet18"}, "MobileNetV3": {"size": "small"}}.get(backbone, {})
    model = build_centernet(
        {
            "model": {
                "num_classes": 2,
                "backbone": {"class_path": backbone, "init_args": arguments},
                "neck": {"class_path": neck},
                "heads": {"heatmap": {"class_path": "HeatmapHead"}, "box": {"class_path": box}},
            }
        }
    ).eval()
    with torch.inference_mode():
        encoded = model(torch.randn(2, 3, *size))
        detections = model.decode_detections(encoded, num_detections=10)
    assert model.network.strides == ((4, 8, 16, 32, 64) if neck == "GhostPAN" else (4,))
    expected = {}
    for name, channels in (("heatmap", 2), ("box", 4)):
        for stride in model.network.strides:
            key = f"{name}_{stride}" if neck == "GhostPAN" else name
            expected[key] = (2, channels, -(-size[0] // stride), -(-size[1] // stride))
    assert {name: tuple(value.shape) for name, value in model.network.named_maps(encoded).items()} == expected
    assert tuple(detections["bboxes"].shape) == (2, 10, 4)
    assert (detections["bboxes"][..., :2] <= detections["bboxes"][..., 2:]).all()
    assert detections["labels"].dtype == torch.int64
    assert (detections["scores"].diff(dim=1) <= 0).all()
