"""`centernet finetune FOLDER`: from a trained detector to one for your own pictures, in one line.

centernet finetune data/helmet
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

if TYPE_CHECKING:
    from centernet.data import DetectionDataset
    from centernet.data.detect_format import Source

SIZES = (320, 384, 448, 512)
EPILOG = """examples:
  centernet finetune data/helmet
  centernet finetune data/cells --epochs 60 --size 320 --output runs/cells
  centernet finetune annotations.json --model runs/voc/version_0/checkpoints/best.ckpt

Format, classes, splits, input size and length are found out; the configuration that is trained is written beside the
run, to be changed and trained again by `centernet fit --config`. Classes that the trained model knows by name keep
what it learned, others start anew; backbone, neck and box head are kept."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="centernet finetune",
        description="Train a detector for your own data, starting from a trained one.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="a data set in any known format: its folder, or COCO's JSON")
    parser.add_argument("--model", default="voc-lite", help="what to start from: a name, a folder or a checkpoint")
    parser.add_argument("--format", help="of the data; found out by itself")
    parser.add_argument("--epochs", type=_positive, help="length of the training; about 10,000 pictures in all")
    parser.add_argument("--size", type=int, help="side of the network's input, a multiple of 32; by the objects' sizes")
    parser.add_argument("--batch-size", type=_positive, default=16)
    parser.add_argument("--workers", type=int, default=min(2, (os.cpu_count() or 1) - 1), help="processes that read")
    parser.add_argument("--output", type=Path, default=Path("runs/finetune"), help="folder for all that is written")
    parser.add_argument("--dry-run", action="store_true", help="write the configuration, and stop there")
    given = parser.parse_args(arguments)

    from centernet.data.detect_format import find_format

    source = find_format(given.folder, name=given.format)
    print(f"{given.folder}: {source.format.title}, {', '.join(source.splits)}")
    config = configuration(source, given)
    given.output.mkdir(parents=True, exist_ok=True)
    path = given.output / "finetune.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
    print(f"configuration: {path}")
    if given.dry_run:
        return 0

    from centernet.cli import fit

    run = fit.run(["--config", str(path), "--output", str(given.output)], "fit")
    best = Path(run.trainer.log_dir or given.output) / "checkpoints" / "best.ckpt"
    print(f"next:\n  centernet detect PICTURES --model {best}")
    return 0


def configuration(source: Source, given: argparse.Namespace) -> dict[str, Any]:
    """What `fit` trains: the trained model's parts, the data's classes, and a schedule for little data.

    Raises:
        DataError: the data have no training pictures with objects.
    """
    from centernet.data.sample import DataError
    from centernet.network.weights import model_section

    if "train" not in source.splits:
        raise DataError(
            f"{source.path}: it has the splits {', '.join(source.splits)}, but none to train on; name one of its files "
            "or lists train, or write a configuration with data.train (docs/datasets.md)"
        )
    dataset = source.open("train")
    sides = _object_sides(dataset)
    if not sides.size:
        raise DataError(f"{source.path}: no object in its {len(dataset)} training pictures; `centernet check` says why")
    model = model_section(given.model)
    size = given.size or _input_size(sides)
    model["class_names"], model["num_classes"] = list(dataset.class_names), None
    model["preprocessing"] = {**model["preprocessing"], "size": [size, size]}
    model["backbone"].setdefault("init_args", {})["frozen_stages"] = 2
    train, val = _splits(source)
    pictures = len(dataset) if "val" in source.splits else round(0.8 * len(dataset))
    epochs = given.epochs or int(np.clip(round(10_000 / pictures), 4, 120))
    print(
        f"{pictures:,} pictures, {len(sides):,} objects of {len(dataset.class_names)} classes "
        f"({', '.join(dataset.class_names[:8])}{', …' if len(dataset.class_names) > 8 else ''}); "
        f"input {size}×{size}, {epochs} epochs"
    )
    return {
        "seed_everything": 0,
        "start_from": str(given.model),
        "model": model,
        "data": {
            "train": train,
            "val": val,
            "augmentation": {"class_path": "Mosaic", "init_args": {"mosaic": 0.5, "mixup": 0.0, "close": 0.2}},
            "batch_size": given.batch_size,
            "num_workers": given.workers,
            "cache": "memory",
        },
        "optimization": {"lr": 2.0e-3, "reference_batch": 16, "backbone_lr_factor": 0.2},
        "ema_decay": 0.998,
        "trainer": {"max_epochs": epochs, "check_val_every_n_epoch": max(1, epochs // 10)},
    }


def _splits(source: Source) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sections `train` and `val`; where there is no split to validate on, every fifth picture is set aside."""
    train = source.section("train")
    if "val" in source.splits:
        return train, source.section("val")
    print("no split for validation: a fifth of the pictures, drawn at random, is kept for it")
    return (
        {"class_path": "RandomSubset", "init_args": {"dataset": train, "fraction": 0.8}},
        {
            "class_path": "RandomSubset",
            "init_args": {"dataset": copy.deepcopy(train), "fraction": 0.8, "rest": True},
        },
    )


def _object_sides(dataset: DetectionDataset) -> np.ndarray[Any, Any]:
    """√area of every object, as a share of its picture's longer side."""
    sides = [np.zeros(0)]
    for i in range(len(dataset)):
        annotation = dataset.annotation(i)
        boxes = annotation.boxes[~annotation.ignore]
        area = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
        sides.append(np.sqrt(area) / max(annotation.height, annotation.width))
    return np.concatenate(sides)


def _input_size(sides: np.ndarray[Any, Any]) -> int:
    """The smallest input in which three quarters of the objects have 20 pixels, five cells of the output, or more."""
    lower = float(np.quantile(sides, 0.25))
    return next((size for size in SIZES if lower * size >= 20), SIZES[-1])


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return number
