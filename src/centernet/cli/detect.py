"""`centernet detect SOURCE`: objects in pictures, a folder, a video or a camera's pictures.

centernet detect photos --model best.ckpt --output found
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from centernet.images import ImageError
    from centernet.inference import Writer

FORMATS = ("pictures", "json", "csv")
EPILOG = """examples:
  centernet detect photo.jpg
  centernet detect photos --model best.ckpt --output found --score-threshold 0.5 --format pictures,json,csv
  centernet detect "shots/**/*.png" --model best.ckpt
  centernet detect clip.mp4 --model best.onnx --format csv --classes person,car
  centernet detect 0 --model best.onnx --format csv              the first camera, until Ctrl-C
  centernet detect aerial.tif --model best.onnx --tile           small objects of a big picture

json: one file in COCO's form (images, categories from 1, annotations with a score; boxes x y w h).
csv: one row an object, with the corners x1 y1 x2 y2. Both are in pixels of the pictures themselves."""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        0, or 1 where a picture could not be read; the others are written all the same.
    """
    from centernet.cli.progress import Progress

    parser = _parser()
    given = parser.parse_args(arguments)
    source: int | str | list[str] = given.source
    if len(given.source) == 1:
        text = given.source[0]
        source = int(text) if text.isdecimal() and not Path(text).exists() else text

    from centernet.inference import CocoWriter, CsvWriter, Detector, PictureWriter
    from centernet.inference.sources import count, is_live

    total = count(source)  # before the model is read: a wrong path is told at once
    detector = Detector(
        given.model,
        score_threshold=given.score_threshold,
        num_detections=given.num_detections,
        batch_size=given.batch_size,
        device=given.device,
        threads=given.threads,
        classes=given.classes,
        region=given.region,
        tile=given.tile,
        tile_overlap=given.tile_overlap,
    )
    output: Path = given.output
    writers: dict[str, Writer] = {
        "pictures": PictureWriter(output / "pictures"),
        "json": CocoWriter(output / "detections.json", detector.class_names),
        "csv": CsvWriter(output / "detections.csv"),
    }
    chosen = [writers[name] for name in given.format]
    unreadable: list[ImageError] = []
    found: Counter[str] = Counter()
    progress = Progress(total, unit="pictures")

    def left_out(error: ImageError) -> None:
        unreadable.append(error)
        print(f"left out: {error}", file=sys.stderr)

    try:
        with ExitStack() as stack:
            found_in = detector.stream(
                source, on_error=None if total == 1 else left_out, pictures="pictures" in given.format
            )
            for frame, detections in found_in:
                for writer in chosen:
                    if not progress.done:  # nothing is made, or written over, before there is something to write
                        stack.enter_context(writer)
                    writer.write(frame, detections)
                progress.advance()
                found.update(detections.names)
                if total == 1:
                    for name, score, box in zip(detections.names, detections.scores, detections.bboxes, strict=True):
                        print(f"{name} {score:.2f}  at {' '.join(f'{v:.0f}' for v in box)}")
    except KeyboardInterrupt:
        if not is_live(source):
            raise
    finally:  # also after an error or Ctrl-C: what was done is whole
        progress.close()
        objects = f"{found.total()} {'object' if found.total() == 1 else 'objects'}"
        classes = ", ".join(f"{number} {name}" for name, number in found.most_common(10))
        pictures = f"{progress.done} {'picture' if progress.done == 1 else 'pictures'}"
        print(f"{objects} in {pictures}" + f": {classes}" * bool(found))
        if unreadable:
            print(f"{len(unreadable)} left out because they could not be read; the reasons are above")
        if progress.done:
            print("wrote " + ", ".join(writer.summary() for writer in chosen))
    return 1 if unreadable else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="centernet detect",
        description="Find objects in pictures, a folder (by name, without subfolders), a pattern, a video, or what a "
        "camera or a stream shows.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SOURCE",
        help="picture, folder, quoted pattern, video, several files, a camera's number, or the address of a stream",
    )
    parser.add_argument(
        "--model",
        default="voc-lite",
        help="checkpoint (.ckpt) that `centernet fit` wrote, a file of `centernet export` (.onnx, .xml, .pt2, .pt), "
        "a folder, or a model of the package; default: %(default)s",
    )
    parser.add_argument("--output", type=Path, default=Path("detections"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--format", type=_formats, default="pictures,json", metavar="LIST",
        help=f"some of {','.join(FORMATS)}, with commas between; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--score-threshold", type=_fraction, default=0.3, metavar="SCORE", help="0..1; default: %(default)s"
    )
    parser.add_argument(
        "--num-detections",
        type=_positive,
        metavar="K",
        help="at most, a picture; default: 100, or what the model file gives",
    )
    parser.add_argument(
        "--batch-size", type=_positive, default=8, metavar="N", help="pictures at a time; default: %(default)s"
    )
    parser.add_argument(
        "--classes", type=_names, metavar="LIST", help="names of the classes to keep, with commas between"
    )
    parser.add_argument(
        "--region", type=int, nargs=4, metavar=("X1", "Y1", "X2", "Y2"),
        help="look at this part of the pictures only, in their pixels",
    )  # fmt: skip
    parser.add_argument(
        "--tile", type=_side, nargs="?", const=True, default=False, metavar="SIDE",
        help="look at overlapping tiles of the picture, and at the whole: for small objects in big pictures; the side "
        "in pixels, by default that of the network's input",
    )  # fmt: skip
    parser.add_argument(
        "--tile-overlap", type=_fraction, default=0.25, metavar="PART",
        help="neighbouring tiles share at least this part of their sides; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--device", help="cpu, cuda, cuda:1, …; default: a GPU where there is one, for torch's files")
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="of the network; default: OMP_NUM_THREADS, or all"
    )
    return parser


def _formats(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{unknown[0] if unknown else text!r} is none of {', '.join(FORMATS)}")
    return list(dict.fromkeys(names))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _side(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels; put a bare --tile behind the source")
    return int(text)


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not within 0..1")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value
