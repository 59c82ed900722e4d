"""MOTChallenge's text files (https://motchallenge.net): true boxes, detections, results, and seqinfo.ini.

A row of ``gt.txt``, in any order: frame, identity, left, top, width, height, flag, and then either class and visibility
(9 columns, from MOT16 on) or a place in the world (10 columns, MOT15). Detections and results have a score in place of
the flag. Frames and pixels count from 1: x1 = left - 1 here.

CVAT (MOT 1.1) and datumaro write ``gt.txt`` and ``gt/labels.txt`` without seqinfo.ini. They count pixels from 0, and as
the frame of an image whose name is no number they take its place in the order of the names, from 1.
"""

from __future__ import annotations

import configparser
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..boxes import xyxy_to_xywh
from ..detections import Detections
from ..text import shown
from ..whole import write_text
from .problems import DataWarning, Reports, describe_problems, opening
from .rows import BoxRows
from .text import TextTable, filled_lines, number, text_lines

_THIRTEEN = (
    "pedestrian,person on vehicle,car,bicycle,motorbike,non motorized vehicle,static person,distractor,occluder,"
    "occluder on the ground,occluder full,reflection,crowd"
)
MOT_CLASSES = tuple(_THIRTEEN.split(","))
"""The classes 1 to 13 of gt.txt."""
PEDESTRIAN = 1
CROWD = 13
"""A class that no sequence has; a region to ignore in training."""
TRUTH_WIDTHS = (7, 8, 9, 10)
RESULT_WIDTHS = (6, 7, 8, 9, 10)
ASSUMED_RATE = 30.0
"""Frames per second of a sequence that doesn't say."""


def like_pedestrians(*, mot20: bool) -> tuple[int, ...]:
    """Return the classes that the benchmark doesn't hold against a detector of pedestrians."""
    return (2, 7, 8, 12, 6) if mot20 else (2, 7, 8, 12)


class ClassRules(NamedTuple):
    """Rules for the boxes of each class of a gt.txt, by its number (0 is none's)."""

    labels: NDArray[np.int64]  # -1 to pass over it
    ignore: NDArray[np.bool_]  # always
    flagged: NDArray[np.bool_]  # to be ignored where the flag is 0


def class_rules(names: Sequence[str], own: Sequence[str] | None, *, mot20: bool) -> ClassRules:
    """Return the rules for all classes of a sequence: of `own`, its own classes 1, 2, …, or of `MOT_CLASSES`."""
    kinds = MOT_CLASSES if own is None else own
    labels = np.array([-1, *(names.index(name) if name in names else -1 for name in kinds)], dtype=np.int64)
    ignore = np.zeros(len(labels), dtype=np.bool_)
    if own is not None:
        return ClassRules(labels, ignore, labels >= 0)
    if "pedestrian" in names:
        like = [kind for kind in (*like_pedestrians(mot20=mot20), CROWD) if labels[kind] < 0]
        labels[like], ignore[like] = names.index("pedestrian"), True
    # Other classes than pedestrians have the flag 0 throughout: that they are not evaluated.
    return ClassRules(labels, ignore, np.arange(len(labels)) == PEDESTRIAN)


def own_class_names(truth: Path) -> list[str] | None:
    """Return the classes 1, 2, … of a sequence that has a ``labels.txt`` beside its ``gt.txt``."""
    try:
        return [*filled_lines(truth.parent / "labels.txt").values()]
    except OSError:
        return None


