"""Files of the tracking benchmarks: the layouts of their folders, and the lengths of sequences."""

from __future__ import annotations

import configparser
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from centernet.annotations.mot import read_seqinfo
from centernet.annotations.problems import choose_sequences


class SequenceFiles(NamedTuple):
    """The files of a sequence."""

    name: str
    truth: Path
    results: Path


class Length(NamedTuple):
    """The length of a sequence in frames, and the file that states it."""

    frames: int
    path: Path


def find_sequences(truth: Path, results: Path, names: Sequence[str] | None = None) -> list[SequenceFiles]:
    """Return the sequences of a benchmark's folder, and a tracker's files for them, as in `evaluate_tracking`."""
    found = truth_files(truth)
    found = {name: found[name] for name in choose_sequences(list(found), names, truth)}
    if not results.exists():
        raise ValueError(f"{results}: no such file or folder; expected a tracker's results, SEQUENCE.txt")
    if results.is_file():
        if len(found) > 1:
            raise ValueError(f"{results}: one file of results, but {truth} has {len(found)} sequences: {_some(found)}")
        return [SequenceFiles(name, path, results) for name, path in found.items()]
    folder = results
    if not any((folder / f"{name}.txt").is_file() for name in found) and (results / "data").is_dir():
        folder = results / "data"
    there = {path.stem for path in folder.glob("*.txt")}
    missing = [name for name in found if name not in there]
    if missing:
        text = f"no results for {len(missing)} of {len(found)} sequences, {_some(missing)}"
        hint = f"expected {missing[0]}.txt there (an empty file where nothing was found)"
        raise ValueError(f"{folder}: {text}: {hint}; there are {_some(sorted(there))}")
    more = sorted(there - set(found))
    if more and names is None:
        warnings.warn(f"{folder}: {_some(more)} have no truth in {truth} and are not evaluated", stacklevel=3)
    return [SequenceFiles(name, path, folder / f"{name}.txt") for name, path in found.items()]


def truth_files(root: Path) -> dict[str, Path]:
    """Return the file of each sequence, by name."""
    if root.is_file():
        return {_sequence_name(root): root}
    if not root.is_dir():
        raise ValueError(f"{root}: no such file or folder; expected the benchmark's true boxes")
    for folders in ([root], sorted(root.iterdir())):
        files = [path for folder in folders for path in (folder / "gt.txt", folder / "gt" / "gt.txt") if path.is_file()]
        if files:
            return {_sequence_name(path): path for path in files}  # of two in one folder that in gt counts
    for folder in (root / "label_02", root / "training" / "label_02", root):
        files = sorted(path for path in folder.glob("*.txt") if path.name != "seqmap.txt")
        if files:
            return {path.stem: path for path in files}
    raise ValueError(f"{root}: no sequence here; expected folders with gt/gt.txt, or files SEQUENCE.txt (or label_02)")


def _sequence_name(path: Path) -> str:
    if path.name != "gt.txt":
        return path.stem
    path = path.absolute()  # not resolved: a link has the name that it is given
    return path.parents[1].name if path.parent.name == "gt" else path.parent.name


def _some(names: Collection[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:5]) + (", …" if len(listed) > 5 else "") if listed else "none"


def mot_length(truth: Path) -> Length | None:
    """Return the length that seqinfo.ini, in the folder of a sequence, states; None without such a file."""
    folder = truth.parent.parent if truth.parent.name == "gt" else truth.parent
    path = folder / "seqinfo.ini"
    if truth.name != "gt.txt" or not path.is_file():
        return None
    try:
        length = int(float(read_seqinfo(path)["seqlength"]))
        if length < 1:
            raise ValueError(length)
    except (configparser.Error, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"{path}: expected a section [Sequence] with a seqLength above 0 ({error!r:.80})") from error
    return Length(length, path)


def kitti_length(truth: Path) -> Length | None:
    """Return the length that ``evaluate_tracking.seqmap…``, beside the folder of labels, states; None if it doesn't."""
    # A row is: sequence, a word, its first frame, and one more than its last.
    for path in sorted(truth.parent.parent.glob("evaluate_tracking.seqmap*")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split()
            if len(fields) == 4 and fields[0] == truth.stem and fields[3].isdecimal() and int(fields[3]):
                return Length(int(fields[3]), path)
    return None
