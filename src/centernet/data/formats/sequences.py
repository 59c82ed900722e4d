"""What the readers of videos share: frames by number, and identities that no two videos share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import numpy as np

from ...annotations.problems import DataError, Reports, with_nearest
from ...annotations.rows import BoxRows
from ...images import IMAGE_SUFFIXES
from ..columns import Columns
from ..dataset import VideoSequence
from ..sample import Bools, Ints
from .layout import Folder, ImageList, own_size


class SequenceReader:
    """Puts the frames and boxes of sequences together.

    Args:
        root: the folder that the names of the images are relative to.
        report: where problems go.
    """

    def __init__(self, root: Path, report: Reports) -> None:
        self.images = ImageList(root)
        self.sequences: list[VideoSequence] = []
        self._report = report
        self._truths: list[Path] = []
        self._frames: list[int] = []  # of each image
        self._rows: list[BoxRows] = []

    def find_frames(self, folder: str) -> dict[int, str]:
        """Return the names of the images of a folder that are named by the numbers of their frames; see below."""
        frames = numbered_images(Folder(self.images.root), folder, self._report)
        if not frames:
            text = "no images named by their frames; the sequence is left out"
            self._report(self.images.root / folder, "missing-image", text)
        return frames

    def add(
        self,
        name: str,
        truth: Path,
        rows: BoxRows,
        folder: str,
        frames: dict[int, str],
        used: Iterable[int],
        *,
        frame_rate: float,
        size_hw: tuple[int, int] | None = None,
    ) -> None:
        """Add a sequence.

        Args:
            name: of the sequence.
            truth: the file of its boxes.
            rows: the boxes; `images` are frames.
            folder: of the images.
            frames: all images that are there, by frame.
            used: the frames that become samples.
            frame_rate: frames per second.
            size_hw: of all images; None reads it from each.
        """
        without = rows.images[~np.isin(rows.images, list(frames))]
        if len(without):
            text = f"the frames {spans(set(without.tolist()))} have no image in {folder}"
            self._report(truth, "missing-image", f"{text}; their {len(without)} boxes are left out")
        start = len(self.images)
        index_of = {}
        for frame in used:
            path = f"{folder}/{frames[frame]}"
            size = size_hw or own_size(self.images.root / path, self._report)
            if size is not None:
                index_of[frame] = self.images.add(path, size)
                self._frames.append(frame)
        places = np.array([index_of.get(frame, -1) for frame in rows.images.tolist()], dtype=np.int64)
        self._rows.append(replace(rows.select(places >= 0), images=places[places >= 0]))
        if len(self.images) > start:
            self._truths.append(truth)
            self.sequences.append(VideoSequence(name, start, len(self.images), frame_rate))

    def columns(self, *, amodal: bool = False) -> Columns:
        """Return all sequences, with identities that run from 0 on, without gaps, over all of them."""
        rows = BoxRows.joined(self._rows)
        starts = np.array([sequence.start for sequence in self.sequences])

        def where(row: int) -> tuple[Path, str]:
            image = int(rows.images[row])
            truth = self._truths[int(np.searchsorted(starts, image, side="right")) - 1]
            return truth, f"line {rows.places[row]} (frame {self._frames[image]}, identity {rows.ids[row]})"

        columns = self.images.columns(rows, where, self._report, amodal=amodal)
        sequences = np.searchsorted(starts, columns.samples(), side="right")
        return replace(columns, ids=_numbered(sequences, columns.ids, columns.ignore))


def _numbered(sequences: Ints, tracks: Ints, ignore: Bools) -> Ints:
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
    """Return the names of the images of a folder that are named by the number of their frame, in the order of frames.

    Other images, and further ones of the same frame, are reported.
    """
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


def choose_sequences(found: Sequence[str], wanted: Sequence[str] | None, root: Path) -> list[str]:
    """Return the sequences that names or patterns such as ``MOT17-*-FRCNN`` ask for, in the order of `found`.

    Raises:
        DataError: a name or pattern fits none.
    """
    if wanted is None:
        return list(found)
    if isinstance(wanted, str):
        raise DataError(f"sequences: expected a list of names or patterns, got the string {wanted!r}")
    missing = [name for name in wanted if not any(fnmatchcase(other, name) for other in found)]
    if missing or not wanted:
        raise DataError(
            f"{root}: sequences has {with_nearest(missing, found) or 'nothing'}, "
            f"but the sequences there are {', '.join(found)}"
        )
    return [name for name in found if any(fnmatchcase(name, pattern) for pattern in wanted)]


def spans(numbers: Collection[int], *, most: int = 4) -> str:
    """Return whole numbers as text, in the manner of ``0-9, 11, 13-20``; the first `most` spans of them."""
    parts: list[list[int]] = []
    for value in sorted(numbers):
        if parts and value == parts[-1][1] + 1:
            parts[-1][1] = value
        else:
            parts.append([value, value])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in parts[:most]]
    return ", ".join([*texts, "..."] if len(parts) > most else texts)
