"""Shared by `detect` and `track`: options of the detector and formats, and the way of frames to the writers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from centernet.cli.arguments import OptionType, add_options, choice_list, fraction, parameter_texts, positive
from centernet.cli.progress import Progress
from centernet.detections import Detections
from centernet.images import ImageError
from centernet.inference import Detector, Frame, Writer
from centernet.inference.writers import counted

MODEL = (
    "checkpoint (.ckpt) that `centernet fit` wrote, a file of `centernet export` (.onnx, .xml, .pt2, .pt), a folder, "
    "or a model of the package; default: %(default)s"
)


def add_detector_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the options of `centernet.Detector` that have these names, and its region and tiles."""
    types: dict[str, OptionType] = {"score_threshold": fraction, "tile_overlap": fraction}
    types |= {name: positive for name in ("num_detections", "batch_size", "threads")}
    texts = parameter_texts(Detector)
    add_options(parser, Detector, [*names, "num_detections", "batch_size", "classes"], types=types)
    for name, settings in (
        ("region", {"type": int, "nargs": 4, "metavar": ("X1", "Y1", "X2", "Y2")}),
        ("tile", {"type": _side, "nargs": "?", "const": True, "metavar": "SIDE"}),
    ):
        parser.add_argument(f"--{name}", help=texts[name], default=argparse.SUPPRESS, **settings)  # type: ignore[arg-type]
    add_options(parser, Detector, ["tile_overlap", "device", "threads"], types=types)


def add_output_options(
    parser: argparse.ArgumentParser, folder: str, formats: Sequence[str], default: str | None, shown: str
) -> None:
    """Add --model, --output and --format, which also takes the former name of images."""
    known = choice_list(formats)
    parser.add_argument("--model", default="voc-lite", help=MODEL)
    parser.add_argument("--output", type=Path, default=Path(folder), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--format", metavar="LIST", default=default,
        type=lambda text: known(",".join("images" if name == "pictures" else name for name in text.split(","))),
        help=f"some of {','.join(formats)}, with commas between; default: {shown}",
    )  # fmt: skip


def source_argument(text: str) -> str | int:
    """Return the number of a camera where the text is one and no file has that name, else the text."""
    return int(text) if text.isdecimal() and not Path(text).exists() else text


class Output:
    """Hands frames to writers, shows how far a run is, and says at its end, whatever it is, what was written.

    Args:
        total: number of frames, where it is known.
        unit: noun for a frame.
        live: Ctrl-C is the way to end it.
    """

    def __init__(self, total: int | None, unit: str, *, live: bool = False) -> None:
        self.total, self.unit, self.live = total, unit, live
        self.unreadable: list[ImageError] = []

    def left_out(self, error: ImageError) -> None:
        """Tell of an image that cannot be read."""
        self.unreadable.append(error)
        print(f"left out: {error}", file=sys.stderr)

    def write(
        self,
        results: Iterable[tuple[Frame, Detections]],
        writers: Sequence[Writer],
        see: Callable[[Detections], None],
        headline: Callable[[str], str],
    ) -> int:
        """Hand all frames to the writers, and their detections to `see`; return the exit code of the command.

        What is said at the end begins with what `headline` makes of the number of frames, such as "3 images".
        """
        progress = Progress(self.total, unit=f"{self.unit}s")
        try:
            with ExitStack() as stack:
                for frame, detections in results:
                    for writer in writers:
                        if not progress.done:  # nothing is made, or written over, before there is something to write
                            stack.enter_context(writer)
                        writer.write(frame, detections)
                    progress.advance()
                    see(detections)
        except KeyboardInterrupt:  # how one stops a camera
            if not self.live:
                raise
        finally:  # also after an error or Ctrl-C: what was done is whole
            progress.close()
            print(headline(counted(progress.done, self.unit)))
            if self.unreadable:
                print(f"{len(self.unreadable)} left out because they could not be read; the reasons are above")
            if progress.done:
                print("wrote " + ", ".join(writer.summary() for writer in writers))
        return 1 if self.unreadable else 0


def _side(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels; put a bare --tile behind the source")
    return int(text)
