"""Shared by `detect` and `track`: options of the detector and formats, and the way of frames to the writers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from centernet.cli.arguments import (
    OptionType,
    add_options,
    choice_list,
    fraction,
    parameter_texts,
    positive,
    score_thresholds,
)
from centernet.cli.progress import Progress, say
from centernet.detections import Detections
from centernet.images import ImageError
from centernet.inference import Detector, Frame, SourceError, Writer
from centernet.inference.guard import Inputs
from centernet.inference.sources import Source
from centernet.inference.writers import counted

MODEL = (
    "checkpoint (.ckpt) that `centernet fit` wrote, a file of `centernet export` (.onnx, .xml, .pt2, .pt), a folder, "
    "or a model of the package; default: %(default)s"
)


def add_detector_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the options of `centernet.Detector` that have these names, and its region and tiles."""
    types: dict[str, OptionType] = {"score_threshold": score_thresholds, "tile_overlap": fraction}
    types |= {name: positive for name in ("num_detections", "batch_size", "threads")}
    texts = parameter_texts(Detector)
    add_options(parser, Detector, [*names, "num_detections", "batch_size", "classes"], types=types)
    for name, settings in (
        ("region", {"type": int, "nargs": 4, "metavar": ("X1", "Y1", "X2", "Y2")}),
        ("tile", {"type": _side, "nargs": "?", "const": True, "metavar": "SIDE"}),
    ):
        parser.add_argument(f"--{name}", help=texts[name], default=argparse.SUPPRESS, **settings)  # type: ignore[arg-type]
    add_options(parser, Detector, ["tile_overlap", "max_memory", "device", "threads"], types=types)


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


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add --every and --recursive."""
    text = "look at one frame of so many; numbers and times of frames stay the source's; default: %(default)s"
    parser.add_argument("--every", type=positive, default=1, metavar="N", help=text)
    text = "of a folder, the images in its subfolders too"
    parser.add_argument("--recursive", action="store_true", help=text)


def source_argument(text: str) -> str | int:
    """Return the number of a camera where the text is one and no file has that name, else the text."""
    return int(text) if text.isdecimal() and not Path(text).exists() else text


class Part(NamedTuple):
    """What comes of one source: its frames with their objects, writers that go on in other parts, and its own."""

    name: str
    results: Iterable[tuple[Frame, Detections]]
    shared: Sequence[Writer]
    own: Sequence[Writer]


class Output:
    """Hands frames to writers, shows how far a run is, and says at its end, whatever it is, what was written.

    Args:
        sources: by name.
        unit: noun for a frame.
        inputs: further files that are read, which no output may take the place of.
    """

    def __init__(
        self,
        sources: Collection[Source],
        unit: str,
        total: int | None = None,
        *,
        inputs: Iterable[Path | str | None] = (),
    ) -> None:
        self.inputs = Inputs(chain(inputs, *(source.files for source in sources)))
        self.notes = list(dict.fromkeys(note for source in sources for note in source.left_out))
        lengths = [source.length for source in sources]
        self.total = total if total is not None or None in lengths else sum(filter(None, lengths))
        self.unit, self.several = unit, len(sources) > 1
        self.live = any(source.live for source in sources)
        self.progress = Progress(self.total, unit=f"{unit}s")
        self.problems: list[ValueError] = []
        self.written: list[Writer] = []
        self.frames = self.came = 0

    def left_out(self, error: ValueError) -> None:
        """Tell of an image, or the rest of a video, that cannot be read."""
        self.problems.append(error)
        say(f"left out: {error}")
        self.progress.advance(int(isinstance(error, ImageError)))

    def write(
        self,
        parts: Iterable[Part],
        see: Callable[[str, Detections], None],
        headline: Callable[[str], str],
    ) -> int:
        """Hand all frames to the writers, and their detections to `see`; return the exit code of the command.

        What is said at the end begins with what `headline` makes of the number of frames, such as "3 images". A video
        of several that breaks off does not end the run.
        """
        whole = False
        try:
            with ExitStack() as stack:
                for part in parts:
                    with ExitStack() as own:
                        writers = [(writer, stack) for writer in part.shared] + [(writer, own) for writer in part.own]
                        self._write(part, writers, see)
            whole = True
        except KeyboardInterrupt:  # how one stops a camera
            if not self.live:
                raise
        finally:  # also after an error or Ctrl-C: what was done is whole
            self.progress.close(whole=whole)
            print(headline(counted(self.frames, self.unit)))
            if self.live and self.came > self.frames:
                print(f"{counted(self.came, 'image')} came: the newest was taken each time, to stay live")
            if self.problems:
                print(f"{len(self.problems)} left out because they could not be read; the reasons are above")
            if self.notes:
                print("\n".join(self.notes))
            if self.written:
                print("wrote " + ", ".join(writer.summary() for writer in self.written))
        return 1 if self.problems else 0

    def _write(
        self, part: Part, writers: Sequence[tuple[Writer, ExitStack]], see: Callable[[str, Detections], None]
    ) -> None:
        before = self.came
        try:
            for writer, _ in writers:
                writer.protect(self.inputs)
            for frame, detections in part.results:
                self.came = before + frame.index + 1
                for writer, stack in writers:
                    if writer not in self.written:  # nothing is made before there is something to write
                        stack.enter_context(writer)
                        self.written.append(writer)
                    writer.write(frame, detections)
                self.frames += 1
                self.progress.advance()
                see(part.name, detections)
        except SourceError as error:
            if not self.several:
                raise
            self.left_out(error)


def _side(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels; put a bare --tile behind the source")
    return int(text)
