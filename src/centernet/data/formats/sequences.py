"""Shared by the readers of videos: frames by number, and identities that no two videos share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...annotations.mot import SequenceInfo
from ...annotations.problems import Reports
from ...annotations.rows import BoxRows
from ...annotations.text import text_lines
from ...images import IMAGE_SUFFIXES
from ..columns import Columns
from ..dataset import VideoSequence
from ..sample import Bools, Ints
from .layout import Folder, ImageList

_NUMBER = re.compile(r"([0-9]+)")
_CVAT_NAME = re.compile(r"frame_([0-9]+)")


class SequenceReader:
    """Puts the frames and boxes of sequences together; the hint says what to do where a sequence has no images."""

    def __init__(self, root: Path, report: Reports, *, hint: str = "") -> None:
        self.images = ImageList(root, report)
        self._hint = hint
        self.sequences: list[VideoSequence] = []
        self._truths: list[Path] = []
        self._frames: list[int] = []  # of each image
        self._rows: list[BoxRows] = []

    def read(
        self,
        name: str,
        truth: Path,
        folder: str,
        parse: Callable[[Path, Reports], BoxRows],
        info: SequenceInfo,
        part: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """Read the boxes of a file, and from one share to another of a folder of images named by their frames."""
        report = self.images.report
        if not truth.is_file():
            report(truth, "missing-annotation", "there is no such file; the sequence is left out")
            return
        rows = parse(truth, report)
        path = self.images.folder.root / folder
        if info.by_cvat:
            frames = images_of_cvat(self.images.folder, folder, int(rows.images.max(initial=0)), report)
        else:
            frames = numbered_images(self.images.folder, folder, report)
        if not frames:
            text = f"no images named by their frames; the sequence is left out{self._hint}"
            report(path, "missing-image", text)
            return
        if not len(rows) and not any(line.strip() for line in text_lines(truth)):
            text = "the file is empty: all frames count as ones without objects"
            report(truth, "empty-annotation", text)
        without = rows.images[~np.isin(rows.images, list(frames))].tolist()
        if without:
            text = f"the frames {spans(set(without))} have no image in {folder}"
            report(truth, "missing-image", f"{text}; their {len(without)} boxes are left out")
        inside = [frame for frame in frames if info.length is None or frame <= info.length]
        if len(inside) < len(frames):
            beyond = spans(list(frames)[len(inside) :])
            text = f"the frames {beyond} are beyond the seqLength {info.length} of seqinfo.ini; they are left out"
            report(path, "missing-annotation", text)
        start, index_of = len(self.images), {}
        for frame in inside[math.floor(part[0] * len(inside)) : math.floor(part[1] * len(inside))]:
            index = self.images.add(f"{folder}/{frames[frame]}".lstrip("/"), info.size_hw)
            if index >= 0:
                index_of[frame] = index
                self._frames.append(frame)
        indices = np.array([index_of.get(frame, -1) for frame in rows.images.tolist()], dtype=np.int64)
        if len(self.images) > start:
            self._rows.append(replace(rows, images=indices))
            self._truths.append(truth)
            self.sequences.append(VideoSequence(name, start, len(self.images), info.frame_rate))

    def columns(self, *, amodal: bool = False) -> Columns:
        """Return all sequences, with identities that run from 0 on, without gaps, over all of them."""
        rows = BoxRows.joined(self._rows)
        starts = np.array([sequence.start for sequence in self.sequences])

        def where(row: int) -> tuple[Path, str]:
            image = int(rows.images[row])
            truth = self._truths[int(np.searchsorted(starts, image, side="right")) - 1]
            return truth, f"line {rows.places[row]} (frame {self._frames[image]}, identity {rows.ids[row]})"

        columns = self.images.columns(rows, where, amodal=amodal)
        sequences = np.searchsorted(starts, columns.samples(), side="right")
        return replace(columns, ids=numbered(sequences, columns.ids, columns.ignore))


def numbered(sequences: Ints, tracks: Ints, ignore: Bools) -> Ints:
    """Number the tracks of all sequences from 0 in the order in which they come first; -1 for those of ignored boxes
    alone: a classifier over identities then has no class without an example."""
    named = np.flatnonzero(tracks >= 0)
    pairs = np.stack([sequences[named], tracks[named]], axis=1)
    _, first, track = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    trained = np.zeros(len(first), dtype=np.bool_)
    trained[track.reshape(-1)[~ignore[named]]] = True
    order = np.argsort(first)
    numbers = np.full(len(first), -1, dtype=np.int64)
    numbers[order[trained[order]]] = np.arange(np.count_nonzero(trained))
    ids = np.full(len(tracks), -1, dtype=np.int64)
    ids[named] = numbers[track.reshape(-1)]
    return ids


def numbered_images(
    folder: Folder, subfolder: str, report: Reports, *, name: re.Pattern[str] = _NUMBER, first: int = 0
) -> dict[int, str]:
    """Return the names of the images by the numbers in them, less the `first`, in their order; others are reported.

    A `name` is a pattern of the whole stem, with the number as its group.
    """
    images: dict[int, str] = {}
    for image in _image_names(folder, subfolder):
        path, match = folder.root / subfolder / image, name.fullmatch(Path(image).stem)
        if match is None:
            text = "the name of the image is not the number of a frame; it is left out"
            report(path, "missing-annotation", text)
        elif (frame := int(match[1]) - first) in images:
            report(path, "duplicate", f"another image of frame {frame}, besides {images[frame]}; it is left out")
        else:
            images[frame] = image
    return dict(sorted(images.items()))


def images_of_cvat(folder: Folder, subfolder: str, last: int, report: Reports) -> dict[int, str]:
    """Return the images by the frames that CVAT gives them, which are numbers that are names, else their places.

    Its own names, ``frame_000000`` for frame 1, tell which are missing. With a constant step above 1 (it was told to
    take each tenth frame, say) they are places too, unless the truth goes on to a frame beyond these. The report says
    what was taken.
    """
    names = _image_names(folder, subfolder)
    if not names or any(_NUMBER.fullmatch(Path(name).stem) for name in names):
        return numbered_images(folder, subfolder, report)
    own = [int(match[1]) for match in (_CVAT_NAME.fullmatch(Path(name).stem) for name in names) if match]
    steps = {after - before for before, after in pairwise(own)}
    if own and not (len(own) == len(names) >= last and len(steps) == 1 and min(steps) > 1):
        report.note(folder.root / subfolder, "assumed", "the images have CVAT's names: frame 1 is frame_000000")
        return numbered_images(folder, subfolder, report, name=_CVAT_NAME, first=-1)
    text = f"the images have no numbers of frames as names: frame 1 is the first in the order of the names, {names[0]}"
    report.note(folder.root / subfolder, "assumed", text)
    return dict(enumerate(names, start=1))


def _image_names(folder: Folder, subfolder: str) -> list[str]:
    names = sorted(set(folder.listing(subfolder).values()))
    return [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")]


def spans(numbers: Collection[int], *, most: int = 4) -> str:
    """Return whole numbers as text, in the manner of ``0-9, 11, 13-20``; the first `most` spans of them."""
    values = np.sort(list(numbers))
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs[:most]]
    return ", ".join([*texts, "..."] if len(runs) > most else texts)
