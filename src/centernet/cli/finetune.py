"""`centernet finetune FOLDER`: from a trained detector to one for your own images, in one line.

centernet finetune data/helmet
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from centernet.cli.arguments import (
    OptionType,
    add_data_options,
    add_options,
    add_trust,
    command_parser,
    data_options,
    given_options,
    positive,
)
from centernet.cli.log import tell
from centernet.data import DataError
from centernet.data.detect_format import find_format
from centernet.whole import write_text

EPILOG = """examples:
  centernet finetune data/helmet
  centernet finetune data/cells --epochs 60 --size 320 --output runs/cells
  centernet finetune annotations.json --images photos --model runs/voc/version_0/checkpoints/best.ckpt
  centernet finetune export --splits train=first.json val=second.json

Format, classes, splits, start, input size and length are found out; the configuration that is trained is written beside
the run, to be changed and trained again by `centernet fit --config`. Classes that the trained model knows by name keep
what it learned, others start from those that answer on their objects; backbone, neck and box head are kept."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    from centernet.training.recipe import finetuning

    parser = command_parser("finetune", "Train a detector for your own data, starting from a trained one.", EPILOG)
    parser.add_argument("folder", type=Path, help="a data set in any known format: its folder, or COCO's JSON")
    add_data_options(parser)
    types: dict[str, OptionType] = {"epochs": positive, "batch_size": positive, "model": str}
    add_options(parser, finetuning, ("model", "epochs", "size", "batch_size", "workers"), types=types)
    add_trust(parser)
    parser.set_defaults(workers=min(2, (os.cpu_count() or 1) - 1))
    parser.add_argument("--output", type=Path, default=Path("runs/finetune"), help="folder for all that is written")
    parser.add_argument("--dry-run", action="store_true", help="write the configuration, and stop there")
    given = parser.parse_args(arguments)

    source = find_format(given.folder, **data_options(given))
    tell(f"{given.folder}: {source.description}, {', '.join(source.splits)}")
    if "train" not in source.splits:
        text = f"it has the splits {', '.join(source.splits)}, but none to train on; say which is, as in"
        raise DataError(f"{given.folder}: {text} --splits train={next(iter(source.splits))}")
    datasets = {split: source.open(split) for split in source.splits}
    tell("".join(f"{note}\n" for note in source.check_unread(list(datasets.values()))), end="")
    config, found = finetuning(source, datasets.pop("train"), **given_options(given, finetuning))
    tell(found)
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=110)
    path = write_text(given.output / "finetune.yaml", text)
    tell(f"configuration: {path}")
    if given.dry_run:
        return 0

    from centernet.cli import fit

    trusted = ["--trust"] * hasattr(given, "trust")

    run = fit.run(["--config", str(path), "--output", str(given.output), *trusted], "fit")
    tell(f"next:\n  centernet detect IMAGES --model {run.checkpoint}")
    return 0
