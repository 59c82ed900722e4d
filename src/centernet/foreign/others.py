"""Networks of MMDetection, TTFNet, CenterNet-better(-plus) and Simple-CenterNet."""

from __future__ import annotations

import re
from typing import Any

import torch

from centernet.foreign.description import Description, Family, Part
from centernet.foreign.original import HEATMAP, IMAGENET, take_dla
from centernet.foreign.resnets import take_resnet
from centernet.foreign.tensors import Tensors

RGB: dict[str, Any] = {**IMAGENET, "channels": "rgb", "size": [512, 512], "pad_value": 0}


def _mmdetection(tensors: Tensors) -> Description:
    """Source: https://github.com/open-mmlab/mmdetection, configs/centernet."""
    backbone = take_resnet(tensors, r"backbone\.")
    tensors.rename(r"\.conv_offset\.", ".conv_offset_mask.")
    deformable = bool(tensors.deformable())
    channels: list[int] = []
    while (name := f"neck.deconv_layers.{2 * len(channels)}.conv.weight") in tensors:
        channels.append(len(tensors[name]))
    for i in range(2 * len(channels)):
        tensors.fold_bias(f"neck.deconv_layers.{i}.conv", f"neck.deconv_layers.{i}.bn")
        tensors.move(rf"neck\.deconv_layers\.{i}\.conv\.", f"neck.layers.{i}.0.")
        tensors.move(rf"neck\.deconv_layers\.{i}\.bn\.", f"neck.layers.{i}.1.")
    neck = Part("SimpleNeck", {"channels": channels, "convolution": "deformable" if deformable else "normal"})
    towers = [tensors.chain(rf"bbox_head\.{name}_head\.\d") for name in ("heatmap", "wh", "offset")]
    kind = f"{backbone.arguments['name']}{' with deformable convolutions' if deformable else ''}"
    return _detector(tensors, kind, backbone, neck, towers, {**RGB, "resize": "keep_res"}, HEATMAP)


def _better(tensors: Tensors) -> Description:
    """Sources: https://github.com/FateScript/CenterNet-better, https://github.com/lbin/CenterNet-better-plus."""
    tensors.rename(r"^backbone\.stage0\.0\.", "backbone.conv1.")
    tensors.rename(r"^backbone\.stage0\.1\.", "backbone.bn1.")
    tensors.rename(r"^backbone\.stage(\d)\.", r"backbone.layer\1.")
    tensors.rename(r"\.dcn\.offset_mask_conv\.", ".dcn.dcnv2.conv_offset_mask.")
    backbone = take_resnet(tensors, r"backbone\.")
    channels: list[int] = []
    while (name := f"upsample.deconv{len(channels) + 1}.up_sample.weight") in tensors:
        channels.append(tensors[name].shape[1])
    for i in range(len(channels)):
        step = f"upsample.deconv{i + 1}"
        tensors.fold_bias(f"{step}.dcn.dcnv2", f"{step}.dcn_bn")
        for theirs, ours in (("dcn.dcnv2", "0.0"), ("dcn_bn", "0.1"), ("up_sample", "1.0"), ("up_bn", "1.1")):
            place, _, layer = ours.partition(".")
            tensors.move(rf"{re.escape(f'{step}.{theirs}')}\.", f"neck.layers.{2 * i + int(place)}.{layer}.")
    neck = Part("SimpleNeck", {"channels": channels, "convolution": "deformable"})
    towers = [tensors.chain(rf"head\.{name}_head\.\w+_conv") for name in ("cls", "wh", "reg")]
    kind = f"{backbone.arguments['name']} with deformable convolutions"
    return _detector(tensors, kind, backbone, neck, towers, {**RGB, "resize": "keep_res"}, HEATMAP)


