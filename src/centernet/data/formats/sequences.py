"""Shared by the readers of videos: frames by number, and identities that no two videos share."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath

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


class SequenceReader:
    """Puts the frames and boxes of sequences together."""

    def __init__(self, root: Path, report: Reports) -> None:
        self.images = ImageList(root, report)
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
        frames = numbered_images(self.images.folder, folder, report)
        if not frames:
            report(path, "missing-image", "no images named by their frames; the sequence is left out")
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
            index = self.images.add(f"{folder}/{frames[frame]}", info.size_hw)
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


def numbered_images(folder: Folder, subfolder: str, report: Reports) -> dict[int, str]:
    """Return the names of the images named by their frames, in the order of the frames; others are reported."""
    images: dict[int, str] = {}
    for name in sorted(set(folder.listing(subfolder).values())):
        path = PurePosixPath(name)
        if path.suffix.lower() not in IMAGE_SUFFIXES or name.startswith("."):
            continue
        if not (path.stem.isascii() and path.stem.isdecimal()):
            text = "the name of the image is not the number of a frame; it is left out"
            report(folder.root / subfolder / name, "missing-annotation", text)
        elif int(path.stem) in images:
            text = f"another image of frame {int(path.stem)}, besides {images[int(path.stem)]}; it is left out"
            report(folder.root / subfolder / name, "duplicate", text)
        else:
            images[int(path.stem)] = name
    return dict(sorted(images.items()))


def spans(numbers: Collection[int], *, most: int = 4) -> str:
    """Return whole numbers as text, in the manner of ``0-9, 11, 13-20``; the first `most` spans of them."""
    values = np.sort(list(numbers))
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs[:most]]
    return ", ".join([*texts, "..."] if len(runs) > most else texts)
