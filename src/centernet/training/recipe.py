"""The recipe of `centernet finetune`: a configuration for little data, starting from a trained model."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from centernet.annotations.problems import DataError
from centernet.data import DataModule, DetectionDataset
from centernet.data.detect_format import Source
from centernet.data.setting_aside import Parts, set_aside, write_lists
from centernet.inference.thresholds import TRACKER_SCORES
from centernet.network import Network
from centernet.network.levels import parts
from centernet.network.weights import load_network, model_section
from centernet.training.likeness import answers
from centernet.trust import Door

SIZES = (320, 384, 448, 512)
"""Sides of the input of a start of one level."""
SMALL = 28
"""Pixels along √area that three quarters of the objects are to have in it."""
CELLS = 5
"""Cells of the finest level that three quarters of the objects of each class are to have in a start of several."""
ALIKE = 0.2
"""From this answer on, as the mean over the classes, a start knows what is alike."""
LOOKED_AT = 64
"""Images that the choice of the start looks at."""


class Choice(NamedTuple):
    """Start of a training.

    Attributes:
        model: a name, a folder or a checkpoint.
        why: one line.
        alike: whether it knows classes like these.
        levels: of its neck.
    """

    model: str
    why: str
    alike: bool
    levels: int


def finetuning(
    source: Source,
    dataset: DetectionDataset,
    output: str | PathLike[str],
    *,
    model: str | PathLike[str] | None = None,
    epochs: int | None = None,
    size: int | None = None,
    batch_size: int | None = None,
    workers: int = 2,
    trust: bool = False,
) -> tuple[dict[str, Any], str]:
    """Write the configuration that `fit` trains: the trained model's parts, the data's classes, a short schedule.

    Args:
        source: the data, in any known format.
        dataset: their split `train`.
        output: folder of the run; the lists of a part that is set aside are written there.
        model: what to start from: a name, a folder or a checkpoint; None chooses coco-lite, or voc-lite for small
            objects that are like nothing it knows. A model with keypoints is trained for those of the data, its batch
            norms frozen; where the data have none it is trained without.
        epochs: length of the training; by the start and the number of images when None.
        size: side of the network's input, a multiple of 32; by the sizes of the objects when None.
        batch_size: images of a step; 8 when None.
        workers: processes that read.
        trust: take over the names of classes, and with them of modules that are imported, that are not this package's.

    Returns:
        The configuration, and lines that say what was found and chosen.

    Raises:
        DataError: the data have no training images with objects.
        ValueError: the model names a class that is not this package's, without `trust`.
    """
    sides = _object_sides(dataset)
    if not sides.size:
        raise DataError(f"{source.path}: no object in its {len(dataset)} training images; `centernet check` says why")
    choice = choose_start(dataset) if model is None else _given_start(dataset, str(model), trust)
    section, names = model_section(choice.model), dataset.class_names
    Door(choice.model, trust).check_all(section, "model")
    train, val, aside = _splits(source, dataset, Path(output))
    posed, new, poses = _fit_fields(section, choice.model, dataset, trust)
    images = len(dataset) if aside is None else len(aside.train)
    several = choice.levels > 1
    plan = _several_levels(images, choice.alike) if several else _posed(images, new) if posed else _one_level(images)
    own = section["preprocessing"]["size"]
    height, width = (size, size) if size else own if several or posed else (_input_size(sides),) * 2
    section["class_names"], section["num_classes"] = list(names), None
    section["num_detections"] = section["calibration"] = None  # as the new data need it
    settings = section.get("tracker") or {}
    section["tracker"] = {name: value for name, value in settings.items() if name not in TRACKER_SCORES} or None
    section["preprocessing"] = {**section["preprocessing"], "size": [height, width]}
    section["backbone"].setdefault("init_args", {})["frozen_stages"] = plan.frozen_stages
    if several:
        section["level_assignment"] = "fit"  # as its levels were trained
    number = epochs or plan.epochs
    found = (
        f"{len(dataset):,} images, {len(sides):,} objects of {len(names)} classes "
        f"({', '.join(names[:8])}{', …' if len(names) > 8 else ''})\n{choice.why}\n"
        f"input {height}×{width}, {number} epochs"
    )
    if poses:
        found += f"\n{poses}"
    if aside is not None:
        found += f"\nno split for validation: {aside.how} (lists: {Path(output)}/train.txt, val.txt)"
    return {
        "seed_everything": 0,
        "start_from": choice.model,
        "model": section,
        "data": {
            "train": train,
            "val": val,
            "augmentation": plan.augmentation,
            "sizes": [[max(side + step, 32) for side in (height, width)] for step in plan.size_steps] or None,
            "batch_size": batch_size or plan.batch_size,
            "num_workers": workers,
            "cache": "none" if train["class_path"] == "Shards" else "memory",
        },
        "optimization": plan.optimization,
        "ema_decay": plan.ema_decay,
        "trainer": {"max_epochs": number, "check_val_every_n_epoch": max(1, number // 10)},
    }, found


def _fit_fields(section: dict[str, Any], model: str, dataset: DetectionDataset, trust: bool) -> tuple[bool, bool, str]:
    """Make heads that learn from fields of the data, such as keypoints, those for these data: of their skeleton, or
    none. Returns whether one is left, whether one has something to learn anew, and what was found, in a sentence."""
    fields = {field.name: field for field in dataset.fields}
    network, said, new = load_network(model, trust=trust), list[str](), False
    learned = {head: part.fields for head in network.heads for part in parts(network.heads[head])[:1]}
    for head, wanted in learned.items():
        lacking = [field.name for field in wanted if field.name not in fields]
        if lacking:
            del section["heads"][head]
            said.append(f"the data have no {', '.join(lacking)}: trained without the head {head} of the start")
        for field in wanted:
            ours = fields[field.name].skeleton if field.name in fields else None
            if ours is not None and field.skeleton is not None and ours.names != field.skeleton.names:
                section["heads"][head].setdefault("init_args", {})["skeleton"] = ours.to_dict()
                shared = [name for name in ours.names if name in field.skeleton.names]
                new = new or len(shared) < len(ours)
                text = f"the start knows {len(shared)} of the {len(ours)} {field.name} ({', '.join(shared) or 'none'})"
                said.append(f"{text}: these keep what it learned, the others begin anew")
    unused = fields.keys() - {field.name for wanted in learned.values() for field in wanted}
    if unused:
        text = f"{', '.join(sorted(unused))} of the data are not learned: {model} has no head for them"
        said.append(f"{text} (--model with a model that has one, such as person-pose, learns keypoints)")
    left = any(learned[head] for head in section["heads"] if head in learned)
    return left, new, "; ".join(said)


def choose_start(dataset: DetectionDataset, large: str = "coco-lite", fine: str = "voc-lite") -> Choice:
    """Choose what to start from: the model of more classes and coarser cells, or the one of finer cells.

    Args:
        dataset: training images with objects.
        large: is taken where classes that it knows answer on the objects, or where these span its cells.
        fine: is taken else.
    """
    network = load_network(large)
    alike, like = _alike(network, dataset)
    if alike:
        return Choice(large, f"start {large}, which knows what is alike: {like}", alike, len(network.strides))
    side, least = network.preprocessing.size[0], CELLS * network.stride
    sides, labels = _object_sides(dataset), dataset.columns.labels[~dataset.columns.ignore]
    # By the class of the smallest objects: AP counts all classes alike.
    pixels, label = min((float(np.quantile(sides[labels == label], 0.25)) * side, label) for label in np.unique(labels))
    which = f"a quarter of the objects of {dataset.class_names[label]}"
    sizes = f"{which} have {pixels:.0f} of the {side} pixels of its input or less, {least} are"
    if pixels >= least:
        return Choice(
            large,
            f"start {large}, objects are large enough for it: {sizes} needed; {like}",
            alike,
            len(network.strides),
        )
    why = f"start {fine}, objects are too small for {large}: {sizes} needed; and only {like}"
    return Choice(fine, why, alike, len(load_network(fine).strides))


def _given_start(dataset: DetectionDataset, model: str, trust: bool) -> Choice:
    network = load_network(model, trust=trust)
    alike, like = _alike(network, dataset)
    return Choice(model, f"start {model}, as given: {like}", alike, len(network.strides))


def _alike(network: Network, dataset: DetectionDataset) -> tuple[bool, str]:
    """Return whether a network knows classes like those of the data, and which answer."""
    names = dataset.class_names
    known = network.class_names or [str(label) for label in range(network.num_classes)]
    used = np.unique(dataset.columns.labels[~dataset.columns.ignore]).tolist()
    data = DataModule(train=dataset, preprocessing=network.preprocessing, num_workers=0)
    answer, places = answers(network, data.some_batches(LOOKED_AT), len(names))[used].max(1)
    best = zip(used, places.tolist(), answer.tolist(), strict=True)
    pairs = [f"{known[place]} {value:.2f}".replace(" 0.", " .") + f" on {names[label]}" for label, place, value in best]
    like = f"{', '.join(pairs[:4])}{', …' if len(pairs) > 4 else ''} answers"
    return float(answer.mean()) >= ALIKE, like


class Plan(NamedTuple):
    """Settings that a start is trained further with."""

    epochs: int
    batch_size: int
    frozen_stages: int
    augmentation: dict[str, Any]
    optimization: dict[str, Any]
    ema_decay: float = 0.998
    size_steps: Sequence[int] = ()  # by how many pixels the input of a batch differs from that of evaluation


def _one_level(images: int) -> Plan:
    """A start with live batch norms, which has seen some thousand images."""
    return Plan(
        epochs=_epochs(5_000, images),
        batch_size=8,
        frozen_stages=2,
        augmentation={"class_path": "Augment", "init_args": {"scale": [0.7, 1.3]}},
        optimization={"lr": 3.0e-3, "reference_batch": 8, "backbone_lr_factor": 0.2},
        ema_decay=0.999,
        size_steps=(-64, 0, 64),
    )


def _posed(images: int, new: bool) -> Plan:
    """A start with keypoints, which has seen many more images, by its own norms: a little where it knows all keypoints
    of the data, for it soon forgets other images; longer and with larger steps where some are new."""
    return Plan(
        epochs=_epochs(12_000 if new else 400, images),
        batch_size=8,
        frozen_stages=2,
        augmentation={"class_path": "Augment", "init_args": {"scale": [0.7, 1.3], "translate": 0.2}},
        optimization={"lr": 1.0e-3 if new else 6.0e-5, "reference_batch": 8, "frozen_norms": True},
    )


def _several_levels(images: int, alike: bool) -> Plan:
    """A start without norms, which has seen a hundred thousand images: small steps, and soon there."""
    return Plan(
        epochs=_epochs(2_400 if alike else 5_000, images, most=60),
        batch_size=8,
        frozen_stages=4 if alike and images < 1_000 else 2,
        augmentation={"class_path": "Augment"},
        optimization={"lr": 3.0e-4 if alike else 1.0e-3, "reference_batch": 8, "backbone_lr_factor": 0.2},
    )


def _epochs(passes: int, images: int, most: int = 120) -> int:
    return int(np.clip(round(passes / images), 4, most))


def _splits(
    source: Source, dataset: DetectionDataset, output: Path
) -> tuple[dict[str, Any], dict[str, Any], Parts | None]:
    """Return the sections `train` and `val`; without a split to validate on, a part of the images is set aside."""
    train = source.section("train")
    if "val" in source.splits:
        return train, source.section("val"), None
    parts = set_aside(dataset)
    lists = write_lists(dataset, parts, output)
    chosen = [{"class_path": "ChosenImages", "init_args": {"dataset": train, "images": str(path)}} for path in lists]
    return chosen[0], copy.deepcopy(chosen[1]), parts


def _object_sides(dataset: DetectionDataset) -> np.ndarray[Any, Any]:
    """Return √area of every object, as a share of its image's longer side."""
    columns = dataset.columns
    sides = np.clip(columns.boxes[:, 2:] - columns.boxes[:, :2], 0, None)
    shares = np.sqrt(sides.prod(axis=1)) / columns.sizes.max(axis=1)[columns.samples()]
    return np.asarray(shares[~columns.ignore])


def _input_size(sides: np.ndarray[Any, Any]) -> int:
    """Return the smallest input in which three quarters of the objects have `SMALL` pixels, seven cells of stride 4."""
    lower = float(np.quantile(sides, 0.25))
    return next((size for size in SIZES if lower * size >= SMALL), SIZES[-1])
