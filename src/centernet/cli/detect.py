"""`centernet detect SOURCE`: objects in pictures, a folder or a video.

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
    from centernet.inference import Frame, Writer

FORMATS = ("pictures", "json", "csv")
EPILOG = """examples:
  centernet detect photo.jpg
  centernet detect photos --model best.ckpt --output found --score-threshold 0.5 --format pictures,json,csv
  centernet detect "shots/**/*.png" --model best.ckpt
  centernet detect clip.mp4 --model best.ckpt --format csv

json: one file in COCO's form (images, categories from 1, annotations with a score; boxes x y w h).
csv: one row an object, with the corners x1 y1 x2 y2. Both are in pixels of the pictures themselves."""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Returns:
        0, or 1 where a picture could not be read; the others are written all the same.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    source: str | list[str] = given.source[0] if len(given.source) == 1 else given.source

    from centernet.inference import CocoWriter, CsvWriter, Detector, PictureWriter
    from centernet.inference.sources import count

    total = count(source)  # before the model is read: a wrong path is told at once
    detector = Detector(
        given.model,
        score_threshold=given.score_threshold,
        num_detections=given.num_detections,
        batch_size=given.batch_size,
        device=given.device,
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
    frames_done = 0

    def left_out(error: ImageError) -> None:
        unreadable.append(error)
        print(f"left out: {error}", file=sys.stderr)

    try:
        with ExitStack() as stack:
            for frame, detections in detector.stream(source, on_error=None if total == 1 else left_out):
                for writer in chosen:
                    if not frames_done:  # nothing is made, or written over, before there is something to write
                        stack.enter_context(writer)
                    writer.write(frame, detections)
                frames_done += 1
                found.update(detections.names)
                _progress(frame, frames_done, total)
                if total == 1:
                    for name, score, box in zip(detections.names, detections.scores, detections.bboxes, strict=True):
                        print(f"{name} {score:.2f}  at {' '.join(f'{v:.0f}' for v in box)}")
    finally:  # also after an error or Ctrl-C: what was done is whole
        objects = f"{found.total()} {'object' if found.total() == 1 else 'objects'}"
        classes = ", ".join(f"{number} {name}" for name, number in found.most_common(10))
        print(
            f"{objects} in {frames_done} {'picture' if frames_done == 1 else 'pictures'}" + f": {classes}" * bool(found)
        )
        if unreadable:
            print(f"{len(unreadable)} left out because they could not be read; the reasons are above")
        if frames_done:
            print("wrote " + ", ".join(writer.summary() for writer in chosen))
    return 1 if unreadable else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="centernet detect",
        description="Find objects in pictures, a folder (by name, without subfolders), a pattern or a video.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "source", nargs="+", metavar="SOURCE", help="picture, folder, quoted pattern, video, or several files"
    )
    parser.add_argument(
        "--model",
        default="voc-lite",
        help="checkpoint (.ckpt) that `centernet fit` wrote, a folder, or a model of the package; default: %(default)s",
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
        "--num-detections", type=_positive, default=100, metavar="K", help="at most, a picture; default: %(default)s"
    )
    parser.add_argument(
        "--batch-size", type=_positive, default=8, metavar="N", help="pictures at a time; default: %(default)s"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, …; default: a GPU where there is one")
    return parser


def _formats(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"{unknown[0] if unknown else text!r} is none of {', '.join(FORMATS)}")
    return list(dict.fromkeys(names))


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


def _progress(frame: Frame, done: int, total: int | None) -> None:
    """A line that counts, where a person looks on."""
    if sys.stderr.isatty() and total != 1:
        end = "\n" if done == total else "\r"
        print(f"\x1b[K{done}/{'?' if total is None else total}  {frame.name}", end=end, file=sys.stderr, flush=True)
