"""`centernet label IMAGES`: a data set of unlabelled images, with boxes that models find.

centernet label photos --model best.ckpt --output data/photos
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from centernet.cli.arguments import (
    OptionType,
    add_max_pixels,
    add_options,
    add_trust,
    command_parser,
    fraction,
    given_options,
    name_list,
    parameter_texts,
    positive,
    score_thresholds,
    size,
)
from centernet.cli.log import tell
from centernet.cli.output import MODEL, tile_side
from centernet.cli.progress import Progress, say
from centernet.configuration import DEFAULT_MODEL
from centernet.data import DataError, DetectionDataset
from centernet.data.audit_subject import open_folder
from centernet.data.convert import ImageFiles, Target
from centernet.data.detect_format import find_format
from centernet.images import ImageError
from centernet.inference import Detector
from centernet.inference.labelling import LIST, RECORD, label_images
from centernet.inference.several import open_sources
from centernet.text import shown

DESCRIPTION = (
    "Label images by one model or several, and write them as a data set: a start for a training of your own, or for "
    "the hands of an annotator."
)
EPILOG = """examples:
  centernet label photos --model best.ckpt --output data/photos
  centernet label photos --model best.ckpt --teacher other.onnx --flip --output data/photos --threshold 0.5
  centernet label "shots/**/*.jpg" --model found/detections.json --output data/shots --to yolo --image-files copy
  centernet label VOC2007/JPEGImages --keep VOC2007 --output data/voc_with_80_classes
  centernet label photos --model best.ckpt --select 100 --output to_correct     those that most need a person
  centernet label clip.mp4 --every 30 --model best.ckpt --classes person,car --output data/clip

A box that reaches --threshold is an object, one that reaches --ignore-threshold a region to ignore, which trains
neither as an object nor as background (YOLO's files have no such thing). What several models or views find is fused by
weighted boxes fusion. A model may also be a file of detections: COCO's results, detections.json of `centernet detect`.
All images become one split: `centernet finetune` sets a part of one aside for validation. Look at what was found before
you train on it: `centernet check DATASET --html report.html`."""
DETECTOR = ("num_detections", "batch_size", "tile_overlap", "max_memory", "device", "threads")


def main(arguments: Sequence[str]) -> int:
    """Run the command; 1 where images were left out: the others are labelled all the same."""
    given = _parser().parse_args(arguments)
    kept = [data for path in given.keep for data in _read(path)]
    sources = list(open_sources(given.images, recursive=given.recursive, every=given.every).values())
    lengths = [source.length for source in sources]
    progress = Progress(None if None in lengths else sum(filter(None, lengths)), unit="images")

    def left_out(error: ImageError) -> None:
        say(f"left out: {shown(error)}")
        progress.advance()

    options = given_options(given, label_images)
    options |= {name: getattr(given, name) for name in ("tile", "trust", *DETECTOR) if hasattr(given, name)}
    options |= {"images": sources, "keep": kept, "on_error": left_out, "on_image": progress.advance}
    progress.begin()
    try:
        result = label_images(models=[given.model, *given.teacher], **options)
    finally:
        progress.close(whole=False)
    tell("".join(f"{note}\n" for note in result.notes), end="")
    if given.keep:
        tell(f"kept {result.kept[0]:,} boxes of {result.kept[1]:,} images from {', '.join(map(str, given.keep))}")
    if given.image_files == "link" and not any(source.is_moving for source in sources):
        tell("the images are links to the source; --image-files copy makes the folder independent of it")
    if hasattr(given, "select"):
        chosen, candidates = result.selected
        list_file = given.output / LIST
        tell(f"chose {len(chosen):,} of {candidates:,} images: {list_file}, with the reasons in {RECORD} beside it")
    tell(f"wrote {', '.join(map(str, result.files))}: one split, of which nothing is set aside for validation")
    tell(result)
    return 1 if result.skipped else 0


def _read(path: Path) -> list[DetectionDataset]:
    """Open all splits of a data set; what is wrong with it is an error, as its boxes are to stay."""
    source = open_folder(find_format(path))
    tell("\n".join([f"{path}: {source.description}", *source.notes]))
    if failures := [*source.failed.values(), *filter(None, [source.refusal])]:
        raise DataError("\n".join(failures))
    return list(source.datasets.values())


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("label", DESCRIPTION, EPILOG)
    text = "image, folder, quoted pattern, video, or several of these"
    parser.add_argument("images", nargs="+", metavar="IMAGES", help=text)
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help=f"{MODEL}, or a file or folder of detections; default: %(default)s"
    )
    text = "a further model or file of detections; may be given several times"
    parser.add_argument("--teacher", action="append", default=[], metavar="MODEL", help=text)
    parser.add_argument("--output", type=Path, required=True, metavar="DATASET", help="a new or empty folder")
    text = "data set with boxes of some of the images; may be given several times. "
    text += parameter_texts(label_images)["keep"].partition(". ")[2].rstrip(".")
    parser.add_argument("--keep", type=Path, action="append", default=[], metavar="DATASET", help=text)
    kinds: dict[str, OptionType] = {"threshold": score_thresholds, "ignore_threshold": score_thresholds}
    kinds |= {"select": positive, "classes": name_list, "fusion_iou": fraction, "annotations": Path}
    named = ("select", "classes", "threshold", "ignore_threshold", "annotations")
    add_options(parser, label_images, named, types=kinds)
    texts = parameter_texts(label_images)
    parser.add_argument("--flip", action="store_true", help=texts["flip"].rstrip("."))
    for name, kind, metavar in (("sizes", size, "SIZE"), ("weights", float, "X")):
        help = texts[name].rstrip(".")
        parser.add_argument(f"--{name}", type=kind, nargs="+", metavar=metavar, default=argparse.SUPPRESS, help=help)
    add_options(parser, label_images, ("fusion_iou",), types=kinds)
    parser.add_argument("--to", choices=get_args(Target), default="coco", help="format; default: %(default)s")
    parser.add_argument(
        "--image-files", choices=get_args(ImageFiles), default="link",
        help=f"{texts['image_files'].rstrip('.')}; default: %(default)s",
    )  # fmt: skip
    add_options(parser, label_images, ("split",))
    parser.add_argument("--recursive", action="store_true", help="of a folder, the images in its subfolders too")
    text = "look at one frame of so many; default: %(default)s"
    parser.add_argument("--every", type=positive, default=1, metavar="N", help=text)
    parser.add_argument(
        "--tile", type=tile_side, nargs="?", const=True, metavar="SIDE", default=argparse.SUPPRESS,
        help=parameter_texts(Detector)["tile"],
    )  # fmt: skip
    types: dict[str, OptionType] = {name: positive for name in ("num_detections", "batch_size", "threads")}
    add_options(parser, Detector, DETECTOR, types=types | {"tile_overlap": fraction})
    add_max_pixels(parser)
    add_trust(parser)
    return parser
