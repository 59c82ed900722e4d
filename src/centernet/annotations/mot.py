"""MOTChallenge's text files (https://motchallenge.net): true boxes, detections, results, and seqinfo.ini.

A row of ``gt.txt``, in any order: frame, identity, left, top, width, height, flag, and then either class and visibility
(9 columns, from MOT16 on) or a place in the world (10 columns, MOT15). Detections and results have a score in place of
the flag. Frames and pixels count from 1: x1 = left - 1 here.
"""

from __future__ import annotations

import configparser
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..boxes import xyxy_to_xywh
from ..detections import Detections
from .problems import DataError, DataWarning, Reports, describe_problems
from .rows import BoxRows
from .text import TextTable, number, text_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
PEDESTRIAN = 1
CROWD = 13
"""A class that no sequence has; a region to ignore in training."""
TRUTH_WIDTHS = (7, 8, 9, 10)
RESULT_WIDTHS = (6, 7, 8, 9, 10)
ASSUMED_RATE = 30.0
"""Frames per second of a sequence that doesn't say."""


def like_pedestrians(*, mot20: bool) -> tuple[int, ...]:
    """Return the classes that the benchmark doesn't hold against a detector of pedestrians: person on vehicle, static
    person, distractor, reflection, and in MOT20 non motorized vehicle."""
    return (2, 7, 8, 12, 6) if mot20 else (2, 7, 8, 12)


class ClassRule(NamedTuple):
    """What becomes of the boxes of a class.

    Attributes:
        label: of the box.
        ignore: always a region to ignore.
        flagged: a region to ignore where the flag is 0.
    """

    label: int
    ignore: bool
    flagged: bool


def class_rules(names: Sequence[str], own: Sequence[str] | None, *, mot20: bool) -> dict[int, ClassRule | None]:
    """Say what becomes of each class of a gt.txt: None passes over it.

    Args:
        names: the classes that are asked for.
        own: the sequence's own classes 1, 2, …; None: `MOT_CLASSES`.
        mot20: the rules are those of MOT20.
    """
    label_of = {name: label for label, name in enumerate(names)}
    ignored = {*like_pedestrians(mot20=mot20), CROWD}
    rules: dict[int, ClassRule | None] = {}
    for kind, name in enumerate(MOT_CLASSES if own is None else own, start=1):
        rules[kind] = None
        if name in label_of:
            # Other classes than pedestrians have the flag 0 throughout: that they are not evaluated.
            rules[kind] = ClassRule(label_of[name], False, own is not None or kind == PEDESTRIAN)
        elif own is None and "pedestrian" in label_of and kind in ignored:
            rules[kind] = ClassRule(label_of["pedestrian"], True, False)
    return rules


def own_class_names(truth: Path) -> list[str] | None:
    """Return the classes 1, 2, … of a sequence that has a ``labels.txt`` beside its ``gt.txt``."""
    try:
        lines = text_lines(truth.parent / "labels.txt")
    except OSError:
        return None
    return [line.strip() for line in lines if line.strip()]


def read_truth(
    path: Path, rules: Mapping[int, ClassRule | None], report: Reports, *, min_visibility: float = 0.0
) -> BoxRows:
    """Read the rows of a gt.txt that are to become boxes; `images` are the frames as numbered there.

    Args:
        path: of the file.
        rules: of all its classes.
        report: where wrong rows go, which are left out.
        min_visibility: boxes less visible are to be ignored, 0..1. A visibility below 0 says that it isn't known.

    Raises:
        OSError: it cannot be opened.
    """
    table = TextTable.read(path, TRUTH_WIDTHS, separator=",")
    table.report_broken(report)
    values, width = table.values, table.values.shape[1]
    used = [*range(8 if width in (8, 9) else 7), *([8] if width == 9 else [])]
    whole_columns = (0, 1, 7) if width in (8, 9) else (0, 1)
    good = np.isfinite(values[:, used]).all(axis=1) & table.are_whole(*whole_columns)
    for line in table.lines[~good].tolist():
        text = table.texts[line - 1].strip().rstrip(",")
        report(path, "bad-row", f"line {line}: {text:.100} is no row of numbers; it is left out")
    values, lines = values[good], table.lines[good]
    frames, tracks = (values[:, column].astype(np.int64) for column in (0, 1))
    kinds = values[:, 7].astype(np.int64) if width in (8, 9) else np.full(len(values), PEDESTRIAN)
    twice = are_repeated(frames, tracks)
    known = np.isin(kinds, list(rules))
    for row in np.flatnonzero(twice | ~known).tolist():
        where = f"line {lines[row]} (frame {frames[row]}, identity {tracks[row]})"
        if twice[row]:
            report(path, "duplicate", f"{where}: this identity is in the frame again; it is left out")
        else:
            text = f"the class {kinds[row]} is none of 1 .. {len(rules)}; it is left out"
            report(path, "unknown-class", f"{where}: {text}")
    wanted = ~twice & np.isin(kinds, [kind for kind, rule in rules.items() if rule is not None])
    values, kinds = values[wanted], kinds[wanted]
    chosen = [rule for rule in map(rules.get, kinds.tolist()) if rule is not None]
    labels, ignore, flagged = np.array(chosen, dtype=np.int64).reshape(-1, 3).T
    hidden = (values[:, 8] >= 0) & (values[:, 8] < min_visibility) if width == 9 else np.zeros(len(values), np.bool_)
    return BoxRows(
        images=frames[wanted],
        places=lines[wanted],
        boxes=corners(values),
        labels=labels,
        ids=tracks[wanted],
        ignore=(ignore != 0) | ((flagged != 0) & (values[:, 6] == 0)) | hidden,
        areas=np.full(len(values), np.nan),
        difficulty=np.zeros(len(values), np.int8),
    )


