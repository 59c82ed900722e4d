"""Networks of TensorFlow's Object Detection API, from its checkpoints.

Source: https://github.com/tensorflow/models, research/object_detection. Tensors come into torch's layout and under
torch's names of layers first; maps with two numbers a place have them as (y, x) there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from centernet.foreign.bundle import SUFFIX, Bundle
from centernet.foreign.description import Description, Family, Part
from centernet.foreign.original import HEATMAP, keypoints
from centernet.foreign.reading import ForeignFile
from centernet.foreign.tensors import Tensors

_EXTRACTOR, _HEADS = "_feature_extractor", "_prediction_head_dict"
_BASE, _REST = rf"{_EXTRACTOR}\._base_model\.", rf"{_EXTRACTOR}\._feature_extractor_model\."
_PARTS = {
    "kernel": "weight", "depthwise_kernel": "weight", "pointwise_kernel": "1.weight", "gamma": "weight", "beta": "bias",
    "bias": "bias", "moving_mean": "running_mean", "moving_variance": "running_var",
}  # fmt: skip
INPUT: dict[str, Any] = {"resize": "tensorflow", "size": [512, 512], "pad_value": 0}
HALF: dict[str, Any] = {"channels": "rgb", "mean": [0.5] * 3, "std": [0.5] * 3}
CAFFE: dict[str, Any] = {
    "channels": "bgr",
    "mean": [value / 255 for value in (103.939, 116.779, 123.68)],
    "std": [1 / 255] * 3,
}
HOURGLASS: dict[str, Any] = {
    "channels": "bgr",
    "mean": [value / 255 for value in (104.01362025, 114.03422265, 119.9165958)],
    "std": [value / 255 for value in (73.6027665, 69.89082075, 70.9150767)],
}


def find_index(path: Path) -> Path | None:
    """Return the index of the checkpoint in a folder of the model zoo, or that a path names; None if there is none."""
    if path.is_dir():
        found = sorted([*path.glob("*.index"), *path.glob("checkpoint/*.index")], key=_number)
        return found[-1] if found else None
    beside = path.with_name(f"{path.name}.index")
    return path if path.suffix == ".index" else beside if beside.is_file() else None


def _number(path: Path) -> tuple[int, str]:
    match = re.search(r"-(\d+)$", path.stem)
    return (int(match[1]) if match else -1, path.name)


def read_checkpoint(index: Path) -> ForeignFile:
    """Read the variables of a network, without what its training kept beside them."""
    bundle = Bundle(index)
    keys = [key for key in bundle.entries if key.endswith(SUFFIX) and _is_of_network(key)]
    if not keys:
        some = ", ".join(list(bundle.entries)[:4])
        raise ValueError(f"{index} is no checkpoint of the Object Detection API's CenterNet (its keys: {some})")
    names = {key.removesuffix(SUFFIX): name for key, name in bundle.full_names().items()}
    state = torch_state({key.removesuffix(SUFFIX): bundle.array(key) for key in keys}, names)
    beside = len(bundle.entries) - len(keys)
    return ForeignFile(index, state, notes=[f"left: {beside} entries beside the network"] if beside else [])


def _is_of_network(key: str) -> bool:
    return re.match(rf"model/({_EXTRACTOR}|{_HEADS})/", key) is not None and ".OPTIMIZER_SLOT" not in key


def torch_state(variables: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return variables by key as tensors in torch's layout, with dots in their names.

    Layers of the backbone get Keras's `names` (key → name of the variable): their numbers interleave branches.
    """
    separable = {key.rpartition("/")[0] for key in variables if key.endswith("/pointwise_kernel")}
    state = {}
    for key, values in variables.items():
        layer, _, kind = key.rpartition("/")
        if kind not in _PARTS:
            raise ValueError(f"{key} is a {kind}, which no layer of these networks has")
        part = _PARTS[kind]
        if layer in separable and kind in ("depthwise_kernel", "bias"):
            part = "0.weight" if kind == "depthwise_kernel" else "1.bias"
        layer = layer.removeprefix("model/")
        if "/_base_model/" in f"/{layer}/" and key in names:
            layer = f"{_EXTRACTOR}/_base_model/{names[key].split('/')[-2]}"
        state[".".join([*(_plain(step) for step in layer.split("/")), part])] = _torch(values, kind)
    return state


def _plain(step: str) -> str:
    """Return a step of a key without its escapes, as part of a name with dots."""
    return step.replace(".S", "_").replace("..", "_").replace("/", "_")


