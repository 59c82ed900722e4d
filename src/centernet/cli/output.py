"""Shared by `detect` and `track`: options of the detector and formats, and the way of frames to the writers."""

from __future__ import annotations

import argparse
import errno
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple, get_args

import cv2

from centernet.claim import claimed, new_folder
from centernet.cli.arguments import (
    OptionType,
    add_max_pixels,
    add_options,
    add_trust,
    choice_list,
    fraction,
    number_list,
    parameter_texts,
    positive,
    score_thresholds,
)
from centernet.cli.journal import NAME, Finished, Journal
from centernet.cli.log import tell
from centernet.cli.progress import Progress, say
from centernet.cli.show import WindowClosed, WindowWriter
from centernet.detections import Detections
from centernet.drawing import Label, draw
from centernet.ending import Ended, held
from centernet.fonts import open_font
from centernet.images import ImageError
from centernet.inference import Detector, Frame, SourceError, Writer
from centernet.inference.guard import Inputs
from centernet.inference.sources import Source
from centernet.inference.writers import counted
from centernet.packaged import choose_model
from centernet.text import shown

MODEL = (
    "checkpoint (.ckpt) that `centernet fit` wrote, a file of `centernet export` (.onnx, .xml, .pt2, .pt), a folder, "
    "or a model of the package"
)
DRAWING = ("labels", "line_width", "font")
RESULTS = (
    *("detections", "tracks", "results", "images", "crops", "labels", "labels_with_scores", "Annotations", "kitti"),
    *("birds_eye", "cvat", "cvat_labels", "label_studio", "labelme"),
)
"""Names, without suffixes, of files and folders that `detect` and `track` write."""
BY_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR)
"""Errors of the system that lie in the name of one file; others, such as a full disk, end a run."""


def add_detector_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add the options of `centernet.Detector` that have these names, and its region and tiles."""
    types: dict[str, OptionType] = {
        "score_threshold": score_thresholds,
        "tile_overlap": fraction,
        "scales": number_list,
    }
    types |= {name: positive for name in ("num_detections", "batch_size", "threads")}
    texts = parameter_texts(Detector)
    add_options(parser, Detector, [*names, "num_detections", "batch_size", "classes"], types=types)
    for name, settings in (
        ("region", {"type": int, "nargs": 4, "metavar": ("X1", "Y1", "X2", "Y2")}),
        ("tile", {"type": tile_side, "nargs": "?", "const": True, "metavar": "SIDE"}),
    ):
        parser.add_argument(f"--{name}", help=texts[name], default=argparse.SUPPRESS, **settings)  # type: ignore[arg-type]
    add_options(parser, Detector, ["tile_overlap", "max_memory", "device", "threads"], types=types)
    add_trust(parser)


def add_output_options(
    parser: argparse.ArgumentParser, folder: str, formats: Sequence[str], default: str | None, shown: str
) -> None:
    """Add --model, --output, --format, which also takes the former name of images, --no-audio, and of drawings."""
    known = choice_list(formats)
    parser.add_argument("--model", help=f"{MODEL}; default: the one for the task (`centernet models`)")
    text = f"folder of the results; default: {folder}, or {folder}2, … where that is there already"
    parser.add_argument("--output", type=Path, metavar="DIR", help=text)
    parser.add_argument(
        "--format", metavar="LIST", default=default,
        type=lambda text: known(",".join("images" if name == "pictures" else name for name in text.split(","))),
        help=f"some of {','.join(formats)}, with commas between; default: {shown}",
    )  # fmt: skip
    text = "video: leave out the sound of the source, which is kept otherwise (with PyAV)"
    parser.add_argument("--no-audio", dest="audio", action="store_false", help=text)
    texts = parameter_texts(draw)
    kinds: dict[str, tuple[OptionType, str]] = {
        "labels": (choice_list(get_args(Label)), "LIST"),
        "line_width": (positive, "N"),
        "font": (_font, "FILE"),
    }
    for name, (kind, metavar) in kinds.items():
        option, help = f"--{name.replace('_', '-')}", texts[name].replace("%", "%%")
        parser.add_argument(option, type=kind, metavar=metavar, default=argparse.SUPPRESS, help=help)


def use_model(given: argparse.Namespace, task: str) -> None:
    """Take, where no --model is given, that of the package for the task and the classes asked for, and say so."""
    if given.model is None:
        given.model, why = choose_model(task, getattr(given, "classes", None) or ())
        say(f"model: {given.model} ({why}); --model takes another")


def drawing_options(given: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `centernet.drawing.draw` that were given."""
    return {name: getattr(given, name) for name in DRAWING if hasattr(given, name)}