def corners(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return left, top, width, height of the columns 3 to 6 as ``x1 y1 x2 y2``, counted from 0."""
    low = values[:, 2:4] - 1
    return np.concatenate([low, low + values[:, 4:6]], axis=1)


def are_repeated(frames: NDArray[np.int64], tracks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which rows have an identity (from 0) that an earlier row has in the same frame: bool N."""
    repeated = np.zeros(len(frames), dtype=np.bool_)
    named = np.flatnonzero(tracks >= 0)
    order = named[np.lexsort((tracks[named], frames[named]))]  # stable: the first row of a pair stays first
    same = (frames[order][1:] == frames[order][:-1]) & (tracks[order][1:] == tracks[order][:-1])
    repeated[order[1:][same]] = True
    return repeated


def read_mot_detections(
    path: str | os.PathLike[str], *, class_names: Sequence[str] = ("pedestrian",), strict: bool = False
) -> dict[int, Detections]:
    """Read a ``det.txt``: detections by the number of the frame, best first, to track without a detector of one's own.

    A row is: frame, -1, left, top, width, height, score, and up to three further columns, in any order. Boxes come out
    as ``x1 y1 x2 y2`` (x1 = left - 1), unclipped; scores as they are, which may be any numbers. All have the label 0.

    Args:
        path: of the file.
        class_names: passed on; the first is the class of all boxes.
        strict: a row that is wrong is an error, instead of being left out and named in a warning.

    Returns:
        Frames that have no row are not in it.

    Raises:
        DataError: the file cannot be opened; with `strict` a row that is wrong.
    """
    path = Path(path)
    report = Reports(strict=strict)
    try:
        table = TextTable.read(path, TRUTH_WIDTHS, separator=",")
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error.strerror})") from error
    table.report_broken(report)
    unreadable = {line for line, _ in table.not_numbers}
    good = table.are_whole(0)
    for row, (line, whole_frame) in enumerate(zip(table.lines.tolist(), good.tolist(), strict=True)):
        left, top, width, height, score = table.values[row, 2:7].tolist()
        if not whole_frame or (line in unreadable and np.isnan(table.values[row, 2:7]).any()):
            text = f"line {line}: {table.texts[line - 1].strip():.100} is no row of numbers; it is left out"
            report(path, "bad-row", text)
            good[row] = False
        elif not np.isfinite([left, top, width, height, score]).all() or min(width, height) <= 0:
            text = f"line {line}: the box {left:g} {top:g} {width:g} {height:g} (left top width height) is left out"
            report(path, "bad-box", text)
            good[row] = False
    if report.found:
        warnings.warn("\n".join([f"{path}:", *describe_problems(report.found, 5)]), DataWarning, stacklevel=2)
    frames, scores = table.values[good, 0].astype(np.int64), table.values[good, 6]
    boxes = corners(table.values[good]).astype(np.float32)
    result = {}
    for frame in np.unique(frames).tolist():
        rows = np.flatnonzero(frames == frame)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        labels = np.zeros(len(rows), dtype=np.int64)
        result[frame] = Detections(boxes[rows], labels, scores[rows], class_names=tuple(class_names))
    return result


