"""`centernet convert-data SOURCE`: write a data set in another format, or with smaller training images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from centernet.cli.arguments import (
    add_data_options,
    add_old_name,
    add_options,
    command_parser,
    data_options,
    given_options,
    positive,
)
from centernet.cli.log import tell
from centernet.text import shown

EPILOG = """examples:
  centernet convert-data data/VOC2007 --to coco --output data/voc_as_coco
  centernet convert-data exports/helmets --to yolo --output helmets_yolo --image-files copy
  centernet convert-data data/photographs --to coco --output photographs_small --shrink 854
  centernet convert-data data/photographs --to shards --shard-mb 500 --output photographs_shards
  centernet convert-data data/KITTI --to mot --class-names Pedestrian,Cyclist --output pedestrians

What the other format cannot hold is named. MOT holds videos, so it takes only sequences of images of one size.
Shards are WebDataset's tars, to train on from here or from an address (s3://…)."""

IMAGE_FILES = ("link", "copy", "none")


def main(arguments: Sequence[str]) -> int:
    """Run the command; what it wrote is its last output."""
    given = _parser().parse_args(arguments)

    from centernet.data import DataError
    from centernet.data.audit_subject import open_folder
    from centernet.data.convert import convert
    from centernet.data.detect_format import find_format

    if getattr(given, "images", None) in IMAGE_FILES:  # the former name of --image-files
        given.image_files = given.images
        del given.images
    chosen = {"class_names": given.class_names} if hasattr(given, "class_names") else {}
    source = open_folder(find_format(given.source, **data_options(given)), **chosen)
    tell("\n".join(map(shown, [f"{given.source}: {source.description}", *source.notes])))
    if failures := [*source.failed.values(), *filter(None, [source.refusal])]:
        raise DataError("\n".join(failures))
    tell("".join(f"left out: {shown(problem.message)}\n" for problem in source.unread), end="")
    options = {name: value for name, value in given_options(given, convert).items() if name != "images"}
    result = convert(source.datasets, images=given.image_files, **options)
    for split, images in result.images.items():
        tell(f"{split}: {images:,} images, {result.boxes[split]:,} boxes")
    if result.losses:
        tell("what the new files do not say:")
        tell("\n".join(f"  {shown(loss)}" for loss in result.losses))
    if given.image_files == "link" and given.to != "shards":
        linked = "the other images" if hasattr(given, "shrink") else "the images"
        tell(f"{linked} are links to the source; --image-files copy makes the folder independent of it")
    tell(f"wrote {', '.join(map(str, result.files[:4]))}" + ", ..." * (len(result.files) > 4))
    return 0


def _parser() -> argparse.ArgumentParser:
    from centernet.data.audit_subject import open_folder
    from centernet.data.convert import Target, convert

    parser = command_parser("convert-data", "Write a data set in another format; the source stays as it is.", EPILOG)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of data, or a COCO JSON file")
    parser.add_argument("--to", choices=get_args(Target), required=True, help="the other format")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument(
        "--image-files", choices=IMAGE_FILES, default="link",
        help="symbolic links to the images, copies of them, or none; those that become smaller are written; "
        "default: %(default)s",
    )  # fmt: skip
    add_old_name(parser, "--pictures", dest="image_files", choices=IMAGE_FILES)
    add_options(parser, convert, ("shrink", "shard_mb"), types={"shrink": positive, "shard_mb": positive})
    add_data_options(parser, images=lambda text: text if text in IMAGE_FILES else Path(text))
    add_options(parser, open_folder, ("class_names",))
    return parser
