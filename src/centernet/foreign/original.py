"""Networks of the original CenterNet, https://github.com/xingyizhou/CenterNet, and of FairMOT, which is built on it."""

from __future__ import annotations

import re
from typing import Any

from centernet.foreign.description import Description, Family, Part
from centernet.foreign.names import KITTI_CLASSES
from centernet.foreign.resnets import take_resnet
from centernet.foreign.tensors import Tensors
from centernet.skeleton import COCO_PERSON

_PLACES = {
    "hm": "heatmap.layers", "wh": "box.size", "reg": "box.offset", "id": "embedding.layers",
    "hps": "keypoints.regression", "hm_hp": "keypoints.heatmap", "hp_offset": "keypoints.offset",
}  # fmt: skip
"""Their names of heads → where ours has the layers; others keep their names."""
_SPACE = {"dep": "box3d.distance", "rot": "box3d.rotation", "dim": "box3d.dimensions"}
"""The same of its three heads of boxes in space."""
_EXTRA = r"(?!base|dla_up|ida_up|deconv_layers|layer\d|conv1|bn1|pre|kps|cnvs_?|inters_?)\w+"

COCO: dict[str, Any] = {
    "resize": "fix_res",
    "size": [512, 512],
    "channels": "bgr",
    "mean": [0.408, 0.447, 0.470],
    "std": [0.289, 0.274, 0.278],
    "pad_value": 0,
}
IMAGENET: dict[str, Any] = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
FAIRMOT: dict[str, Any] = {
    "resize": "letterbox",
    "size": [608, 1088],
    "channels": "rgb",
    "mean": [0.0, 0.0, 0.0],
    "std": [1.0, 1.0, 1.0],
    "pad_value": 127,
}
HEATMAP: dict[str, Any] = {"radius": "original", "logit_clamp": 1e-4}


def _resnet(tensors: Tensors) -> Description:
    backbone = take_resnet(tensors)
    if tensors.deformable():
        channels = _up_sampling(tensors, step=6, offset=3)
        for i in range(len(channels)):
            tensors.fold_bias(f"deconv_layers.{6 * i}", f"deconv_layers.{6 * i + 1}")
            for theirs, ours in ((0, f"{2 * i}.0"), (1, f"{2 * i}.1"), (3, f"{2 * i + 1}.0"), (4, f"{2 * i + 1}.1")):
                tensors.move(rf"deconv_layers\.{6 * i + theirs}\.", f"neck.layers.{ours}.")
        neck = Part("SimpleNeck", {"channels": channels, "convolution": "deformable"})
        return _with_heads(tensors, f"{backbone.arguments['name']} with deformable convolutions", backbone, neck)
    channels = _up_sampling(tensors, step=3, offset=0)
    for i in range(len(channels)):
        tensors.move(rf"deconv_layers\.{3 * i}\.", f"neck.layers.{i}.0.")
        tensors.move(rf"deconv_layers\.{3 * i + 1}\.", f"neck.layers.{i}.1.")
    neck = Part("SimpleNeck", {"channels": channels, "convolution": "none"})
    return _with_heads(tensors, str(backbone.arguments["name"]), backbone, neck)


def _up_sampling(tensors: Tensors, *, step: int, offset: int) -> list[int]:
    """Return the channels that each transposed convolution gives."""
    channels: list[int] = []
    while (name := f"deconv_layers.{step * len(channels) + offset}.weight") in tensors:
        channels.append(tensors[name].shape[1])
    return channels


def take_dla(tensors: Tensors, prefix: str = "") -> tuple[Part, Part]:
    """Take the tensors of a DLA-34 and its neck, with the original's names behind a prefix."""
    # The constructor loads ImageNet's classifier too, and trees of trees have projections that nothing runs through.
    tensors.drop(rf"{prefix}base\.(fc|level3\.project|level4\.project)\.")
    tensors.move(rf"{prefix}base\.", "backbone.")
    deformable = tensors.deformable()
    for convolution in deformable:
        tensors.fold_bias(convolution, f"{convolution.removesuffix('conv')}actf.0")
    for i in range(
        len([name for name in tensors.left if re.fullmatch(rf"{prefix}dla_up\.ida_\d\.up_1\.weight", name)])
    ):
        _take_aggregation(tensors, rf"{prefix}dla_up\.ida_{i}\.", f"neck.rounds.{i}.")
    _take_aggregation(tensors, rf"{prefix}ida_up\.", "neck.last.")
    arguments = {} if deformable else {"convolution": "normal", "fusion": "concatenation"}
    return Part("DLA", {}), Part("DLAUp", arguments)


def _take_aggregation(tensors: Tensors, theirs: str, ours: str) -> None:
    """Take a round, whose maps are counted from 1 there."""
    for i in range(1, 6):
        tensors.move(rf"{theirs}up_{i}\.", f"{ours}up.{i - 1}.")
        for their_part, part in (("proj", "project"), ("node", "node")):
            tensors.move(rf"{theirs}{their_part}_{i}\.(conv|0)\.", f"{ours}{part}.{i - 1}.0.")
            tensors.move(rf"{theirs}{their_part}_{i}\.(actf\.0|1)\.", f"{ours}{part}.{i - 1}.1.")


