"""`centernet convert-data SOURCE`: a data set in another format.

centernet convert-data data/VOC2007 --to coco --output data/voc_as_coco
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

TARGETS = ("coco", "voc", "yolo", "mot")
EPILOG = """examples:
  centernet convert-data data/VOC2007 --to coco --output data/voc_as_coco
  centernet convert-data exports/helmets --to yolo --output helmets_yolo --pictures copy
  centernet convert-data data/KITTI --to mot --class-names Pedestrian,Cyclist --output pedestrians

What the other format cannot hold is named. MOT holds videos, so it takes only sequences of pictures of one size."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; what it wrote is its last output."""
    given = _parser().parse_args(arguments)

    from centernet.data.convert import convert
    from centernet.data.detect_format import find_format

    source = find_format(given.source, name=given.format)
    if given.class_names is not None:
        source.options["class_names"] = given.class_names
    also = f"; it looks like {', '.join(source.also)} too (--format chooses)" if source.also else ""
    print(f"{given.source}: {source.format.title}{also}")
    datasets = {split: source.open(split) for split in source.splits}
    result = convert(datasets, given.output, to=given.to, pictures=given.pictures)
    for split, pictures in result.pictures.items():
        print(f"{split}: {pictures:,} pictures, {result.boxes[split]:,} boxes")
    if result.losses:
        print("what the new files do not say:")
        print("\n".join(f"  {loss}" for loss in result.losses))
    if given.pictures == "link":
        print("the pictures are links to the source; --pictures copy makes the folder independent of it")
    print(f"wrote {', '.join(map(str, result.files[:4]))}" + ", ..." * (len(result.files) > 4))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="centernet convert-data",
        description="Write a data set in another format; the source stays as it is.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of data, or a COCO JSON file")
    parser.add_argument("--to", choices=TARGETS, required=True, help="the other format")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--format", help="of the source: voc, coco, yolo, mot, kitti, …; default: found out")
    parser.add_argument(
        "--class-names", type=_names, metavar="LIST", help="only these classes, with commas between, in this order"
    )
    parser.add_argument(
        "--pictures", choices=("link", "copy", "none"), default="link", help="what is done with them; default: link"
    )
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
