"""The rules of MOTChallenge and KITTI (see docs/tracking.md): boxes of their files that count, and boxes to be ignored.

Every other box stands by: where a result fits it best, the result is none of the object beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from centernet.annotations import kitti, mot
from centernet.annotations.problems import choose_class_names
from centernet.annotations.text import TextTable
from centernet.boxes import xywh_to_xyxy

from ..collecting import Bools, Floats, Ints
from .evaluator import TrackingEvaluator, TrackingResult
from .files import Length, SequenceFiles, find_sequences, kitti_length, mot_length
from .tracks import Role, RowError, Tracks

Format = Literal["mot15", "mot16", "mot17", "mot20", "kitti"]

_KITTI_DEFAULT = ("car", "pedestrian")
_KITTI_TYPES = tuple(name.lower() for name in kitti.KITTI_CLASSES)
_DONT_CARE = kitti.DONT_CARE.lower()
_MAX_OCCLUSION, _MAX_TRUNCATION, _MIN_HEIGHT = 2, 0, 25.0


def evaluate_tracking(
    truth: str | Path,
    results: str | Path,
    *,
    format: Format | None = None,
    class_names: Sequence[str] | None = None,
    sequences: Sequence[str] | None = None,
    min_visibility: float = 0.0,
) -> TrackingResult:
    """Evaluate a tracker's files against a benchmark's.

    Args:
        truth: MOTChallenge: folders of sequences with ``gt/gt.txt`` and ``seqinfo.ini``, one of them, or a file; KITTI:
            the folder ``label_02`` or the one above it, or a file.
        results: the folder with ``SEQUENCE.txt`` for each; a file for a single sequence.
        format: the benchmark's rules; default: those that the columns and the name of each sequence's truth tell (16
            and 17 have the same).
        class_names: classes to evaluate; default: pedestrian, for KITTI car and pedestrian, for a sequence with
            gt/labels.txt all names in it (column 8 of the results then says the class).
        sequences: names or patterns of the sequences to evaluate; default: all.
        min_visibility: true boxes less visible than this, 0..1, are ignored (MOT16 on); the benchmarks ignore none.

    Returns:
        Figures of each sequence and of all of them, by class.

    Raises:
        ValueError: a sequence without results; a row that is wrong, with its line; a frame beyond the sequence.
        OSError: a file cannot be read.
    """
    files = find_sequences(Path(truth), Path(results), sequences)
    formats = {file.name: format or find_format(file.truth) for file in files}
    names = _class_names(files, formats, class_names)
    evaluator = TrackingEvaluator(names)
    for file in files:
        rules = formats[file.name]
        min_height = _MIN_HEIGHT if rules == "kitti" else None
        for name, own, found, num_frames in read_tracks(file, rules, names, min_visibility=min_visibility):
            evaluator.update(file.name, own, found, num_frames=num_frames, class_name=name, min_height=min_height)
    return evaluator.compute()


def read_tracks(
    file: SequenceFiles, format: Format, class_names: Sequence[str], *, min_visibility: float = 0.0
) -> Iterator[tuple[str, Tracks, Tracks, int]]:
    """Yield class, truth, results and number of frames of a sequence, with the roles that the rules give the boxes.

    Boxes are in the files' own counting of pixels, which for MOTChallenge begins with 1: they are to be compared with
    one another only. See `evaluate_tracking` for the arguments and errors.
    """
    is_kitti = format == "kitti"
    own_names = _classes(file, format)
    words = kitti.KIND_COLUMN if is_kitti else None
    truth = read_table(file.truth, (kitti if is_kitti else mot).TRUTH_WIDTHS, words)
    found = read_table(file.results, (kitti if is_kitti else mot).RESULT_WIDTHS, words)
    length = (kitti_length if is_kitti else mot_length)(file.truth)
    frames, found_frames = (frame_column(table, 0 if is_kitti else 1, length) for table in (truth, found))
    last = int(max(frames.max(initial=-1), found_frames.max(initial=-1)))
    boxes, found_boxes = (
        table.values[:, 6:10] if is_kitti else xywh_to_xyxy(table.values[:, 2:6]) for table in (truth, found)
    )
    for name in class_names:
        if is_kitti:
            roles, found_roles = _kitti_roles(truth, found, name)
        else:
            number = None if own_names is None else own_names.index(name) + 1
            roles = _mot_roles(truth, format, number, min_visibility)
            found_roles = _mot_result_roles(found, number, alone=len(class_names) == 1)
        own, others = tracks_of(truth, frames, boxes, roles), tracks_of(found, found_frames, found_boxes, found_roles)
        yield name, own, others, last + 1 if length is None else length.frames


def find_format(truth: Path) -> Format:
    """Return the rules that a file of true boxes is written for, by its columns and its name; a ValueError if none."""
    with truth.open(encoding="utf-8-sig", errors="replace") as lines:
        first = next((line.strip() for line in lines if line.strip()), "")
    fields = first.rstrip(",").split("," if "," in first else None)
    if (len(fields) == 17 and "," not in first) or (not first and truth.parent.name == "label_02"):
        return "kitti"
    if len(fields) in (8, 9) or not first:
        return "mot20" if any(part.startswith("MOT20") for part in truth.parts[-3:]) else "mot17"
    if len(fields) in (7, 10):
        return "mot15"
    expected = "MOTChallenge's (7 to 10, parted by commas) nor KITTI's (17) true boxes; `format` says which they are"
    raise ValueError(f"{truth}: {len(fields)} columns: neither {expected}")


def read_table(path: Path, widths: Collection[int], words_column: int | None) -> TextTable:
    """Read a file of rows; one that is wrong is a ValueError with its line."""
    table = TextTable.read(path, widths, words_column=words_column)
    if table.faults:
        line, fault = min(table.faults.items())
        raise ValueError(f"{path}: line {line} {fault}: {table.texts[line - 1].strip():.100}")
    return table


def reject(table: TextTable, wrong: Bools, text: Callable[[int], str]) -> None:
    """Raise a ValueError about the first row where the mask is true, if there is any."""
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"{table.path}: line {table.lines[row]}: {text(row)}")


def whole_column(table: TextTable, column: int, what: str) -> Ints:
    """Return a column of whole numbers; anything else in it is a ValueError."""
    values = table.values[:, column]
    reject(table, ~table.are_whole(column), lambda row: f"expected a whole number as {what}, got {values[row]:g}")
    return values.astype(np.int64)


def frame_column(table: TextTable, first: int, length: Length | None) -> Ints:
    """Return the frame of each row (column 1), from 0, where the file counts from `first`.

    A frame that is not in the sequence is a ValueError; without a length (no file states it) none is beyond its end.
    """
    numbers = whole_column(table, 0, "the frame")
    frames = numbers - first
    reject(table, frames < 0, lambda row: f"frame {numbers[row]}, but frames count from {first} here")
    if length is not None:
        beyond = frames >= length.frames
        text = f"is beyond the {length.frames} frames that {length.path} states, as are {int(beyond.sum())} rows"
        hint = "are these the results of this sequence?"
        reject(table, beyond, lambda row: f"frame {numbers[row]} {text}; {hint}")
    return frames


def tracks_of(table: TextTable, frames: Ints, boxes: Floats, roles: NDArray[np.int8]) -> Tracks:
    """Return the rows as boxes with identities (column 2); what is wrong with them is a ValueError with the line."""
    ids = whole_column(table, 1, "the identity")
    try:
        return Tracks(frames, ids, boxes, roles)
    except RowError as error:
        raise ValueError(f"{table.path}: line {table.lines[error.row]}: {error.text}") from error


def _class_names(
    files: Sequence[SequenceFiles], formats: Mapping[str, Format], given: Sequence[str] | None
) -> tuple[str, ...]:
    kinds = {_classes(file, formats[file.name]) for file in files}
    if len(kinds) > 1:
        raise ValueError(f"the sequences are of different classes and cannot be evaluated together: {sorted(formats)}")
    known = kinds.pop() or ("pedestrian",)
    if given is None:
        return _KITTI_DEFAULT if known == _KITTI_TYPES else known
    spelt = {name.lower(): name for name in known}
    names = dict.fromkeys(spelt.get(name.lower(), name) for name in given)
    return choose_class_names(names, known, "", "classes there")


def _classes(file: SequenceFiles, format: Format) -> tuple[str, ...] | None:
    """Return the classes that the results of a sequence may have; None where all are pedestrians."""
    if format == "kitti":
        return _KITTI_TYPES
    own = mot.own_class_names(file.truth) if format != "mot15" and file.truth.name == "gt.txt" else None
    return None if own is None else tuple(own)


def _mot_roles(truth: TextTable, format: Format, own_class: int | None, min_visibility: float) -> NDArray[np.int8]:
    """Return the roles of the rows of a gt.txt; `own_class` is the number in the sequence's own list of classes."""
    width = truth.values.shape[1]
    counts = truth.values[:, 6] != 0
    if format == "mot15":
        return np.where(counts, Role.COUNTED, Role.BYSTANDER).astype(np.int8)
    if width not in (8, 9) and len(truth):
        raise ValueError(f"{truth.path}: {width} columns, but {format} has the class in column 8, visibility in 9")
    kinds = whole_column(truth, 7, "the class")
    if own_class is not None:
        roles = np.where(counts, Role.COUNTED, Role.IGNORED)
        roles[kinds != own_class] = Role.NONE
    else:
        number = len(mot.MOT_CLASSES)
        reject(truth, (kinds < 1) | (kinds > number), lambda row: f"the class {kinds[row]} is none of 1 … {number}")
        ignored = mot.like_pedestrians(mot20=format == "mot20")
        roles = np.where(np.isin(kinds, ignored), Role.IGNORED, Role.BYSTANDER)
        roles[(kinds == mot.PEDESTRIAN) & counts] = Role.COUNTED
    if width == 9:
        visibility = truth.values[:, 8]  # below 0: not known
        roles[(roles == Role.COUNTED) & (visibility >= 0) & (visibility < min_visibility)] = Role.IGNORED
    return roles.astype(np.int8)