def _torch(values: Any, kind: str) -> Tensor:
    order = {"kernel": (3, 2, 0, 1), "pointwise_kernel": (3, 2, 0, 1), "depthwise_kernel": (2, 3, 0, 1)}
    if kind in order and values.ndim == 4:
        values = values.transpose(order[kind])
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32).copy())


def _describe(tensors: Tensors) -> Description:
    if any(name.startswith(f"{_EXTRACTOR}._network.") for name in tensors.left):
        return _hourglass(tensors)
    if f"{_EXTRACTOR}._base_model.Conv1.weight" in tensors:
        return _mobilenet(tensors)
    if any("preact_bn" in name for name in tensors.left):
        return _resnet_v2(tensors)
    return _resnet_v1(tensors)


def _resnet_v1(tensors: Tensors) -> Description:
    blocks = 1 + max(int(n) for n in re.findall(r"conv4_block(\d+)_1_conv", " ".join(tensors.left)))
    name = {7: "resnet50", 24: "resnet101", 37: "resnet152"}.get(blocks)
    if name is None:
        raise ValueError(f"its ResNet has {blocks - 1} blocks in the fourth stage, which no known one has")
    base = f"{_EXTRACTOR}._base_model."
    norms = sorted({n.rpartition(".")[0] for n in tensors.left if n.startswith(base) and n.endswith("running_var")})
    for norm in norms:
        tensors.fold_bias(f"{norm.removesuffix('_bn')}_conv", norm)
    tensors.fold_eps(norms, 1.001e-5)
    tensors.move(rf"{_BASE}conv1_conv\.", "backbone.conv1.")
    tensors.move(rf"{_BASE}conv1_bn\.", "backbone.bn1.")
    _move_blocks(tensors, {"0_conv": "downsample.0", "0_bn": "downsample.1"})
    neck = _pyramid(tensors)
    return _with_heads(
        tensors, f"{name}-V1 with FPN", Part("ResNet", {"name": name, "stride_in_1x1": True}), neck, CAFFE
    )


def _move_blocks(tensors: Tensors, others: dict[str, str]) -> None:
    """Take the blocks of a Keras ResNet, whose stages count from 2 and blocks from 1."""
    parts = {f"{i}_{kind}": f"{kind}{i}" for i in (1, 2, 3) for kind in ("conv", "bn")} | others
    for name in list(tensors.left):
        if match := re.match(rf"{_BASE}conv([2-5])_block(\d+)_(\w+)\.", name):
            place = f"backbone.layer{int(match[1]) - 1}.{int(match[2]) - 1}.{parts.get(match[3], match[3])}."
            tensors.move(re.escape(match[0]), place)


def _resnet_v2(tensors: Tensors) -> Description:
    base = f"{_EXTRACTOR}._base_model."
    tensors.drop(rf"{_BASE}post_bn\.")
    norms = [n.rpartition(".")[0] for n in tensors.left if n.startswith(base) and n.endswith("running_var")]
    tensors.fold_eps(norms, 1.001e-5)
    tensors.move(rf"{_BASE}conv1_conv\.", "backbone.conv1.")
    _move_blocks(tensors, {"0_conv": "shortcut", "preact_bn": "preact"})
    channels: list[int] = []
    rest = f"{_EXTRACTOR}._feature_extractor_model.layer_with_weights-"
    while f"{rest}{4 * len(channels) + 1}.weight" in tensors:
        first = 4 * len(channels) + 1
        channels.append(tensors.channels(f"{rest}{first}"))
        place = 2 * (len(channels) - 1)
        for i, ours in enumerate((f"{place}.0", f"{place}.1", f"{place + 1}.0", f"{place + 1}.1")):
            if i % 2 == 0:
                tensors.fold_bias(f"{rest}{first + i}", f"{rest}{first + i + 1}")
                tensors.fold_eps([f"{rest}{first + i + 1}"], 1e-3)
            tensors.move(rf"{_REST}layer_with_weights-{first + i}\.", f"neck.layers.{ours}.")
    neck = Part("SimpleNeck", {"channels": channels, "upsampling": "deconvolution3"})
    return _with_heads(tensors, "resnet50-V2", Part("ResNetV2", {}), neck, HALF)