def _dla(tensors: Tensors) -> Description:
    kind = "DLA-34" if tensors.deformable() else "DLA-34 of the first version, without deformable convolutions"
    return _with_heads(tensors, kind, *take_dla(tensors))


def _hourglass(tensors: Tensors) -> Description:
    stacks = len({name.split(".")[1] for name in tensors.left if name.startswith("kps.")})
    tensors.move(r"(pre|kps|cnvs|inters|inters_|cnvs_)\.", r"backbone.\1.")
    tensors.rename(r"^(\w+)\.(\d)\.0\.conv\.", r"\1.\2.0.")
    for i in range(stacks - 1):
        tensors.rename(rf"^(\w+)\.{i}\.(\d)\.", rf"stack{i}.\1.\2.")
    tensors.rename(rf"^(\w+)\.{stacks - 1}\.(\d)\.", r"\1.\2.")
    return _with_heads(tensors, "Hourglass-104", Part("Hourglass", {"stacks": stacks}), Part("Direct", {}))


def _with_heads(tensors: Tensors, network: str, backbone: Part, neck: Part) -> Description:
    """Take the heads, each a convolution and ReLU before the last one, and tell the task by them."""
    found = (re.match(rf"({_EXTRA})\.\d\.weight", name) for name in tensors.left)
    names = list(dict.fromkeys(match[1] for match in found if match))
    num_classes = tensors.channels(tensors.chain(r"hm\.\d")[-1])
    sizes = tensors.channels(tensors.chain(r"wh\.\d")[-1])
    box = _box_options(sizes, num_classes, offset="reg" in names, tracks="id" in names)
    heads = {"heatmap": Part("HeatmapHead", dict(HEATMAP)), "box": Part("SizeOffsetHead", box)}
    if "id" in names:
        heads["embedding"] = Part("EmbeddingHead", {"dim": tensors.channels(tensors.chain(r"id\.\d")[-1])})
    if "hps" in names:
        heads["keypoints"] = keypoints(
            tensors.channels(tensors.chain(r"hps\.\d")[-1]) // 2,
            heatmap="hm_hp" in names,
            offset="shared" if "hp_offset" in names else "none",
            search="original",
            logit_clamp=1e-4,
        )
    places = dict(_PLACES)
    if _SPACE.keys() <= set(names):
        heads["box3d"] = Part("Box3DHead", {"offset": False})
        places |= _SPACE
    for name in names:
        if name not in places:
            heads[name] = Part("DenseHead", {"channels": tensors.channels(tensors.chain(rf"{name}\.\d")[-1])})
    for name in names:
        place = places.get(name, f"{name}.layers")
        for i in range(backbone.arguments.get("stacks", 1) - 1):
            tensors.head(f"intermediate.{i}.{place}", tensors.chain(rf"stack{i}\.{name}\.\d"))
        options = tensors.head(f"heads.{place}", tensors.chain(rf"{name}\.\d"))
        heads[place.split(".")[0]].arguments.update(options)
    return _of_task(Description(network, backbone, neck, heads, num_classes, dict(COCO)), "id" in names)


def keypoints(count: int, **options: Any) -> Part:
    """Return the head of so many keypoints: COCO's person where that fits, else ones with numbers for names."""
    own = count == len(COCO_PERSON)
    skeleton = "coco_person" if own else {"names": [f"keypoint_{i}" for i in range(count)]}
    return Part("KeypointHead", {"skeleton": skeleton, **options})


def _box_options(sizes: int, num_classes: int, *, offset: bool, tracks: bool) -> dict[str, Any]:
    options: dict[str, Any] = {} if offset else {"offset": False}
    if sizes == 2:
        return options
    if sizes == 4 and (tracks or num_classes != 2):
        return options | {"size": "sides"}
    if sizes == 2 * num_classes:
        return options | {"class_specific": True}
    raise ValueError(
        f"its head wh has {sizes} channels: expected 2 (width and height), 4 (the four sides) or {2 * num_classes} "
        f"(a size for each of {num_classes} classes)"
    )


def _of_task(found: Description, tracks: bool) -> Description:
    if tracks:
        found.network = f"FairMOT: {found.network}"
        found.preprocessing = dict(FAIRMOT)
        found.options = {"num_detections": 500, "tracker": {"preset": "fairmot"}}
    elif "box3d" in found.heads:
        found.network += ", 3D"
        found.preprocessing |= {**IMAGENET, "size": [384, 1280]}
        if found.num_classes == len(KITTI_CLASSES):
            found.class_names = KITTI_CLASSES
    elif "keypoints" in found.heads:
        found.network += ", pose"
    elif found.num_classes == 20:
        found.preprocessing |= IMAGENET
    return found


_HEADS = (r"hm\.\d", r"wh\.\d")
FAMILIES = (
    Family("the original CenterNet (ResNet)", (r"conv1\.", r"layer4\.", r"deconv_layers\.", *_HEADS), _resnet),
    Family("the original CenterNet or FairMOT (DLA-34)", (r"base\.level5\.", r"dla_up\.", *_HEADS), _dla),
    Family("the original CenterNet (Hourglass)", (r"pre\.", r"kps\.0\.", r"cnvs\.0\.", *_HEADS), _hourglass),
)
