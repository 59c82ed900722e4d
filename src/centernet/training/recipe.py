"""The recipe of `centernet finetune`: a configuration for little data, starting from a trained model."""

from __future__ import annotations

import copy
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from centernet.annotations.problems import DataError
from centernet.data import DetectionDataset
from centernet.data.detect_format import Source
from centernet.data.setting_aside import Parts, set_aside, write_lists
from centernet.network.weights import model_section
from centernet.trust import Door

SIZES = (320, 384, 448, 512)
IMAGE_PASSES = 10_000


def finetuning(
    source: Source,
    dataset: DetectionDataset,
    output: str | PathLike[str],
    *,
    model: str | PathLike[str] = "voc-lite",
    epochs: int | None = None,
    size: int | None = None,
    batch_size: int = 16,
    workers: int = 2,
    trust: bool = False,
) -> tuple[dict[str, Any], str]:
    """Write the configuration that `fit` trains: the trained model's parts, the data's classes, a short schedule.

    Args:
        source: the data, in any known format.
        dataset: their split `train`.
        output: folder of the run; the lists of a part that is set aside are written there.
        model: what to start from: a name, a folder or a checkpoint.
        epochs: length of the training; about 10,000 images in all when None.
        size: side of the network's input, a multiple of 32; by the sizes of the objects when None.
        batch_size: images of a step.
        workers: processes that read.
        trust: take over the names of classes, and with them of modules that are imported, that are not this package's.

    Returns:
        The configuration, and a line that says what was found and chosen.

    Raises:
        DataError: the data have no training images with objects.
        ValueError: the model names a class that is not this package's, without `trust`.
    """
    sides = _object_sides(dataset)
    if not sides.size:
        raise DataError(f"{source.path}: no object in its {len(dataset)} training images; `centernet check` says why")
    section, names = model_section(model), dataset.class_names
    Door(str(model), trust).check_all(section, "model")
    side = size or _input_size(sides)
    section["class_names"], section["num_classes"] = list(names), None
    section["num_detections"] = section["calibration"] = None  # as the new data need it
    section["preprocessing"] = {**section["preprocessing"], "size": [side, side]}
    section["backbone"].setdefault("init_args", {})["frozen_stages"] = 2
    train, val, aside = _splits(source, dataset, Path(output))
    images = len(dataset) if aside is None else len(aside.train)
    number = epochs or int(np.clip(round(IMAGE_PASSES / images), 4, 120))
    found = (
        f"{len(dataset):,} images, {len(sides):,} objects of {len(names)} classes "
        f"({', '.join(names[:8])}{', …' if len(names) > 8 else ''}); input {side}×{side}, {number} epochs"
    )
    if aside is not None:
        found += f"\nno split for validation: {aside.how} (lists: {Path(output)}/train.txt, val.txt)"
    return {
        "seed_everything": 0,
        "start_from": str(model),
        "model": section,
        "data": {
            "train": train,
            "val": val,
            "augmentation": {"class_path": "Mosaic", "init_args": {"mosaic": 0.5, "mixup": 0.0, "close": 0.2}},
            "batch_size": batch_size,
            "num_workers": workers,
            "cache": "memory",
        },
        "optimization": {"lr": 2.0e-3, "reference_batch": 16, "backbone_lr_factor": 0.2},
        "ema_decay": 0.998,
        "trainer": {"max_epochs": number, "check_val_every_n_epoch": max(1, number // 10)},
    }, found


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
    """Return the smallest input in which three quarters of the objects have 20 pixels, five cells of the output."""
    lower = float(np.quantile(sides, 0.25))
    return next((size for size in SIZES if lower * size >= 20), SIZES[-1])