@dataclass(frozen=True)
class SequenceInfo:
    """The contents of seqinfo.ini.

    Attributes:
        images: the folder of the frames, relative to that of the sequence.
        length: number of frames, None where it is not stated.
        size_hw: None where it is not stated.
        frame_rate: frames per second.
    """

    images: str = "img1"
    length: int | None = None
    size_hw: tuple[int, int] | None = None
    frame_rate: float = ASSUMED_RATE

    @classmethod
    def read(cls, folder: Path, report: Reports) -> SequenceInfo | None:
        """Read the file in the folder of a sequence. None where the images are said to be outside of the folder."""
        path = folder / "seqinfo.ini"
        try:
            values = read_seqinfo(path)
        except (OSError, configparser.Error, KeyError) as error:
            reason = "there is none" if isinstance(error, OSError) else f"it cannot be read ({error!r:.100})"
            text = f"{reason}: expected a section [Sequence]; sizes are read from the images, {ASSUMED_RATE:g} frames/s"
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

        images = values.get("imdir", "img1").strip().replace("\\", "/").rstrip("/")
        if ".." in images.split("/") or images.startswith("/") or ":" in images:
            text = f"imDir {images!r} leads out of the sequence, which is refused; the sequence is left out"
            report(path, "missing-image", text)
            return None
        height, width, length, rate = map(positive, ("imHeight", "imWidth", "seqLength", "frameRate"))
        size_hw = (int(height), int(width)) if height and width and height >= 1 and width >= 1 else None
        return cls(images, None if length is None else int(length), size_hw, rate or ASSUMED_RATE)


def read_seqinfo(path: Path) -> dict[str, str]:
    """Return the section [Sequence] of a seqinfo.ini, by keys in lower case.

    Raises:
        OSError: it cannot be opened.
        configparser.Error, KeyError: it is no such file.
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string("\n".join(text_lines(path)))
    return dict(parser["Sequence"])


def result_rows(frame: int, detections: Detections, *, with_classes: bool = False) -> Iterable[str]:
    """Write the tracks of a frame as rows of MOTChallenge's results: ``frame,id,left,top,width,height,score,-1,-1,-1``.

    Args:
        frame: its number, from 1.
        detections: with track ids.
        with_classes: column 8 is the label + 1, in the place of -1.
    """
    assert detections.track_ids is not None
    kinds = (detections.labels + 1).tolist() if with_classes else [-1] * len(detections)
    boxes, scores = xyxy_to_xywh(detections.bboxes).tolist(), detections.scores.tolist()
    for identity, (x, y, width, height), score, kind in zip(
        detections.track_ids.tolist(), boxes, scores, kinds, strict=True
    ):
        box = f"{x + 1:.2f},{y + 1:.2f},{width:.2f},{height:.2f}"
        yield f"{frame},{identity},{box},{score:.5g},{kind},-1,-1\n"


def write_mot(
    folder: Path, names: Sequence[str], annotations: Sequence[Any], class_names: Sequence[str], rate: float
) -> Path:
    """Write gt/gt.txt, gt/labels.txt and seqinfo.ini of one sequence; the flag is 0 of boxes to ignore.

    Args:
        folder: of the sequence, which holds the frames in ``img1``; its name is the sequence's.
        names: of the frames, numbered from 1.
        annotations: of the frames (`centernet.data.Annotation`), all of one size, labels and identities from 0;
            identity -1 is none.
        class_names: what the labels mean.
        rate: frames per second.

    Returns:
        gt.txt.
    """
    path = folder / "gt" / "gt.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for frame, truth in enumerate(annotations, start=1):
        columns = (xyxy_to_xywh(truth.boxes), truth.labels, truth.ids, truth.ignore)
        for (x, y, width, height), label, identity, ignore in zip(*(c.tolist() for c in columns), strict=True):
            # Pixels and identities are numbered from 1; the last number is the visibility, 1 for all.
            box = ",".join(f"{value:.3f}" for value in (x + 1, y + 1, width, height))
            lines.append(f"{frame},{identity + 1 if identity >= 0 else -1},{box},{int(not ignore)},{label + 1},1\n")
    path.write_text("".join(lines), encoding="utf-8")
    (folder / "gt" / "labels.txt").write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
    info = {
        "name": folder.name,
        "imDir": "img1",
        "frameRate": f"{rate:g}",
        "seqLength": len(names),
        "imWidth": annotations[0].width,
        "imHeight": annotations[0].height,
        "imExt": Path(names[0]).suffix,
    }
    text = "[Sequence]\n" + "".join(f"{key}={value}\n" for key, value in info.items())
    (folder / "seqinfo.ini").write_text(text, encoding="utf-8")
    return path
