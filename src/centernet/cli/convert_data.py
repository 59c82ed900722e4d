"""`centernet convert-data SOURCE`: write a data set in another format, or with smaller training images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from centernet.cli.arguments import add_old_name, add_options, command_parser, given_options, positive

EPILOG = """examples:
  centernet convert-data data/VOC2007 --to coco --output data/voc_as_coco
  centernet convert-data exports/helmets --to yolo --output helmets_yolo --images copy
  centernet convert-data data/photographs --to coco --output photographs_small --shrink 854
  centernet convert-data data/KITTI --to mot --class-names Pedestrian,Cyclist --output pedestrians

What the other format cannot hold is named. MOT holds videos, so it takes only sequences of images of one size."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; what it wrote is its last output."""
    given = _parser().parse_args(arguments)

    from centernet.data import DataError
    from centernet.data.audit_subject import open_folder
    from centernet.data.convert import convert

    source = open_folder(given.source, **given_options(given, open_folder))
    print(f"{given.source}: {source.description}")
    if source.failed:
        raise DataError("\n".join(source.failed.values()))
    result = convert(source.datasets, **given_options(given, convert))
    for split, images in result.images.items():
        print(f"{split}: {images:,} images, {result.boxes[split]:,} boxes")
    if result.losses:
        print("what the new files do not say:")
        print("\n".join(f"  {loss}" for loss in result.losses))
    if getattr(given, "images", "link") == "link":
        linked = "the other images" if hasattr(given, "shrink") else "the images"
        print(f"{linked} are links to the source; --images copy makes the folder independent of it")
    files = list(dict.fromkeys(result.files))
    print(f"wrote {', '.join(map(str, files[:4]))}" + ", ..." * (len(files) > 4))
    return 0


def _parser() -> argparse.ArgumentParser:
    from centernet.data.audit_subject import open_folder
    from centernet.data.convert import convert

    parser = command_parser("convert-data", "Write a data set in another format; the source stays as it is.", EPILOG)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of data, or a COCO JSON file")
    parser.add_argument("--to", choices=("coco", "voc", "yolo", "mot"), required=True, help="the other format")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    add_options(parser, convert, ("images", "shrink"), types={"shrink": positive})
    add_old_name(parser, "--pictures", dest="images", choices=("link", "copy", "none"))
    add_options(parser, open_folder, ("format", "class_names"))
    return parser
