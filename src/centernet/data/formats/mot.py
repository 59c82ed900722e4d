"""MOTChallenge (https://motchallenge.net; MOT15, 16, 17, 20, and what is written in their form).

Layout::

    root/<sequence>/seqinfo.ini
    root/<sequence>/img1/000001.jpg      frames count from 1
    root/<sequence>/gt/gt.txt

A row of ``gt.txt``, in any order: frame, identity, left, top, width, height, flag, and then either class and visibility
(9 columns, from MOT16 on) or a place in the world (10 columns, MOT15). The first pixel is 1: x1 = left - 1 here. Boxes
are those of whole people, so they may leave the picture.
"""

from __future__ import annotations

import configparser
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..dataset import DetectionDataset, VideoSequence
from ..sample import DataError
from .reading import (
    Folder,
    Reports,
    Rows,
    check_class_names,
    judge_box,
    number,
    own_size,
    table,
    text_lines,
    whole,
    with_nearest,
)
from .sequences import Identities, choose_sequences, numbered_pictures, spans

MOT_CLASSES = (
    "pedestrian",
    "person on vehicle",
    "car",
    "bicycle",
    "motorbike",
    "non motorized vehicle",
    "static person",
    "distractor",
    "occluder",
    "occluder on the ground",
    "occluder full",
    "reflection",
    "crowd",
)
"""The classes 1 to 13 of gt.txt."""

_LIKE_PEDESTRIANS = {2, 7, 8, 12, 13}
"""Classes that the benchmark doesn't hold against a detector of pedestrians, and 13, which it has in no sequence."""

_COPIES = re.compile(r"(.+)-(DPM|FRCNN|SDP)")
_ASSUMED_RATE = 30.0


@dataclass(frozen=True)
class _Class:
    """What becomes of the boxes of a class.

    Attributes:
        label: of the box.
        ignore: always a region to ignore.
        flagged: a region to ignore where the flag is 0.
    """

    label: int
    ignore: bool
    flagged: bool


class _Row(NamedTuple):
    """A row of gt.txt that is to become a box."""

    line: int
    track: int
    box: tuple[float, float, float, float]
    label: int
    ignore: bool