def _mobilenet(tensors: Tensors) -> Description:
    base = f"{_EXTRACTOR}._base_model."
    norms = [n.rpartition(".")[0] for n in tensors.left if n.startswith(base) and n.endswith("running_var")]
    tensors.fold_eps(norms, 1e-3)
    tensors.move(rf"{_BASE}Conv1\.", "backbone.features.0.0.")
    tensors.move(rf"{_BASE}bn_Conv1\.", "backbone.features.0.1.")
    tensors.move(rf"{_BASE}Conv_1\.", "backbone.features.18.0.")
    tensors.move(rf"{_BASE}Conv_1_bn\.", "backbone.features.18.1.")
    parts = {
        "expand": "0.0",
        "expand_BN": "0.1",
        "depthwise": "1.0",
        "depthwise_BN": "1.1",
        "project": "2",
        "project_BN": "3",
    }
    first = {"depthwise": "0.0", "depthwise_BN": "0.1", "project": "1", "project_BN": "2"}
    for name, place in first.items():
        tensors.move(rf"{_BASE}expanded_conv_{name}\.", f"backbone.features.1.conv.{place}.")
    for i in range(1, 17):
        for name, place in parts.items():
            tensors.move(rf"{_BASE}block_{i}_{name}\.", f"backbone.features.{i + 1}.conv.{place}.")
    backbone = Part("MobileNetV2", {"last_conv": True, "padding": "same", "taps": [3, 6, 10, 18]})
    return _with_heads(tensors, "MobileNetV2 with FPN", backbone, _pyramid(tensors), HALF)


def _pyramid(tensors: Tensors) -> Part:
    """Take the API's pyramid: the top's projection, and then projection, convolution and norm of each finer level."""
    rest = f"{_EXTRACTOR}._feature_extractor_model.layer_with_weights-"
    channels = [tensors.channels(f"{rest}1")]
    tensors.move(rf"{_REST}layer_with_weights-1\.", "neck.top.")
    plain = f"{rest}3.weight" in tensors
    level = 0
    while f"{rest}{3 * level + 2}.weight" in tensors:
        merge, norm = f"{rest}{3 * level + 3}", f"{rest}{3 * level + 4}"
        channels.append(tensors.channels(merge if plain else f"{merge}.1"))
        tensors.fold_bias(merge if plain else f"{merge}.1", norm)
        tensors.fold_eps([norm], 1e-3)
        for i, ours in ((2, f"lateral.{level}"), (3, f"merge.{level}.0"), (4, f"merge.{level}.1")):
            tensors.move(rf"{_REST}layer_with_weights-{3 * level + i}\.", f"neck.{ours}.")
        level += 1
    return Part("TaperedFPN", {"channels": channels, "convolution": "normal" if plain else "linear_separable"})


def _hourglass(tensors: Tensors) -> Description:
    stacks = len({n.split(".")[3] for n in tensors.left if n.startswith(f"{_EXTRACTOR}._network.hourglass_network.")})
    for pattern, new in (
        (rf"^{_EXTRACTOR}\._network\.", "backbone."),
        (r"\.downsample_input\.conv_block\.", ".pre.0."),
        (r"\.downsample_input\.residual_block\.", ".pre.1."),
        (r"\.hourglass_network\.(\d)\.", r".kps.\1."),
        (r"\.encoder_block1\.", ".up1."),
        (r"\.encoder_block2\.", ".low1."),
        (r"\.decoder_block\.", ".low3."),
        (r"\.inner_block\.0(?=\.(?:up1|low1|low3|inner_block)\.)", ".low2"),
        (r"\.inner_block\.", ".low2."),
        (r"\.output_conv\.(\d)\.", r".cnvs.\1."),
        (r"\.intermediate_conv1\.(\d)\.conv\.", r".inters_.\1.0."),
        (r"\.intermediate_conv1\.(\d)\.norm\.", r".inters_.\1.1."),
        (r"\.intermediate_conv2\.(\d)\.conv\.", r".cnvs_.\1.0."),
        (r"\.intermediate_conv2\.(\d)\.norm\.", r".cnvs_.\1.1."),
        (r"\.intermediate_residual\.(\d)\.", r".inters.\1."),
    ):
        tensors.rename(pattern, new)
    residual = r"^(backbone\.(?:pre\.1|inters\.\d|kps\..*\.\d))\."
    tensors.rename(residual + r"skip\.conv\.", r"\1.skip.0.")
    tensors.rename(residual + r"skip\.norm\.", r"\1.skip.1.")
    tensors.rename(residual + r"conv\.", r"\1.conv2.")
    tensors.rename(residual + r"norm\.", r"\1.bn2.")
    tensors.rename(residual + r"conv_block\.conv\.", r"\1.conv1.")
    tensors.rename(residual + r"conv_block\.norm\.", r"\1.bn1.")
    tensors.rename(r"^(backbone\.(?:pre\.0|cnvs\.\d))\.norm\.", r"\1.bn.")
    tensors.move(r"backbone\.", "backbone.")
    return _with_heads(tensors, "Hourglass-104", Part("Hourglass", {"stacks": stacks}), Part("Direct", {}), HOURGLASS)