def _mot_result_roles(found: TextTable, own_class: int | None, *, alone: bool) -> NDArray[np.int8]:
    """Return the roles of results: those of the class (column 8; -1 stands for the only one) take part."""
    roles = np.full(len(found), Role.COUNTED, np.int8)
    if own_class is None or found.values.shape[1] < 8:
        return roles
    kinds = whole_column(found, 7, "the class")
    if not alone:
        text = "expected the class, from 1, in column 8, got {}; several are to be told apart"
        text += " (`centernet track --class-column` writes it)"
        reject(found, kinds < 1, lambda row: text.format(kinds[row]))
    roles[(kinds != own_class) & (kinds >= 1)] = Role.NONE
    return roles


def _kitti_types(table: TextTable) -> NDArray[np.str_]:
    types, known = np.char.lower(table.words), [*_KITTI_TYPES, _DONT_CARE]
    reject(table, ~np.isin(types, known), lambda row: f"the type '{types[row]}' is none of {', '.join(known)}")
    return types


def _kitti_roles(truth: TextTable, found: TextTable, name: str) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Return the roles of the truth and of the results for one class."""
    kinds, found_kinds = _kitti_types(truth), _kitti_types(found)
    truncation, occlusion = whole_column(truth, 3, "the truncation"), whole_column(truth, 4, "the occlusion")
    hard = (occlusion > _MAX_OCCLUSION) | (truncation > _MAX_TRUNCATION)
    neighbours = [kind.lower() for kind, other in kitti.NEIGHBOURS.items() if other.lower() == name]
    roles = np.full(len(truth), Role.NONE, np.int8)
    roles[kinds == _DONT_CARE] = Role.REGION
    roles[np.isin(kinds, neighbours)] = Role.IGNORED
    roles[kinds == name] = np.where(hard, Role.IGNORED, Role.COUNTED)[kinds == name]
    return roles, np.where(found_kinds == name, Role.COUNTED, Role.NONE).astype(np.int8)
