"""The way from a file of another project to a network of ours: the family is known by its names of tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from centernet.foreign import original, others, tensorflow, zoo
from centernet.foreign.description import Description, Family
from centernet.foreign.names import PUBLISHED
from centernet.foreign.reading import ForeignFile, read_file
from centernet.foreign.tensors import Tensors
from centernet.lineage import Lineage
from centernet.network.build import network_of_section
from centernet.network.network import Network
from centernet.network.weights import CONFIG, save_network

TERMS = "the file states no terms: those of its project, and of the data that it learned on, may apply"
FAMILIES: tuple[Family, ...] = (*original.FAMILIES, *others.FAMILIES, *tensorflow.FAMILIES)


@dataclass
class Converted:
    """A network that was read from a file of another project.

    Attributes:
        network: ours, with its weights, in evaluation mode.
        project: whose it is.
        kind: which one.
        notes: what was assumed or left out.
        half: whether the file's weights were in half precision.
    """

    network: Network
    project: str
    kind: str
    notes: list[str]
    half: bool = False


def open_foreign(source: str | PathLike[str], *, class_names: Sequence[str] | None = None) -> Converted:
    """Read a network of another project.

    Args:
        source: a file of weights that torch.save wrote; a folder of TensorFlow's model zoo, or its index; or a name of
            the zoo, `zoo:…`, which is downloaded where it is not there yet.
        class_names: in the order of the channels; None takes those in the file, or those of the data set that
            published networks with so many classes are trained on.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: what the file is, or lacks, or has too much.
    """
    lineage = None
    if str(source).startswith(zoo.PREFIX):
        lineage, source = zoo.lineage(str(source)), zoo.fetch(str(source))
    index = tensorflow.find_index(Path(source))
    file = read_file(Path(source)) if index is None else tensorflow.read_checkpoint(index)
    tensors = Tensors(file.state)
    family = recognise(file.state, file.path)
    try:
        found = family.describe(tensors)
    except (KeyError, IndexError, ValueError) as error:
        what = f"lacks the tensor {error}" if isinstance(error, KeyError) else str(error) or "lacks a head"
        raise ValueError(f"{file.path}: looks like {family.project}, but {what}") from error
    if index is not None:
        size = tensorflow.input_size(index)
        found.notes.append(
            f"input: {'512×512, as there is no pipeline.config' if size is None else f'{size[0]}×{size[1]}'}"
        )
        found.preprocessing["size"] = list(size or (512, 512))
    names = _class_names(found, file, class_names)
    network = _build(found, names, file.path)
    _fill(network, tensors, f"{file.path} ({family.project}: {found.network})")
    network.lineage = lineage or Lineage(
        Path(source).name, (f"read from a file in the form of {family.project}",), limits=(TERMS,)
    )
    notes = [*file.notes, *found.notes, f"licence: {network.lineage.summary()}"]
    if tensors.unused:
        notes.append(f"left: {len(tensors.unused)} tensors that its own network does not use ({_some(tensors.unused)})")
    if tensors.left:
        left = f"left: {len(tensors.left)} tensors that {family.project} does not have ({_some(list(tensors.left))})"
        notes.append(left)
    return Converted(network.eval(), family.project, found.network, notes, file.half)


def zoo_folder(name: str) -> Path:
    """Return the folder of the model behind a name of the zoo; it is downloaded and converted where it is not there."""
    zoo.published(name)
    folder = zoo.cache_folder() / name.removeprefix(zoo.PREFIX) / "model"
    if not (folder / CONFIG).is_file():
        found = open_foreign(name)
        save_network(found.network, folder, dtype=torch.float16 if found.half else torch.float32)
    return folder


def recognise(state: Mapping[str, Tensor], path: Path) -> Family:
    """Return the family that the names of tensors are of; a ValueError says which there are, and the nearest."""
    missing = {family: [m for m in family.marks if not any(re.match(m, n) for n in state)] for family in FAMILIES}
    for family, marks in missing.items():
        if not marks:
            return family
    share = {family: len(marks) / len(family.marks) for family, marks in missing.items()}
    nearest = min(share, key=lambda family: share[family])
    text = f"{path}: its tensors ({_some(list(state))}) are of none of the networks that can be read: "
    text += "; ".join(family.project for family in FAMILIES)
    if share[nearest] < 1:
        lacking = ", ".join(
            re.sub(r"\\(.)", r"\1", mark).replace("d", "0") if "\\d" in mark else mark.replace("\\", "")
            for mark in missing[nearest]
        )
        text += f". Nearest is {nearest.project}, but nothing in the file begins with {lacking}"
    raise ValueError(text)


def _class_names(found: Description, file: ForeignFile, given: Sequence[str] | None) -> tuple[str, ...] | None:
    """Choose the class names, and note where they are from."""
    for names, origin in ((given, "given"), (file.class_names, "in the file"), (found.class_names, "of its project")):
        if names is None:
            continue
        if len(names) != found.num_classes:
            raise ValueError(
                f"{file.path}: {len(names)} class names are {origin}, but its heatmap has {found.num_classes} channels"
            )
        if origin != "given":
            found.notes.append(f"class names: those {origin}")
        return tuple(names)
    if found.num_classes in PUBLISHED:
        data, names = PUBLISHED[found.num_classes]
        found.notes.append(f"class names: {data}, as its heatmap has {found.num_classes} channels")
        return names
    found.notes.append(f"class names: the file has none for its {found.num_classes} classes; give them")
    return None


def _build(found: Description, class_names: tuple[str, ...] | None, path: Path) -> Network:
    section: dict[str, Any] = {
        "num_classes": found.num_classes,
        "class_names": list(class_names) if class_names else None,
        "backbone": found.backbone.section(),
        "neck": found.neck.section(),
        "heads": {name: part.section() for name, part in found.heads.items()},
        "preprocessing": found.preprocessing,
        "num_detections": 100,
        **found.options,
    }
    return network_of_section(section, source=str(path))


def _fill(network: Network, tensors: Tensors, where: str) -> None:
    """Load the tensors; a ValueError names, as the file does, those that are missing or of another shape."""
    own = network.state_dict()
    missing = [name for name in own if name not in tensors.taken and not name.endswith("num_batches_tracked")]
    if missing:
        names = [_origin(name, tensors.origin) for name in missing]
        raise ValueError(f"{where}: {len(missing)} tensors are missing ({_some(names)})")
    for name, value in tensors.taken.items():
        if name not in own:
            raise ValueError(f"{where}: has a tensor too much, {tensors.origin[name]} {list(value.shape)}")
        if own[name].shape != value.shape:
            raise ValueError(
                f"{where}: {tensors.origin[name]} has the shape {list(value.shape)}, expected {list(own[name].shape)}"
            )
    network.load_state_dict(tensors.taken, strict=False)


def _origin(name: str, origin: Mapping[str, str]) -> str:
    """Say what the file would call a tensor of ours, by one of the same layer; else our own name."""
    layer, _, last = name.rpartition(".")
    for ours, theirs in origin.items():
        if ours.startswith(f"{layer}.") and "." not in ours.removeprefix(f"{layer}."):
            return f"{theirs.rpartition('.')[0]}.{last}"
    return name


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