@contextmanager
def output_folder(
    given: Path | None, name: str, sources: Collection[str], *, resume: bool, record: str = NAME
) -> Iterator[Path]:
    """Give the folder for the results of a run, which no other run writes to meanwhile: the one given, after a word on
    those of earlier runs that are there, else the first of NAME, NAME2, … that is not there.

    Args:
        given: the value of --output.
        name: of the folder where none is given.
        sources: their names, which files have where there are several.
        resume: take the last of NAME, NAME2, … where a run was stopped, if there is one.
        record: name of the file by which such a run is known.

    Raises:
        ValueError: another run writes to it.
    """
    if given is None:
        numbered = (f"{name}{number}" for number in count(2))
        stopped = [path.parent for path in Path().glob(f"{name}*/{record}")] if resume else []
        folder = max(stopped, key=lambda path: (len(path.name), path.name), default=None)
        folder = folder or new_folder(Path(), chain([name], numbered))
    else:
        folder = given
        if not resume:
            _tell_earlier(given, sources)
    try:
        with claimed(folder):
            yield folder
    finally:
        if given is None:
            with suppress(OSError):
                folder.rmdir()  # where nothing was written


def _tell_earlier(given: Path, sources: Collection[str]) -> None:
    """Say which results of an earlier run are in a folder."""
    known = {*RESULTS, *(sources if len(sources) > 1 else ())}
    earlier = sorted(path.name for path in given.iterdir() if path.stem in known) if given.is_dir() else []
    if earlier:
        text = f"{given} has results of an earlier run already ({', '.join(earlier)})"
        say(f"{text}: files of equal names are replaced, the others stay beside the new ones")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add --every, --recursive, --resume and --show."""
    text = "look at one frame of so many; numbers and times of frames stay the source's; default: %(default)s"
    parser.add_argument("--every", type=positive, default=1, metavar="N", help=text)
    text = "of a folder, the images in its subfolders too"
    parser.add_argument("--recursive", action="store_true", help=text)
    add_max_pixels(parser)
    text = "go on with a run of this command that was stopped: what it has finished in --output is skipped"
    parser.add_argument("--resume", action="store_true", help=text)
    text = "show what is found in a window while it runs; Escape, q or closing it ends the run"
    parser.add_argument("--show", action="store_true", help=text)


def source_argument(text: str) -> str | int:
    """Return the number of a camera where the text is one and no file has that name, else the text."""
    return int(text) if text.isdecimal() and not Path(text).exists() else text


class Part(NamedTuple):
    """Frames of one source with their objects, the writers that go on in other parts, and its own.

    `recorded` says that frames are kept in the journal, too.
    """

    name: str
    results: Iterable[tuple[Frame, Detections]]
    shared: Sequence[Writer]
    own: Sequence[Writer]
    recorded: bool = False


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
        self.unwritten: set[str] = set()  # frames
        self.begun: list[Writer] = []
        self.whole: list[Writer] = []  # their files are on the disk
        self.kept: list[str] = []  # files of an earlier run, which this one goes on with
        self.unfinished: list[str] = []
        self.frames = self.came = 0
        self.journal: Journal | None = None

    def left_out(self, error: ValueError) -> None:
        """Tell of an image, or the rest of a video, that cannot be read."""
        self.problems.append(error)
        say(f"left out: {shown(error)}")
        self.progress.advance(int(isinstance(error, ImageError)))

    def write(
        self,
        parts: Iterable[Part],
        see: Callable[[str, Detections], None],
        headline: Callable[[str], str],
        journal: Journal | None = None,
    ) -> int:
        """Hand all frames to the writers, and their detections to `see`; return the exit code of the command.

        What is said at the end begins with what `headline` makes of the number of frames, such as "3 images". A video
        of several that breaks off does not end the run.
        """
        self.progress.begin()
        self.journal = None if self.live else journal
        whole, wrote = False, "wrote"
        try:
            with ExitStack() as stack:
                for part in parts:
                    if self._is_finished(part):
                        continue
                    before = self.frames, len(self.problems), len(self.unwritten)
                    seen = Finished()
                    with ExitStack() as own:
                        writers = [(writer, stack) for writer in part.shared] + [(writer, own) for writer in part.own]
                        self._write(part, writers, see, seen)
                    if self.journal is not None and self.several and before[2] == len(self.unwritten):
                        seen.frames, seen.problems = self.frames - before[0], list(map(str, self.problems[before[1] :]))
                        seen.wrote = [writer.summary() for writer in part.own if writer in self.begun]
                        self.journal.finish(part.name, seen)
            whole = True
        except Ended as stop:
            raise Ended(self._way_on()) from stop
        except KeyboardInterrupt as stop:  # how one stops a camera
            if not self.live:
                raise KeyboardInterrupt(self._way_on()) from stop
        except WindowClosed:
            pass
        except OSError:  # a full disk
            wrote = "not whole, as writing failed:"
            raise
        finally:  # also after an error or Ctrl-C: what was done is whole
            self.progress.close(whole=whole)
            tell(headline(counted(self.frames, self.unit)))
            if self.live and self.came > self.frames:
                tell(f"{counted(self.came, 'image')} came: the newest was taken each time, to stay live")
            if self.problems:
                tell(f"{len(self.problems)} left out because they could not be read; the reasons are above")
            if self.unwritten:
                tell(f"{len(self.unwritten)} could not be written in every format; the reasons are above")
            if self.notes:
                tell("\n".join(self.notes))
            if written := [*self.kept, *(writer.summary() for writer in self.begun if writer in self.whole)]:
                tell(f"{wrote} " + ", ".join(written))
            if self.unfinished:
                tell("not written: " + "; ".join(self.unfinished))
            if self.journal is not None:
                self.journal.remove() if whole else self.journal.close()
        return 1 if self.problems or self.unwritten else 0

    def _way_on(self) -> str:
        """Return how a run that was stopped goes on."""
        if self.live:
            return ""
        done = f"what was finished is written ({counted(self.frames, self.unit)})"
        if self.journal is None or not self.journal.is_begun:
            return done
        return f"{done}; to go on, give the same command with --output {self.journal.path.parent} --resume"

    def _is_finished(self, part: Part) -> bool:
        """Return True for a source that an earlier run has finished, and whose own files alone it has."""
        if self.journal is None or part.recorded or (had := self.journal.finished.get(part.name)) is None:
            return False
        self.frames += had.frames
        self.came += had.frames
        self.problems += map(ValueError, had.problems)
        self.kept += had.wrote
        self.progress.advance(had.frames)
        return True

    def _leave(self, writer: Writer, *error: Any) -> None:
        """Finish a writer, with its files under their names; what could not be finished is told at the end."""
        with nullcontext() if isinstance(writer, WindowWriter) else held():  # a window waits for a key
            try:
                writer.__exit__(*error)
            except Exception as reason:
                self.unfinished.append(str(reason))
                if error[0] is None:
                    raise
            else:
                self.whole.append(writer)

    def _write(
        self,
        part: Part,
        writers: Sequence[tuple[Writer, ExitStack]],
        see: Callable[[str, Detections], None],
        seen: Finished,
    ) -> None:
        before = self.came
        ids, names = set[int](), set[str]()
        try:
            for writer, _ in writers:
                writer.protect(self.inputs)
            for frame, detections in part.results:
                self.came = before + frame.index + 1
                unwritten = len(self.unwritten)
                with held():  # a frame is in all files, or in none
                    for writer, stack in writers:
                        if writer not in self.begun:  # nothing is made before there is something to write
                            writer.__enter__()
                            stack.push(partial(self._leave, writer))
                            self.begun.append(writer)
                        try:
                            writer.write(frame, detections)
                        except (ValueError, OSError, MemoryError, cv2.error) as error:
                            self._not_written(frame, error)
                    self.frames += 1
                    whole = unwritten == len(self.unwritten) and not frame.is_done
                    if self.journal is not None and part.recorded and whole:
                        self.journal.add(part.name, frame, detections)
                self.progress.advance()
                see(part.name, detections)
                if detections.track_ids is not None:
                    ids.update(detections.track_ids.tolist())
                names.update(detections.names)
            seen.track_ids, seen.class_names = sorted(ids), sorted(names)
        except SourceError as error:
            if not self.several:
                raise
            self.left_out(error)

    def _not_written(self, frame: Frame, error: Exception) -> None:
        """Tell of a frame that alone cannot be written; raise the error where it ends the run."""
        if isinstance(error, OSError) and not isinstance(error, ValueError) and error.errno not in BY_NAME:
            text = f"{frame.location}: what was found cannot be written ({error}); free space, or give another --output"
            raise error if error.errno is None else OSError(text) from error
        self.unwritten.add(frame.location)
        say(f"not written: {shown(frame.location)}: {shown(error)}")


def tile_side(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pixels; put a bare --tile behind the source")
    return int(text)


def _font(text: str) -> str:
    try:
        open_font(text, 32)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text