_PLACES = {"object_center": "heatmap.layers", "box_scale": "box.size", "box_offset": "box.offset"}
_KEYPOINTS = re.compile(r"(\w+)_keypoint_(heatmap|regression|offset)")


def _with_heads(
    tensors: Tensors, network: str, backbone: Part, neck: Part, preprocessing: dict[str, Any]
) -> Description:
    """Take the heads of the last stack, and those of the stacks before it."""
    names = list(dict.fromkeys(n.split(".")[1] for n in tensors.left if n.startswith(f"{_HEADS}.")))
    stacks = int(backbone.arguments.get("stacks", 1))
    num_classes = tensors.channels(f"{_HEADS}.object_center.{stacks - 1}.layer_with_weights-1")
    heads = {"heatmap": Part("HeatmapHead", dict(HEATMAP)), "box": Part("SizeOffsetHead", {"clamp": True})}
    places, pairs = dict(_PLACES), ["box_scale", "box_offset"]  # (h, w) and (y, x) there
    tasks = sorted({match[1] for name in names if (match := _KEYPOINTS.fullmatch(name))})
    if len(tasks) == 1 and f"{tasks[0]}_keypoint_regression" in names:
        count = tensors.channels(f"{_HEADS}.{tasks[0]}_keypoint_regression.{stacks - 1}.layer_with_weights-1") // 2
        parts = [part for part in ("regression", "heatmap", "offset") if f"{tasks[0]}_keypoint_{part}" in names]
        places |= {f"{tasks[0]}_keypoint_{part}": f"keypoints.{part}" for part in parts}
        pairs += [f"{tasks[0]}_keypoint_{part}" for part in parts if part != "heatmap"]
        each = "none"
        if "offset" in parts:
            of_each = tensors.channels(f"{_HEADS}.{tasks[0]}_keypoint_offset.{stacks - 1}.layer_with_weights-1") > 2
            each = "each" if of_each else "shared"
        heads["keypoints"] = keypoints(
            count, heatmap="heatmap" in parts, offset=each, search="tensorflow", offset_radius=3, regression_weight=0.1
        )
    for name in names:
        place = places.get(name, f"{name}.layers")
        if name not in places:
            channels = tensors.channels(f"{_HEADS}.{name}.{stacks - 1}.layer_with_weights-1")
            heads[name] = Part("DenseHead", {"channels": channels})
        for stack in range(stacks):
            tower = [f"{_HEADS}.{name}.{stack}.layer_with_weights-{i}" for i in range(2)]
            if name in pairs:
                for kind in ("weight", "bias"):
                    turned = tensors.left[f"{tower[1]}.{kind}"].unflatten(0, (-1, 2)).flip(1).flatten(0, 1)  # type: ignore[no-untyped-call]
                    tensors.left[f"{tower[1]}.{kind}"] = turned
            before = "heads" if stack == stacks - 1 else f"intermediate.{stack}"
            separable = f"{tower[0]}.0.weight" in tensors
            options = tensors.head(f"{before}.{place}", tower)
            if separable:
                options["convolution"] = "linear_separable"
            heads[place.split(".")[0]].arguments.update(options)
    if any("keypoint" in name for name in names):
        network += ", pose"
    return Description(network, backbone, neck, heads, num_classes, INPUT | preprocessing)


FAMILIES = (
    Family(
        "TensorFlow's CenterNet",
        (rf"{_EXTRACTOR}\.", rf"{_HEADS}\.object_center\.", rf"{_HEADS}\.box_scale\.", rf"{_HEADS}\.box_offset\."),
        _describe,
    ),
)


def input_size(index: Path) -> tuple[int, int] | None:
    """Return the (height, width) that a pipeline.config near the checkpoint states; None where there is none."""
    for folder in (index.parent, index.parent.parent):
        config = folder / "pipeline.config"
        if config.is_file():
            sides = re.findall(r"(?:min|max)_dimension:\s*(\d+)", config.read_text(encoding="utf-8", errors="replace"))
            if len(sides) >= 2:
                return int(sides[0]), int(sides[1])
    return None