class MOT(DetectionDataset):
    """Sequences in the MOTChallenge's layout, with identities that run from 0 on over all of them.

    To be ignored are boxes with the flag 0 (where the class is pedestrian), those less visible than `min_visibility`,
    and, where pedestrians are wanted, the classes that the benchmark's evaluation leaves out: person on vehicle, static
    person, distractor, reflection (and non motorized vehicle in MOT20). Boxes of classes that are not asked for are
    passed over. A frame without rows is an example of background.

    What is wrong is left out and named in `problems` (and in one warning): a sequence without pictures or gt.txt, rows
    of the wrong width or with something else than numbers, a second row of a frame and identity, an unknown class, a
    box that is inverted, without area or outside its picture, frames without a picture or beyond the stated length.

    Args:
        root: the folder of the sequences, or of one.
        sequences: names, or patterns such as ``MOT17-*-FRCNN``. None takes all, but of MOT17's three copies of each
            sequence (-DPM, -FRCNN, -SDP: the same pictures and truth with other detections) only the first.
        class_names: of `MOT_CLASSES`, or of ``gt/labels.txt`` (one name a line) where a sequence has that file; None
            takes ``pedestrian``, or all of labels.txt.
        min_visibility: boxes below are to be ignored, 0..1; rows of MOT15 have no visibility.
        part: from which share of each sequence's frames to which: ``[0, .5]`` to train on the first half,
            ``[.5, 1]`` to validate on the second.
        amodal: boxes that reach over the edge of the picture are kept whole (see `DetectionDataset.amodal`), not cut.
        strict: the first problem is an error.

    Attributes:
        sequences: name, samples and frame rate of each sequence.

    Raises:
        DataError: no such folder, sequence or class, or no usable image; with `strict` any problem.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        sequences: Sequence[str] | None = None,
        *,
        class_names: Sequence[str] | None = None,
        min_visibility: float = 0.0,
        part: tuple[float, float] = (0.0, 1.0),
        amodal: bool = False,
        strict: bool = False,
    ) -> None:
        root = Path(root)
        if not 0 <= part[0] < part[1] <= 1:
            raise DataError(f"part: expected two numbers in 0..1, the smaller first, got {part}")
        found = _find_sequences(root)
        chosen = choose_sequences(_without_copies(found) if sequences is None else list(found), sequences, root)
        report, rows, identities = Reports(strict=strict), Rows(amodal=amodal), Identities()
        own_names = {name: _own_names(root / found[name]) for name in chosen}
        names = _class_names(class_names, own_names, root)
        done = []
        for name in chosen:
            start = len(rows.names)
            classes = _classes(names, own_names[name], with_vehicles=name.startswith("MOT20"))
            info = SequenceInfo.read(root / found[name], report)
            if info is not None:
                folder = f"{found[name]}/{info.pictures}".lstrip("/")
                truth = _Truth(root / found[name] / "gt" / "gt.txt", classes, min_visibility, report)
                _read_frames(root, folder, truth, info, part, name, rows, identities, report)
                done.append(VideoSequence(name, start, len(rows.names), info.frame_rate))
        identities.finish(rows)
        super().__init__(
            names,
            rows.columns(root),
            source=root,
            problems=report.found,
            strict=strict,
            amodal=rows.amodal,
            sequences=[sequence for sequence in done if len(sequence)],
            clipped=rows.clipped,
        )


def _find_sequences(root: Path) -> dict[str, str]:
    """Folders of the sequences, relative to the root, by name."""

    def is_sequence(folder: Path) -> bool:
        return (folder / "seqinfo.ini").is_file() or (folder / "gt/gt.txt").is_file() or (folder / "img1").is_dir()

    if not root.is_dir():
        raise DataError(f"{root}: no such folder; `root` is the folder of the sequences")
    if is_sequence(root):
        return {root.resolve().name: ""}
    found = {folder.name: folder.name for folder in sorted(root.iterdir()) if is_sequence(folder)}
    if not found:
        deeper = sorted({str(path.parent.relative_to(root)) for path in root.glob("*/*") if is_sequence(path)})
        hint = f"give one of its subfolders as the root: {', '.join(deeper)}" if deeper else "check `root`"
        raise DataError(f"{root}: no sequence here, a folder with seqinfo.ini, gt/gt.txt or img1; {hint}")
    return found


def _without_copies(names: Mapping[str, str]) -> list[str]:
    firsts: dict[str, str] = {}
    for name in names:
        copy = _COPIES.fullmatch(name)
        firsts.setdefault(copy[1] if copy else name, name)
    return list(firsts.values())


def _own_names(folder: Path) -> list[str] | None:
    """Classes 1, 2, ... of a sequence that brings a list of its own."""
    try:
        lines = text_lines(folder / "gt" / "labels.txt")
    except OSError:
        return None
    return [line.strip() for line in lines if line.strip()]


def _class_names(given: Sequence[str] | None, own_names: Mapping[str, list[str] | None], root: Path) -> tuple[str, ...]:
    known: dict[str, None] = {}
    for own in own_names.values():
        known.update(dict.fromkeys(MOT_CLASSES if own is None else own))
    if given is None:
        lists = [["pedestrian"] if own is None else own for own in own_names.values()]
        return check_class_names(dict.fromkeys(name for own in lists for name in own))
    names = check_class_names(given)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        text = with_nearest(unknown, tuple(known)) or "nothing"
        raise DataError(f"{root}: class_names has {text}, but the classes there are {', '.join(known)}")
    return names


def _classes(names: Sequence[str], own: list[str] | None, *, with_vehicles: bool) -> dict[int, _Class | None]:
    """What becomes of each class of gt.txt: None passes over it."""
    label_of = {name: label for label, name in enumerate(names)}
    classes: dict[int, _Class | None] = {}
    for kind, name in enumerate(MOT_CLASSES if own is None else own, start=1):
        if name in label_of:
            # Other classes than pedestrians have the flag 0 throughout: that they are not evaluated.
            classes[kind] = _Class(label_of[name], ignore=False, flagged=own is not None or name == "pedestrian")
        elif own is None and "pedestrian" in label_of and kind in _LIKE_PEDESTRIANS | ({6} if with_vehicles else set()):
            classes[kind] = _Class(label_of["pedestrian"], ignore=True, flagged=False)
        else:
            classes[kind] = None
    return classes


@dataclass(frozen=True)
class SequenceInfo:
    """What seqinfo.ini says.

    Attributes:
        pictures: the folder of the frames, relative to that of the sequence.
        length: number of frames, None where it is not stated.
        size_hw: None where it is not stated.
        frame_rate: frames per second.
    """

    pictures: str = "img1"
    length: int | None = None
    size_hw: tuple[int, int] | None = None
    frame_rate: float = _ASSUMED_RATE

    @classmethod
    def read(cls, folder: Path, report: Reports) -> SequenceInfo | None:
        """None where the pictures are said to be outside of the folder."""
        path = folder / "seqinfo.ini"
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string("\n".join(text_lines(path)))
            values = dict(parser["Sequence"])
        except (OSError, configparser.Error, KeyError) as error:
            reason = "there is none" if isinstance(error, OSError) else f"it cannot be read ({error!r:.100})"
            text = (
                f"{reason}: expected a section [Sequence]; sizes are read from the pictures, {_ASSUMED_RATE:g} frames/s"
            )
            report(path, "missing-annotation", text)
            return cls()

        def positive(key: str) -> float | None:
            try:
                value = number(values[key.lower()])
            except (KeyError, ValueError):
                value = -1.0
            if 0 < value < 2**31:
                return value
            text = f"{key} is {values.get(key.lower(), 'missing')!r:.50}, expected a number above 0"
            report(path, "size" if key.startswith("im") else "bad-row", f"{text}; it is not used")
            return None

        pictures = values.get("imdir", "img1").strip().replace("\\", "/").rstrip("/")
        if ".." in pictures.split("/") or pictures.startswith("/") or ":" in pictures:
            text = f"imDir {pictures!r} leads out of the sequence, which is refused; the sequence is left out"
            report(path, "missing-image", text)
            return None
        height, width, length, rate = map(positive, ("imHeight", "imWidth", "seqLength", "frameRate"))
        size_hw = (int(height), int(width)) if height and width and height >= 1 and width >= 1 else None
        return cls(pictures, None if length is None else int(length), size_hw, rate or _ASSUMED_RATE)


class _Truth:
    """The rows of a gt.txt by frame, and all frames that have some, wanted or not."""

    def __init__(
        self, path: Path, classes: Mapping[int, _Class | None], min_visibility: float, report: Reports
    ) -> None:
        self.path = path
        self.there = path.is_file()
        self.rows: dict[int, list[_Row]] = {}
        seen: set[tuple[int, int]] = set()
        for line, fields in table(path, ",", {7, 8, 9, 10}, report) if self.there else ():
            with_class = len(fields) in (8, 9)
            try:
                frame, track = whole(fields[0]), whole(fields[1])
                kind = whole(fields[7]) if with_class else 1
                values = [*map(number, fields[2:7]), number(fields[8]) if len(fields) == 9 else 1.0]
                if not all(map(math.isfinite, values)):
                    raise ValueError
            except ValueError:
                report(path, "bad-row", f"line {line}: {','.join(fields):.100} is no row of numbers; it is left out")
                continue
            left, top, width, height, flag, visibility = values
            if track >= 0 and (frame, track) in seen:
                text = f"{_where(line, frame, track)}: this identity is in the frame again; it is left out"
                report(path, "duplicate", text)
                continue
            seen.add((frame, track))
            if kind not in classes:
                text = f"{_where(line, frame, track)}: the class {kind} is none of 1 .. {len(classes)}; it is left out"
                report(path, "unknown-class", text)
                continue
            meant = classes[kind]
            if meant is not None:
                # A visibility below 0 says that it isn't known.
                ignore = meant.ignore or (meant.flagged and flag == 0) or 0 <= visibility < min_visibility
                x1, y1 = left - 1, top - 1
                row = _Row(line, track, (x1, y1, x1 + width, y1 + height), meant.label, ignore)
                self.rows.setdefault(frame, []).append(row)


def _where(line: int, frame: int, track: int) -> str:
    return f"line {line} (frame {frame}, identity {track})"


def _read_frames(
    root: Path,
    folder: str,
    truth: _Truth,
    info: SequenceInfo,
    part: tuple[float, float],
    name: str,
    rows: Rows,
    identities: Identities,
    report: Reports,
) -> None:
    pictures = numbered_pictures(Folder(root), folder, report)
    if not truth.there:
        return report(truth.path, "missing-annotation", "there is no such file; the sequence is left out")
    if not pictures:
        return report(root / folder, "missing-image", "no pictures named by their frames; the sequence is left out")
    without = [frame for frame in truth.rows if frame not in pictures]
    if without:
        lost = sum(len(truth.rows[frame]) for frame in without)
        text = f"the frames {spans(without)} have no picture in {folder}; their {lost} boxes are left out"
        report(truth.path, "missing-image", text)
    beyond = [] if info.length is None else [frame for frame in pictures if frame > info.length]
    if beyond:
        text = f"the frames {spans(beyond)} are beyond the seqLength {info.length} of seqinfo.ini; they are left out"
        report(root / folder, "missing-annotation", text)
    frames = [frame for frame in pictures if info.length is None or frame <= info.length]
    for frame in frames[math.floor(part[0] * len(frames)) : math.floor(part[1] * len(frames))]:
        picture = f"{folder}/{pictures[frame]}"
        size_hw = info.size_hw or own_size(root / picture, report)
        if size_hw is None:
            continue
        for row in truth.rows.get(frame, ()):
            wrong = judge_box(row.box, size_hw)
            if wrong is not None:
                text = f"{_where(row.line, frame, row.track)}: {wrong[1]}; the box is left out"
                report(truth.path, wrong[0], text)
                continue
            track = identities.number(name, row.track)
            rows.add_box(row.box, size_hw, label=row.label, ignore=row.ignore, identity=track)
        rows.add_image(picture, len(rows.names), size_hw)