def _simple(tensors: Tensors) -> Description:
    """Source: https://github.com/developer0hye/Simple-CenterNet."""
    tensors.drop(r"backbone\.fc\.")
    backbone = take_resnet(tensors, r"backbone\.")
    channels: list[int] = []
    while (step := f"upsample{len(channels) + 1}") and f"{step}.up.weight" in tensors:
        channels.append(tensors[f"{step}.up.weight"].shape[1])
        _join_offsets(tensors, f"{step}.conv")
        place = 2 * (len(channels) - 1)
        for theirs, ours in (("conv", "0"), ("bn1", "1")):
            tensors.move(rf"{step}\.{theirs}\.", f"neck.layers.{place}.{ours}.")
        for theirs, ours in (("up", "0"), ("bn2", "1")):
            tensors.move(rf"{step}\.{theirs}\.", f"neck.layers.{place + 1}.{ours}.")
    neck = Part("SimpleNeck", {"channels": channels, "convolution": "deformable"})
    towers = [tensors.chain(rf"{name}_pred\.\d") for name in ("cls", "twth", "txty")]
    preprocessing = {**RGB, "resize": "stretch", "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    heatmap = {"radius": "ellipse", "alpha": 0.54, "logit_clamp": 1e-4, "kernel": 7, "order": "class_maximum"}
    kind = f"{backbone.arguments['name']} with deformable convolutions"
    return _detector(tensors, kind, backbone, neck, towers, preprocessing, heatmap)


def _join_offsets(tensors: Tensors, convolution: str) -> None:
    """Make one convolution of those of offsets and masks; the mask is twice a sigmoid there, so the weight doubles."""
    for kind in ("weight", "bias"):
        names = [f"{convolution}.{part}_conv.{kind}" for part in ("offset", "modulator")]
        if all(name in tensors for name in names):
            joined = torch.cat([tensors.left.pop(name) for name in names])
            tensors.left[f"{convolution}.conv_offset_mask.{kind}"] = joined
    if (name := f"{convolution}.regular_conv.weight") in tensors:
        tensors.left[f"{convolution}.weight"] = 2 * tensors.left.pop(name)


def _ttfnet(tensors: Tensors) -> Description:
    """Source: https://github.com/ZJULearning/ttfnet."""
    if "backbone.base.level5.root.conv.weight" in tensors:
        tensors.drop(r"bbox_head\.(deconv|shortcut)_layers\.")
        kind, (backbone, neck) = "DLA-34", take_dla(tensors, r"backbone\.")
    else:
        if "backbone.stem.conv.weight" in tensors:
            kind, backbone = "DarkNet-53", Part("DarkNet", {})
            tensors.move(r"backbone\.(stem|layer\d)\.", r"backbone.\1.")
        else:
            backbone = take_resnet(tensors, r"backbone\.")
            kind = str(backbone.arguments["name"])
        neck = _shortcut_neck(tensors)
    towers = [tensors.chain(rf"bbox_head\.{name}(?:\.\d)?(?:\.conv|\.\d)") for name in ("hm", "wh")]
    found = _detector(tensors, kind, backbone, neck, towers[:1], {**RGB, "resize": "stretch"}, {"logit_clamp": 1e-4})
    sides: dict[str, Any] = {"form": "relu", "origin": "corner", "multiplier": 4.0}
    if (channels := tensors.channels(towers[1][-1])) != 4:
        if channels != 4 * found.num_classes:
            raise ValueError(f"its head wh has {channels} channels: expected 4, or {4 * found.num_classes} by class")
        sides["class_specific"] = True
    found.heads["box"] = Part("LTRBHead", sides | tensors.head("heads.box.layers", towers[1]))
    return found


def _shortcut_neck(tensors: Tensors) -> Part:
    channels: list[int] = []
    shortcuts: list[int] = []
    while (step := f"bbox_head.deconv_layers.{len(channels)}") and f"{step}.0.weight" in tensors:
        i = len(channels)
        channels.append(len(tensors[f"{step}.0.weight"]))
        tensors.fold_bias(f"{step}.0", f"{step}.1")
        tensors.move(rf"bbox_head\.deconv_layers\.{i}\.", f"neck.steps.{i}.")
        shortcuts.append(len(tensors.chain(rf"bbox_head\.shortcut_layers\.{i}\.layers\.\d")))
        tensors.move(rf"bbox_head\.shortcut_layers\.{i}\.layers\.", f"neck.shortcuts.{i}.")
    return Part("ShortcutNeck", {"channels": channels, "shortcuts": shortcuts})


def _detector(
    tensors: Tensors,
    kind: str,
    backbone: Part,
    neck: Part,
    towers: list[list[str]],
    preprocessing: dict[str, Any],
    heatmap: dict[str, Any],
) -> Description:
    """Take the heads: heatmap and, where there are three towers, size and offset."""
    num_classes = tensors.channels(towers[0][-1])
    heads = {"heatmap": Part("HeatmapHead", tensors.head("heads.heatmap.layers", towers[0]) | heatmap)}
    if len(towers) == 3:
        options = tensors.head("heads.box.size", towers[1])
        tensors.head("heads.box.offset", towers[2])
        heads["box"] = Part("SizeOffsetHead", options)
    return Description(kind, backbone, neck, heads, num_classes, preprocessing)


FAMILIES = (
    Family(
        "MMDetection's CenterNet",
        (r"backbone\.layer4\.", r"neck\.deconv_layers\.", r"bbox_head\.heatmap_head\.", r"bbox_head\.wh_head\."),
        _mmdetection,
    ),
    Family("TTFNet", (r"backbone\.", r"bbox_head\.hm\.", r"bbox_head\.wh\."), _ttfnet),
    Family(
        "CenterNet-better or CenterNet-better-plus",
        (r"backbone\.stage4\.", r"upsample\.deconv1\.", r"head\.cls_head\.", r"head\.wh_head\."),
        _better,
    ),
    Family(
        "Simple-CenterNet",
        (r"backbone\.layer4\.", r"upsample1\.", r"cls_pred\.", r"twth_pred\.", r"txty_pred\."),
        _simple,
    ),
)