def read_truth(
    rules: ClassRules,
    path: Path,
    report: Reports,
    *,
    first_pixel: int = 1,
    min_visibility: float = 0.0,
    benchmark: bool = True,
) -> BoxRows:
    """Read the rows of a gt.txt that are to become boxes; `images` are the frames as numbered there.

    The number of the first pixel is 1, or 0 in what CVAT writes. Boxes less visible than `min_visibility` are to be
    ignored; a visibility below 0 says that it isn't known. Classes that are passed over are reported unless it is a
    `benchmark` that has defined them.
    """
    table = TextTable.read(path, TRUTH_WIDTHS, separator=",")
    width = table.values.shape[1]
    with_class, with_visibility = width in (8, 9), width == 9
    used, whole = range(width if with_class else 7), [0, 1, 7] if with_class else [0, 1]
    table = table.numbers(report, used=used, whole=whole, what="row of numbers").without_repeated(report)
    kinds = table.values[:, 7].astype(np.int64) if with_class else np.full(len(table), PEDESTRIAN)
    known = (kinds > 0) & (kinds < len(rules.labels))
    text = f"is none of 1 .. {len(rules.labels) - 1}"
    table.keep(known, report, "unknown-class", lambda row: f"the class {kinds[row]} {text}")
    wanted = rules.labels[np.where(known, kinds, 0)] >= 0
    passed = np.unique(kinds[known & ~wanted]).tolist()
    if passed and not benchmark:
        text = f"{np.count_nonzero(known & ~wanted)} boxes of the classes {', '.join(map(str, passed))} are passed over"
        hint = "a gt/labels.txt beside the file gives the classes 1, 2, … their names, one a line"
        report(path, "unknown-class", f"{text}: nothing says that these are MOTChallenge's own; {hint}")
    table, kinds = table.select(wanted), kinds[wanted]
    ignore = rules.ignore[kinds] | (rules.flagged[kinds] & (table.values[:, 6] == 0))
    if with_visibility:
        ignore |= (table.values[:, 8] >= 0) & (table.values[:, 8] < min_visibility)
    return BoxRows.of_tracks(table, corners(table.values, first_pixel), rules.labels[kinds], ignore)


def corners(values: NDArray[np.float64], first_pixel: int = 1) -> NDArray[np.float64]:
    """Return left, top, width, height of the columns 3 to 6 as ``x1 y1 x2 y2``, counted from 0."""
    low = values[:, 2:4] - first_pixel
    return np.concatenate([low, low + values[:, 4:6]], axis=1)


def read_mot_detections(
    path: str | os.PathLike[str], *, class_names: Sequence[str] = ("pedestrian",), strict: bool = False
) -> dict[int, Detections]:
    """Read a ``det.txt``: detections by the number of the frame, best first, to track without a detector of one's own.

    A row is: frame, -1, left, top, width, height, score, and up to three further columns, in any order. Boxes come out
    as ``x1 y1 x2 y2`` (x1 = left - 1), unclipped; scores as they are, which may be any numbers. All have the label 0,
    the first of `class_names`. Frames without a row are left out. A row that is wrong is left out and named in a
    warning, or with `strict` a DataError, as is a file that cannot be opened.
    """
    path, report = Path(path), Reports(strict=strict)
    with opening(path):
        table = TextTable.read(path, TRUTH_WIDTHS, separator=",")
    table = table.numbers(report, used=range(2, 7), whole=[0], what="row of numbers")
    good = (table.values[:, 4:6] > 0).all(axis=1)
    for row in np.flatnonzero(~good).tolist():
        left, top, width, height = table.values[row, 2:6].tolist()
        text = f"the box {left:g} {top:g} {width:g} {height:g} (left top width height) is left out"
        report(path, "bad-box", f"line {table.lines[row]}: {text}")
    if report.found:
        warnings.warn("\n".join([f"{path}:", *describe_problems(report.found, 5)]), DataWarning, stacklevel=2)
    values = table.values[good]
    values = values[np.argsort(-values[:, 6], kind="stable")]
    result = {}
    for frame in np.unique(values[:, 0]).astype(int).tolist():
        rows = values[values[:, 0] == frame]
        boxes, labels = corners(rows).astype(np.float32), np.zeros(len(rows), dtype=np.int64)
        result[frame] = Detections(boxes, labels, rows[:, 6], class_names=tuple(class_names))
    return result


