"""`centernet detect SOURCE`: objects in images, a folder, a video or the images of a camera.

centernet detect photos --model best.ckpt --output found
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from centernet.annotations.image_names import CocoIds
from centernet.cli.arguments import command_parser, given_options
from centernet.cli.output import Output, add_detector_options, add_output_options, source_argument
from centernet.detections import Detections
from centernet.inference import CocoResultsWriter, CocoWriter, CsvWriter, Detector, ImageWriter, Writer, open_source
from centernet.inference.writers import counted

FORMATS = ("images", "json", "csv")
DESCRIPTION = (
    "Find objects in images, a folder (by name, without subfolders), a pattern, a video, or what a camera or a stream "
    "shows."
)
EPILOG = """examples:
  centernet detect photo.jpg
  centernet detect photos --model best.ckpt --output found --score-threshold 0.5 --format images,json,csv
  centernet detect "shots/**/*.png" --model best.ckpt
  centernet detect clip.mp4 --model best.onnx --format csv --classes person,car
  centernet detect 0 --model best.onnx --format csv              the first camera, until Ctrl-C
  centernet detect aerial.tif --model best.onnx --tile           small objects of a big image
  centernet detect val2017 --model best.ckpt --format json --annotations instances_val2017.json --score-threshold 0

json: one file in COCO's form (images, categories from 1, annotations with a score; boxes x y w h). With --annotations
COCO's list of results, with the ids of images and categories in that file, for pycocotools or `centernet evaluate`.
csv: one row an object, with the corners x1 y1 x2 y2. Both are in pixels of the images themselves, and have what further
heads add (values, points, boxes), but for vectors such as embeddings."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; 1 where an image could not be read: the others are written all the same."""
    given = _parser().parse_args(arguments)
    names: list[str] = given.source
    source = open_source(source_argument(names[0]) if len(names) == 1 else names)
    total = source.length  # before the model is read: a wrong path is told at once
    detector = Detector(**given_options(given, Detector))
    folder: Path = given.output
    path, results = folder / "detections.json", None
    if given.annotations is not None:
        results = CocoResultsWriter(path, CocoIds.read(given.annotations), detector.class_names)
        if not source.is_moving:  # before anything is written
            results.check([str(item) for item in source.items if isinstance(item, (str, PathLike))])
    writers: dict[str, Writer] = {
        "images": ImageWriter(folder / "images"),
        "json": results or CocoWriter(path, detector.class_names),
        "csv": CsvWriter(folder / "detections.csv", detector.columns),
    }
    output = Output(total, "image", live=source.live)
    found: Counter[str] = Counter()

    def see(detections: Detections) -> None:
        found.update(detections.names)
        for one in detections if total == 1 else ():
            print(f"{one.name} {one.score:.2f}  at {' '.join(f'{v:.0f}' for v in one.bbox)}")

    def headline(images: str) -> str:
        classes = ", ".join(f"{number} {name}" for name, number in found.most_common(10))
        return f"{counted(found.total(), 'object')} in {images}" + f": {classes}" * bool(found)

    frames = detector.stream(source, on_error=None if total == 1 else output.left_out)
    code = output.write(frames, [writers[name] for name in given.format], see, headline)
    if results is not None and results.left_out:
        classes = ", ".join(f"{name} {number}" for name, number in results.left_out.most_common(10))
        print(f"left out of {path}, as {given.annotations} does not have their classes: {classes}")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("detect", DESCRIPTION, EPILOG)
    text = "image, folder, quoted pattern, video, several files, a camera's number, or the address of a stream"
    parser.add_argument("source", nargs="+", metavar="SOURCE", help=text)
    add_output_options(parser, "detections", FORMATS, "images,json", "%(default)s")
    parser.add_argument(
        "--annotations", type=Path, metavar="FILE",
        help="COCO's file of annotations of these images: json is a list of results with its ids",
    )  # fmt: skip
    add_detector_options(parser, "score_threshold")
    return parser