@dataclass(frozen=True)
class SequenceInfo:
    """The contents of seqinfo.ini; None is not stated."""

    images: str = "img1"  # the folder of the frames, relative to that of the sequence
    length: int | None = None
    size_hw: tuple[int, int] | None = None
    frame_rate: float = ASSUMED_RATE
    by_cvat: bool = False  # written by CVAT or datumaro: see the module
    stated: bool = True  # there is such a file

    @classmethod
    def read(cls, folder: Path, report: Reports) -> SequenceInfo | None:
        """Read the file in the folder of a sequence. None where the images are said to be outside of the folder."""
        path = folder / "seqinfo.ini"
        assumed = f"sizes are read from the images, {ASSUMED_RATE:g} frames/s are assumed"
        try:
            values = read_seqinfo(path)
        except (OSError, configparser.Error, KeyError) as error:
            if isinstance(error, FileNotFoundError) and (folder / "gt" / "labels.txt").is_file():
                text = f"there is none beside gt/labels.txt, as CVAT and datumaro write it: {assumed}"
                report.note(path, "assumed", f"{text}, and pixels count from 0")
                return cls(by_cvat=True, stated=False)
            reason = "there is none" if isinstance(error, OSError) else f"it cannot be read ({error!r:.100})"
            report(path, "size", f"{reason}: expected a section [Sequence]; {assumed}")
            return cls(stated=not isinstance(error, FileNotFoundError))

        def positive(key: str) -> float | None:
            with suppress(KeyError, ValueError):
                if 0 < (value := number(values[key.lower()])) < 2**31:
                    return value
            text = f"{key} is {values.get(key.lower(), 'missing')!r:.50}, expected a number above 0"
            report(path, "size" if key.startswith("im") else "bad-row", f"{text}; it is not used")
            return None

        images = values.get("imdir", "img1").strip().replace("\\", "/").rstrip("/")
        if ".." in images.split("/") or images.startswith("/") or ":" in images:
            text = f"imDir {images!r} leads out of the sequence, which is refused; the sequence is left out"
            report(path, "missing-image", text)
            return None
        height, width, length, rate = map(positive, ("imHeight", "imWidth", "seqLength", "frameRate"))
        size_hw = (int(height), int(width)) if height and width and height >= 1 and width >= 1 else None
        return cls(images, None if length is None else int(length), size_hw, rate or ASSUMED_RATE)


def read_seqinfo(path: Path) -> dict[str, str]:
    """Return the section [Sequence] of a seqinfo.ini, by keys in lower case; an OSError, configparser.Error or KeyError
    where there is none."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string("\n".join(text_lines(path)))
    return dict(parser["Sequence"])


def result_rows(frame: int, detections: Detections, *, with_classes: bool = False) -> Iterator[str]:
    """Write the tracks of a frame, from 1, as rows ``frame,id,left,top,width,height,score,-1,-1,-1`` of results.

    With classes, column 8 is the label + 1.
    """
    assert detections.track_ids is not None
    kinds = detections.labels + 1 if with_classes else np.full(len(detections), -1)
    columns = (detections.track_ids, xyxy_to_xywh(detections.bboxes), detections.scores, kinds)
    for identity, (x, y, width, height), score, kind in zip(*(column.tolist() for column in columns), strict=True):
        box = f"{x + 1:.2f},{y + 1:.2f},{width:.2f},{height:.2f}"
        yield f"{frame},{identity},{box},{score:.5g},{kind},-1,-1\n"


def write_mot(
    folder: Path, names: Sequence[str], annotations: Sequence[Any], class_names: Sequence[str], rate: float
) -> Path:
    """Write gt/gt.txt, gt/labels.txt and seqinfo.ini of one sequence; the flag is 0 of boxes to ignore.

    The folder is that of the sequence, with its name and the frames ``img1/<name>``, numbered from 1 and all of one
    size; `rate` is frames per second. Other arguments as for `write_coco`.
    """
    path = folder / "gt" / "gt.txt"
    lines = []
    for frame, truth in enumerate(annotations, start=1):
        columns = (xyxy_to_xywh(truth.boxes), truth.labels, truth.ids, truth.ignore)
        for (x, y, width, height), label, identity, ignore in zip(*(c.tolist() for c in columns), strict=True):
            # Pixels and identities are numbered from 1; the last number is the visibility, 1 for all.
            box = ",".join(f"{value:.3f}" for value in (x + 1, y + 1, width, height))
            lines.append(f"{frame},{identity + 1 if identity >= 0 else -1},{box},{int(not ignore)},{label + 1},1\n")
    write_text(path, "".join(lines))
    write_text(folder / "gt" / "labels.txt", "".join(f"{shown(name)}\n" for name in class_names))
    height, width = annotations[0].height, annotations[0].width
    lines = ["[Sequence]", f"name={shown(folder.name)}", "imDir=img1", f"frameRate={rate:g}", f"seqLength={len(names)}"]
    lines += [f"imWidth={width}", f"imHeight={height}", f"imExt={Path(names[0]).suffix}", ""]
    write_text(folder / "seqinfo.ini", "\n".join(lines))
    return path
